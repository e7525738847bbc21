"""Tests of two models on the same images, on NumPy arrays.

Arrays have one entry an image, in the same order for both models. As in `analysis.statistics`, `patients` numbers the
patient of each image, int (N,), and patients are the units; where every image is a patient of its own, the tests are
the textbook's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.statistics import Estimate
from search.record.intervals import Floats, Z, count_patients, patient_sums

if TYPE_CHECKING:
    import pandas as pd

# Of tables with several tests: what their p values are worth, and French headings of the columns.
CORRECTIONS = (
    "Beside each p it stands corrected for all tests of the table: below 0.05 by Holm's procedure the two differ; FDR "
    "is the false discovery rate (Benjamini and Hochberg)."
)
HEADINGS_FR = {
    f"{test}_{column}": f"{words} de {name}"
    for test, name in (("mcnemar", "McNemar"), ("delong", "DeLong"))
    for column, words in (("p", "p"), ("holm", "p (Holm)"), ("fdr", "FDR"))
}

# Below this many patients on whom the two differ, chi-square is unreliable and the exact test is used.
EXACT_BELOW = 25


@dataclass(frozen=True)
class McNemarResult:
    """Whether two classifiers are wrong on equally many images.

    Attributes:
        only_first, only_second: images that only this one has right.
        statistic: chi-square with continuity correction; NaN where the test is exact.
        p_value: two-sided.
        exact: whether all signs were counted instead.
    """

    only_first: int
    only_second: int
    statistic: float
    p_value: float
    exact: bool


@dataclass(frozen=True)
class AucComparison:
    """Two areas under the ROC curve on the same images.

    Attributes:
        difference: first minus second, with its interval.
        p_value: two-sided, of no difference.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, patients: NDArray[np.integer]) -> McNemarResult:
    """McNemar's test of two classifiers on the same images, over patients.

    A patient counts by how many more of its images the first has right than the second. Under no difference either
    sign is as likely: exactly so below `EXACT_BELOW` patients with a difference, by chi-square above.

    Args:
        first: bool (N,), whether it has each image right.
        second: the same of the other one.
        patients: int (N,).

    Source: McNemar 1947; Edwards 1948 (continuity correction); Durkalski et al. 2003 (clustered pairs).
    """
    from scipy.stats import chi2

    right, other = np.asarray(first, bool), np.asarray(second, bool)
    only_first, only_second = int((right & ~other).sum()), int((~right & other).sum())
    ahead = patient_sums(right.astype(np.float64) - other, patients)
    ahead = ahead[ahead != 0]
    if len(ahead) < EXACT_BELOW:
        p_value = _sign_flip_p(np.abs(ahead).astype(np.int64), abs(int(ahead.sum())))
        return McNemarResult(only_first, only_second, float("nan"), p_value, exact=True)
    statistic = float(max(abs(ahead.sum()) - 1, 0.0) ** 2 / (ahead**2).sum())
    return McNemarResult(only_first, only_second, statistic, float(chi2.sf(statistic, 1)), exact=False)


def _sign_flip_p(sizes: NDArray[np.int64], observed: int) -> float:
    """The chance that the sum of `sizes`, each with a sign of its own at random, is as far from 0 as `observed`."""
    chances = np.ones(1)  # of each sum from -total to total, in steps of 1
    for size in sizes:
        step = np.zeros(2 * size + 1)
        step[[0, -1]] = 0.5
        chances = np.convolve(chances, step)
    sums = np.arange(len(chances)) - len(chances) // 2
    return float(min(chances[np.abs(sums) >= observed].sum(), 1.0))


def delong_auc(positive: ArrayLike, scores: ArrayLike, patients: NDArray[np.integer]) -> Estimate:
    """The area under the ROC curve with DeLong's interval, in [0, 1]; NaN where a class has no image.

    An area of 0 or 1, and one with a single patient in a class, has no interval: its variance cannot be estimated.

    Source: DeLong, DeLong and Clarke-Pearson 1988; Obuchowski 1997 (clustered images).
    """
    shown = np.asarray(positive, bool)
    areas, covariance = _delong(shown, np.asarray(scores, np.float64)[None], patients)
    return _area(areas[0], covariance[0, 0])


