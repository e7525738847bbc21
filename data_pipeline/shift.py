"""Copies of images as another hospital might have made them, to estimate a model's worth there from validation alone.

Validation images come from the same hospital, machine and years as the training images, and their score soon
saturates; the images that a model is meant for come from elsewhere. Each image is changed in one of the ways in which
X-rays of the same patient differ. No image of a test set is used.

Source: Hendrycks and Dietterich 2019, 'Benchmarking Neural Network Robustness to Common Corruptions and Perturbations'.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.augment import Policy, augment
from data_pipeline.shards import ArraySource

_SEED = 0  # of the draws that choose how each image is changed

# The largest changes with which we could still read the image.
WAYS: dict[str, Policy] = {
    "contrast": Policy(contrast=0.6),
    "gamma": Policy(gamma=1.0),
    "exposure": Policy(exposure=0.25),
    "blur": Policy(blur=0.012),
    "noise": Policy(noise=0.08),
    "crop": Policy(zoom=0.25, shift=0.1),
    "rotation": Policy(rotation=20.0),
}


def shifted(images: ArraySource, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A copy of some images, each changed in one of `WAYS`: uint8 (m, H, W, C), 0 black to 255 white.

    The change of an image depends on its row alone: its copy is the same in every split.

    Args:
        images: uint8 (N, H, W, C), C 1 or 3.
        rows: the images to copy, int64 (m,).
    """
    copy: NDArray[np.uint8] = images[rows]
    for place, row in enumerate(rows):
        way, draws = _way(row)
        copy[place : place + 1] = augment(copy[place : place + 1], WAYS[way], draws)
    return copy


@dataclass(frozen=True)
class ShiftedImages:
    """As `shifted`, made anew whenever it is read: of images that have no room in memory. An `ArraySource`.

    Attributes:
        images: uint8 (N, H, W, C).
        rows: the images to copy, int64 (m,).
    """

    images: ArraySource
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(m, H, W, C)."""
        return (len(self.rows), *self.images.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""
        return self.images.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """The copies of the images of `rows[places]`, uint8 (n, H, W, C)."""
        return shifted(self.images, self.rows[places])


def shifted_copy(images: ArraySource, rows: NDArray[np.int64]) -> ArraySource:
    """As `shifted`, uint8 (m, H, W, C): made at once, or where the images are on disk, as it is read."""
    return shifted(images, rows) if isinstance(images, np.ndarray) else ShiftedImages(images, rows)


def shift_ways(rows: NDArray[np.int64]) -> tuple[str, ...]:
    """The names, m of `WAYS`, of how `shifted` changes the images of these rows, int64 (m,)."""
    return tuple(_way(row)[0] for row in rows)


def _way(row: np.int64) -> tuple[str, np.random.Generator]:
    """How the image of a row is changed, and the draws that decide how much."""
    draws = np.random.default_rng((_SEED, int(row)))
    return list(WAYS)[draws.integers(len(WAYS))], draws


def shifted_fingerprint(fingerprint: str, rows: NDArray[np.int64]) -> str:
    """A hash that is equal for equal shifted copies: 32 hexadecimal digits.

    Args:
        fingerprint: of the images that are copied.
        rows: the images to copy, int64 (m,).
    """
    content = f"{fingerprint} {_SEED} {WAYS}".encode() + np.ascontiguousarray(rows, np.int64).tobytes()
    return hashlib.sha256(content).hexdigest()[:32]
