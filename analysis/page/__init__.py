"""Pages about runs: the blocks that the report and the app share, and the report made of them."""
