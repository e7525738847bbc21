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

# What a radiologist still reads, at the most.
WAYS: tuple[Policy, ...] = (
    Policy(contrast=0.6),
    Policy(gamma=1.0),
    Policy(exposure=0.25),
    Policy(blur=0.012),
    Policy(noise=0.08),
    Policy(zoom=0.25, shift=0.1),
    Policy(rotation=20.0),
)


def shifted(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of the images, each changed in one of `WAYS`: uint8 (N, H, W, C), 0 black to 255 white.

    Args:
        images: uint8 (N, H, W, C), C 1 or 3.
    """
    draws = np.random.default_rng(_SEED)
    ways = draws.integers(0, len(WAYS), len(images))
    changed = np.empty_like(images)
    for place, way in enumerate(ways):
        changed[place : place + 1] = augment(images[place : place + 1], WAYS[way], draws)
    return changed


def shifted_fingerprint(fingerprint: str, rows: NDArray[np.int64]) -> str:
    """What is equal for equal shifted copies: 32 hexadecimal digits.

    Args:
        fingerprint: of the images that the copy is made of.
        rows: which of them, int64 (m,).
    """
    content = f"{fingerprint} {_SEED} {WAYS}".encode() + np.ascontiguousarray(rows, np.int64).tobytes()
    return hashlib.sha256(content).hexdigest()[:32]
