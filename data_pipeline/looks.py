"""Finds images that look the same although their files differ: saved again, scaled, or cropped by a pixel.

An image's look is a perceptual hash of 256 bits: whether each of its lowest frequencies is above the median of them.
Over 1.3 million pairs of different X-rays of Kaggle's set the looks differ in 44 bits or more; after a crop by one
pixel on each side in 18 at most, after saving as a JPEG of quality 60 in 10.

Source: Zauner 2010, 'Implementation and Benchmarking of Perceptual Image Hash Functions', the DCT hash.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from data_pipeline.opencv import opencv

MOST_BITS = 24  # in which the looks of one image may differ
MOST_IMAGES = 200_000  # all pairs of more take more than two minutes on a core
_SIDE = 64  # pixels that the frequencies are of
_FREQUENCIES = 16  # the lowest of each direction
_BYTES = _FREQUENCIES**2 // 8
_BLOCK = 256  # images that are compared with all others at a time: 200 MB of products at most


def look_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The look of an image (H, W, C): uint8 (32,), of bits."""
    cv2 = opencv()
    grey = image[..., 0] if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    low = _BASIS @ small @ _BASIS.T  # (16, 16)
    low[0, 0] = 0.0  # brightness is no part of a look
    return np.packbits(low.ravel() > np.median(low))


def _cosines() -> NDArray[np.float64]:
    """The rows of the discrete cosine transform for the lowest frequencies, (16, 64)."""
    places = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    return np.cos(np.arange(_FREQUENCIES)[:, None] * places)


_BASIS = _cosines()


def empty_looks() -> NDArray[np.uint8]:
    """The looks of no image, uint8 (0, 32)."""
    return np.zeros((0, _BYTES), np.uint8)


def group_looks(looks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each image, the first image that looks like it, or like one that looks like it, and so on: int64 (N,).

    Args:
        looks: uint8 (N, 32). Above MOST_IMAGES nothing is compared, and each image is its own first.
    """
    if not len(looks) or len(looks) > MOST_IMAGES:
        return np.arange(len(looks))
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones, others = (np.concatenate(each) for each in zip(*_alike(looks), strict=True))
    alike = coo_array((np.ones(len(ones), np.bool_), (ones, others)), shape=(len(looks), len(looks)))
    _, groups = connected_components(alike, directed=False)
    _, firsts = np.unique(groups, return_index=True)
    return np.asarray(firsts[groups], np.int64)


def find_alike(looks: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each image, the first of some others that looks like it, or -1: int64 (N,).

    Args:
        looks: uint8 (N, 32).
        others: uint8 (M, 32). Where both together are more than MOST_IMAGES, nothing is compared.
    """
    found = np.full(len(looks), -1, np.int64)
    if not len(others) or len(looks) + len(others) > MOST_IMAGES:
        return found
    signs, least = _signs(others), 8 * _BYTES - 2 * MOST_BITS
    for start in range(0, len(looks), _BLOCK):
        alike = _signs(looks[start : start + _BLOCK]) @ signs.T >= least  # (B, M)
        found[start : start + _BLOCK] = np.where(alike.any(axis=1), alike.argmax(axis=1), -1)
    return found


def _signs(looks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The bits of looks (N, 32) as -1 or 1, (N, 256): a product of two is 256 less twice the bits that differ."""
    return np.unpackbits(looks, axis=1).astype(np.float32) * 2 - 1


def _alike(looks: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The pairs of images whose looks differ in MOST_BITS at most, a block of images at a time."""
    signs = _signs(looks)
    least = signs.shape[1] - 2 * MOST_BITS
    for start in range(0, len(signs), _BLOCK):
        products = signs[start : start + _BLOCK] @ signs[start:].T  # (B, N - start)
        ones, others = np.nonzero(products >= least)
        later = others > ones
        yield ones[later] + start, others[later] + start
