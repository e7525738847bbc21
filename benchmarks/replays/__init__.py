"""Replays of searches on a table of learning curves: ours beside other libraries, with many seeds and workers."""
