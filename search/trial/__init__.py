"""One trial on a worker: its training, features, checkpoints."""

import models  # noqa: F401 # sets oneDNN before a module of this room imports TensorFlow
