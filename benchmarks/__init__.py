"""Measurements with a peer in the same run; each module is a command: `python -m benchmarks.NAME`."""

import search  # noqa: F401 - it says so where a package of the user's own stands before one of ours
