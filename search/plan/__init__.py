"""What will be tried: settings, spaces, searcher, scheduler."""
