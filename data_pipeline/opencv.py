"""OpenCV, imported only here so that it is always set up the same way."""

import os
from functools import cache
from types import ModuleType

MAX_MEGAPIXELS = 100  # a radiograph has up to 20; the header of a small file can claim 100,000 pixels of width


@cache
def opencv() -> ModuleType:
    """The module cv2: single-threaded, silent, and refusing images above MAX_MEGAPIXELS."""
    # OpenCV reads the limit once, when it is imported; it then refuses a file above it by its header
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_MEGAPIXELS * 1_000_000))
    import cv2

    cv2.setNumThreads(1)  # callers have threads of their own, one image each
    # we report every unreadable file with its reason instead
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
