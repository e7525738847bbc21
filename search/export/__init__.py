"""A run for other tools: `python -m search.export RUN`."""
