"""Tells how unlike the images of a set another image is, by a distance whose limit its own held-out images set.

An image is described by its thumbnail of 16 x 16 pixels, its brightness and its contrast. The distance is Mahalanobis'
along the directions in which the set varies most, and beside them the length of what is left. Of 36 DICOM files, from
chests to hips, teeth and test patterns, the limit of the shipped sample parts those that show no chest from the chests,
but for two of these in an unusual window.

Source: Jackson and Mudholkar 1979, 'Control Procedures for Residuals Associated With Principal Component Analysis'.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.opencv import opencv
from data_pipeline.outliers import thumbnail

_EXPLAINED = 0.9  # share of the variance that the directions hold
_IMAGES_A_DIRECTION = 10  # at least
_BEYOND = 0.01  # share of the set's own held-out images above the limit
_MOST = 20_000  # images that are looked at; more change nothing
_LEAST = 20  # training images; fewer show nothing
_DIGITS = 5  # of stored numbers


@dataclass(frozen=True)
class Typical:
    """What the images of a set have in common, and how far from it they lie.

    Attributes:
        centre: The mean description, float64 (D,).
        directions: In which the set varies most, float64 (K, D), orthonormal.
        variances: Along them, float64 (K,).
        rest: The variance outside of them.
        limit: The distance that one in a hundred of the held-out images exceeds.
    """

    centre: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]
    rest: float
    limit: float

    def unlikeness(self, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """How unlike the set each image is, float64 (N,): its distance as a share of the limit; above 1 it is unlike.

        Args:
            images: N images, uint8 (H, W, C), of the set's size and channels.
        """
        return self._distances(_describe_all(images)) / self.limit

    def _distances(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distances of described images (N, D): float64 (N,)."""
        centred = described - self.centre
        along = centred @ self.directions.T  # (N, K)
        outside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squared = (along**2 / self.variances).mean(axis=1) + outside / self.rest
        return np.asarray(np.sqrt(squared), np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Its numbers as lists, for JSON."""
        shortened = {name: _shorten(getattr(self, name)) for name in ("centre", "directions", "variances")}
        return {**shortened, "rest": self.rest, "limit": self.limit}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Typical":
        """What `to_dict` stored.

        Raises:
            KeyError, TypeError, ValueError: The content is something else.
        """
        centre, directions, variances = (
            np.array(content[name], np.float64) for name in ("centre", "directions", "variances")
        )
        return cls(centre, directions, variances, float(content["rest"]), float(content["limit"]))


def fit_typical(images: NDArray[np.uint8], train: NDArray[np.int64], held_out: NDArray[np.int64]) -> Typical | None:
    """What the training images have in common, and the limit that held-out images set.

    Args:
        images: uint8 (N, H, W, C), 0 black to 255 white.
        train: Rows of the training images, int64.
        held_out: Rows of images that are not among them, int64.

    Returns:
        None where there are fewer than 20 training images or no held-out one, or where all are the same.
    """
    if len(train) < _LEAST or not len(held_out):
        return None
    described = _describe_all(images[row] for row in _thinned(train))
    centre = described.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(described.T, bias=True))
    variances, directions = np.maximum(variances[::-1], 0), directions.T[::-1]  # the largest first
    if not variances[0]:
        return None
    count = 1 + int(np.searchsorted(np.cumsum(variances) / variances.sum(), _EXPLAINED))
    count = max(1, min(count, len(described) // _IMAGES_A_DIRECTION))
    rest = max(float(variances[count:].sum()), 1e-9)
    found = Typical(centre, directions[:count], variances[:count], rest, limit=1.0)
    own = found._distances(_describe_all(images[row] for row in _thinned(held_out)))
    return Typical(centre, directions[:count], variances[:count], rest, float(np.quantile(own, 1 - _BEYOND)))


def _describe_all(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.stack([_describe(image) for image in images])


def _describe(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """An image's thumbnail with standard deviation 1, its brightness and its contrast, of like spread: (258,)."""
    small = thumbnail(image)
    side = len(small) ** 0.5
    mean, deviation = (float(each.mean()) for each in opencv().meanStdDev(image))
    return np.append(small * side, [mean / 32, 2 * np.log2(max(deviation, 1.0))])


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `_MOST` of the rows, evenly spaced."""
    return rows[:: -(-len(rows) // _MOST)]


def _shorten(numbers: NDArray[np.float64]) -> Any:
    """The numbers as lists, each with `_DIGITS` digits."""
    if numbers.ndim > 1:
        return [_shorten(each) for each in numbers]
    return [float(f"{number:.{_DIGITS}g}") for number in numbers]
