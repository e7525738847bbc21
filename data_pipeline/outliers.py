"""Finds images that do not fit their set: of the other polarity, blank, or unlike all others."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_pipeline.opencv import opencv

_SIDE = 16  # pixels of the thumbnails that are compared
_BLANK = 3.0  # standard deviation of the grey values below which nothing can be seen
_CLEAR = 0.3  # correlation with what the set has in common, from which on its sign tells the polarity
_FAR = 5.0  # median absolute deviations (scaled to standard ones) below the median correlation


@dataclass(frozen=True)
class Outliers:
    """The rows of images that do not fit their set, int64 each; a row is in one of them at most.

    Attributes:
        inverted: Bright where most others are dark: black and white may be exchanged in them.
        blank: Without anything to see.
        unlike: Unlike the others in what these have in common.
    """

    inverted: NDArray[np.int64]
    blank: NDArray[np.int64]
    unlike: NDArray[np.int64]


def find_outliers(images: Iterable[NDArray[np.uint8]]) -> Outliers:
    """The outliers among some images, as far as thumbnails of 16 x 16 pixels show them.

    What a set has in common is the first principal component of its thumbnails, each brought to mean 0 and length 1. In
    chest X-rays it is dark lungs beside a bright middle. An image of the other polarity correlates negatively with it.

    Args:
        images: N images, uint8 (H, W, C), 0 black to 255 white; each is looked at once.
    """
    seen = [(image.std() < _BLANK, thumbnail(image)) for image in images]
    blank = np.array([is_blank for is_blank, _ in seen], np.bool_)
    rows = np.flatnonzero(~blank)
    if len(rows) < 3:
        return Outliers(rows[:0], np.flatnonzero(blank), rows[:0])
    thumbnails = np.stack([thumbnail for _, thumbnail in seen])[rows]  # (n, 256)
    # of the 256 x 256 sums of products, so that a large set needs no more memory than a small one
    common = np.linalg.eigh(thumbnails.T @ thumbnails)[1][:, -1]  # (256,)
    fits = thumbnails @ common  # (n,) correlations
    fits *= 1.0 if (fits > 0).sum() * 2 >= len(fits) else -1.0  # most images are right
    spread = 1.4826 * np.median(np.abs(fits - np.median(fits)))
    inverted = fits < -_CLEAR
    unlike = ~inverted & (fits < np.median(fits) - _FAR * spread) & (fits < _CLEAR)
    return Outliers(rows[inverted], np.flatnonzero(blank), rows[unlike])


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The grey values of an image (H, W, C) at 16 x 16 pixels, mean 0 and length 1: (256,)."""
    cv2 = opencv()
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).reshape(_SIDE**2, -1).mean(axis=1)
    centred = small - small.mean()
    length = np.linalg.norm(centred)
    return np.asarray(centred / length if length else centred, np.float64)
