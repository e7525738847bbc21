"""Other libraries as rules; each module imports its library when a replay begins, and only then."""
