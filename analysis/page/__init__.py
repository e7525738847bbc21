"""Pages of runs: the blocks that the report and the app share, and the report as HTML."""
