"""After the search: the only room that opens a test image."""

import models  # noqa: F401 # sets oneDNN before a module of this room imports TensorFlow
