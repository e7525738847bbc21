"""OpenCV, imported in this one place so that it is always set up the same way."""

import os
from functools import cache
from types import ModuleType

MAX_MEGAPIXELS = 100  # a radiograph has up to 20; a file of a few kilobytes can claim to be 100,000 pixels wide


@cache
def opencv() -> ModuleType:
    """The module cv2: single-threaded, silent, and refusing images above MAX_MEGAPIXELS."""
    # OpenCV reads the limit once, at import; a file above it is then refused by its header
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_MEGAPIXELS * 1_000_000))
    import cv2

    cv2.setNumThreads(1)  # whoever calls it has threads of its own, one image each
    # every unreadable file is reported with its reason instead
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
