"""A copy of images as another hospital might have made them: what a model is worth there, told from validation alone.

Validation comes from the same hospital, machine and years as training, and soon saturates; the images that a model
is for do not. Each image is changed in one of the ways in which X-rays of the same patient differ. No image of a
test set has a part in it.

Source: Hendrycks and Dietterich 2019, 'Benchmarking Neural Network Robustness to Common Corruptions and Perturbations'.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from data_pipeline.augment import Policy, augment

_SEED = 0  # which image is changed how

# At the most what can still be read, by our eyes.
WAYS: dict[str, Policy] = {
    "contrast": Policy(contrast=0.6),
    "gamma": Policy(gamma=1.0),
    "exposure": Policy(exposure=0.25),
    "blur": Policy(blur=0.012),
    "noise": Policy(noise=0.08),
    "crop": Policy(zoom=0.25, shift=0.1),
    "rotation": Policy(rotation=20.0),
}


def shifted(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A copy of some images, each changed in one of `WAYS`: uint8 (m, H, W, C), 0 black to 255 white.

    How an image is changed follows from its row alone: the copy of an image is the same in every split.

    Args:
        images: uint8 (N, H, W, C), C 1 or 3.
        rows: which of them, int64 (m,).
    """
    copy = images[rows]
    for place, row in enumerate(rows):
        way, draws = _way(row)
        copy[place : place + 1] = augment(copy[place : place + 1], WAYS[way], draws)
    return copy


def shift_ways(rows: NDArray[np.int64]) -> tuple[str, ...]:
    """In which of `WAYS` `shifted` changes the images of these rows, int64 (m,): m names."""
    return tuple(_way(row)[0] for row in rows)


def _way(row: np.int64) -> tuple[str, np.random.Generator]:
    """How the image of a row is changed, and the draws that say how much."""
    draws = np.random.default_rng((_SEED, int(row)))
    return list(WAYS)[draws.integers(len(WAYS))], draws


def shifted_fingerprint(fingerprint: str, rows: NDArray[np.int64]) -> str:
    """What is equal for equal shifted copies: 32 hexadecimal digits.

    Args:
        fingerprint: of the images that the copy is made of.
        rows: which of them, int64 (m,).
    """
    content = f"{fingerprint} {_SEED} {WAYS}".encode() + np.ascontiguousarray(rows, np.int64).tobytes()
    return hashlib.sha256(content).hexdigest()[:32]
