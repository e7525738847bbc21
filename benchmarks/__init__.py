"""Measurements with a peer in the same run; each module is a command: `python -m benchmarks.NAME`."""
