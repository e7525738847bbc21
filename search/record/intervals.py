"""Intervals of shares of images, for those who write scores and for those who read them, on NumPy arrays.

Images of one patient are no independent draws, so that patients are the units: `patients` numbers the patient of each
image, int (N,). Intervals are two-sided at 95 %.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.record.schema import Rate

Floats = NDArray[np.float64]

Z = 1.959963984540054  # the normal distribution's 97.5 % point
UNDEFINED = Rate(None, None, None)


def wilson_interval(successes: ArrayLike, count: ArrayLike) -> tuple[Floats, Floats]:
    """The Wilson interval of proportions, low and high, in [0, 1]; NaN where `count` is 0.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, 'Interval estimation for a binomial proportion'.
    """
    n = np.asarray(count, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(successes, np.float64) / n
        scale = 1 / (1 + Z**2 / n)
        center = scale * (share + Z**2 / (2 * n))
        half = scale * Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)


def effective_count(came_true: ArrayLike, patients: NDArray[np.integer]) -> float:
    """How many independent images would tell the share of images for which something came true as well as these.

    It is the number of images over the design effect: the variance between patients over that of independent images,
    at least 1. Where all or none came true there is no variance, and the number of patients takes its place.

    Args:
        came_true: bool (N,).
        patients: int (N,).

    Source: Rao and Scott 1992, 'A simple method for the analysis of clustered binary data'.
    """
    outcomes = np.asarray(came_true, np.float64)
    count, groups = len(outcomes), count_patients(patients)
    if groups < 2 or outcomes.min() == outcomes.max():
        return float(groups)
    share = outcomes.mean()
    independent = share * (1 - share) / (count - 1)
    between = groups / (groups - 1) * float((patient_sums(outcomes - share, patients) ** 2).sum()) / count**2
    return float(count / max(between / independent, 1.0))


def share_bounds(came_true: ArrayLike, patients: NDArray[np.integer]) -> tuple[float, float]:
    """Wilson's interval over patients of the share of images for which something came true, low and high.

    Args:
        came_true: bool (N,), N at least 1.
        patients: int (N,).
    """
    count = effective_count(came_true, patients)
    low, high = wilson_interval(np.asarray(came_true, np.float64).mean() * count, count)
    return float(low), float(high)


def share_rate(came_true: NDArray[np.bool_], patients: NDArray[np.integer]) -> Rate:
    """A share with its interval over patients, as `share_bounds`; undefined without images."""
    if not len(came_true):
        return UNDEFINED
    return Rate(float(came_true.mean()), *share_bounds(came_true, patients))


def count_patients(patients: NDArray[np.integer]) -> int:
    """How many patients images are of."""
    return len(np.unique(patients))


def patient_sums(values: NDArray[np.floating], patients: NDArray[np.integer]) -> Floats:
    """Sums over the images of each patient: of values (N,) float64 (P,), patients in the order of their numbers."""
    return np.bincount(np.unique(patients, return_inverse=True)[1], values).astype(np.float64)