def delong_comparison(
    positive: ArrayLike, first: ArrayLike, second: ArrayLike, patients: NDArray[np.integer]
) -> AucComparison:
    """Two areas under the ROC curve on the same images, and DeLong's test of their difference.

    With a single patient in a class there is no interval and no p value.

    Args:
        positive: bool (N,).
        first: float (N,), its scores of the positive class.
        second: the same of the other one.
        patients: int (N,).

    Source: DeLong, DeLong and Clarke-Pearson 1988; Obuchowski 1997 (clustered images); computed as in Sun and Xu 2014.
    """
    from scipy.stats import norm

    areas, covariance = _delong(np.asarray(positive, bool), np.stack([first, second]).astype(np.float64), patients)
    difference = areas[0] - areas[1]
    variance = max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)
    if variance == 0:
        p_value = 1.0 if difference == 0 else 0.0
    else:
        p_value = float(2 * norm.sf(abs(difference) / np.sqrt(variance)))
    return AucComparison(
        _area(areas[0], covariance[0, 0]),
        _area(areas[1], covariance[1, 1]),
        _normal_estimate(difference, variance, clip=False),
        p_value,
    )


def _area(area: float, variance: float) -> Estimate:
    """An area with its interval, which one of 0 or 1 does not have."""
    return _normal_estimate(area, variance if 0 < area < 1 else np.nan, clip=True)


def _delong(positive: NDArray[np.bool_], scores: Floats, patients: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Areas (K,) and their covariance (K, K) for scores (K, N); it is NaN where a class has a single patient."""
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return np.full(len(scores), np.nan), np.full((len(scores), len(scores)), np.nan)
    ranks = rankdata(scores, axis=1)
    above = np.zeros(scores.shape)  # of a positive: the share of negatives below it, less the area
    below = np.zeros(scores.shape)  # of a negative: the share of positives above it, less the area
    above[:, positive] = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    below[:, ~positive] = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    areas: Floats = above.sum(axis=1) / m
    if min(count_patients(patients[positive]), count_patients(patients[~positive])) < 2:
        return areas, np.full((len(scores), len(scores)), np.nan)
    above[:, positive] -= areas[:, None]
    below[:, ~positive] -= areas[:, None]
    of_positives = _sums_of_squares(above, above, patients, count_patients(patients[positive])) / m**2
    of_negatives = _sums_of_squares(below, below, patients, count_patients(patients[~positive])) / n**2
    mixed = _sums_of_squares(above, below, patients, count_patients(patients)) / (m * n)
    return areas, of_positives + of_negatives + mixed + mixed.T


def _sums_of_squares(first: Floats, second: Floats, patients: NDArray[np.integer], count: int) -> Floats:
    """Products of patients' sums, (K, K), unbiased for `count` patients, two or more, that have a part in them."""
    sums = [np.stack([patient_sums(row, patients) for row in each]) for each in (first, second)]
    product: Floats = sums[0] @ sums[1].T * (count / (count - 1))
    return product


def _normal_estimate(value: float, variance: float, clip: bool) -> Estimate:
    half = Z * float(np.sqrt(variance))
    low, high = float(value) - half, float(value) + half
    if clip:
        low, high = np.clip([low, high], 0.0, 1.0).tolist()  # NaN stays
    return Estimate(float(value), low, high)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values of several tests corrected by Holm's procedure; NaN, where nothing was tested, stays and counts not.

    Deciding by corrected values below 0.05 keeps the chance of one or more false decisions among all tests below 5 %.

    Source: Holm 1979, 'A simple sequentially rejective multiple test procedure'.
    """
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]  # NaN comes last
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def false_discovery_rates(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values of several tests corrected for the share of false ones among those found; NaN as in `holm`.

    Source: Benjamini and Hochberg 1995.
    """
    from scipy.stats import false_discovery_control

    corrected, tested = np.full(len(p_values), np.nan), np.isfinite(p_values)
    if tested.any():
        corrected[tested] = false_discovery_control(p_values[tested])
    return corrected


def with_corrections(frame: "pd.DataFrame", tests: Sequence[str]) -> "pd.DataFrame":
    """The frame with the columns `<test>_holm` and `<test>_fdr`, from the p values in `<test>_p`."""
    for test in tests:
        p_values = frame[f"{test}_p"].to_numpy(np.float64)
        frame[f"{test}_holm"], frame[f"{test}_fdr"] = holm(p_values), false_discovery_rates(p_values)
    return frame
