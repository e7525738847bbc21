"""One trial on a worker: its training, features, checkpoints."""
