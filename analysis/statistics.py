"""Intervals and tests on test images and on repeats, on NumPy arrays.

Arrays about images have one entry an image, in the same order for two trials that are compared. All intervals are
two-sided at 95 %.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
Z = 1.959963984540054  # the normal distribution's 97.5 % point
RESAMPLES = 2000
# Below this many discordant pairs McNemar's chi-square is unreliable and the exact test is used.
EXACT_BELOW = 25


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; NaN where the data do not determine it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemarResult:
    """Whether two classifiers are wrong on equally many images.

    Attributes:
        only_first, only_second: images that only this one has right.
        statistic: chi-square with continuity correction; NaN where the test is exact.
        p_value: two-sided.
        exact: whether the binomial test was used.
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


@dataclass(frozen=True)
class Reliability:
    """The observed share of an event, by bins of its predicted probability.

    Attributes:
        edges: float64 (B + 1,), in [0, 1].
        count: int64 (B,), images in each bin.
        predicted: float64 (B,), mean probability; NaN in an empty bin.
        observed: float64 (B,), observed share; NaN in an empty bin.
        low, high: float64 (B,), the Wilson interval of `observed`.
    """

    edges: Floats
    count: NDArray[np.int64]
    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats


def wilson_interval(successes: ArrayLike, count: ArrayLike) -> tuple[Floats, Floats]:
    """The 95 % Wilson interval of proportions, low and high, in [0, 1]; NaN where `count` is 0.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, 'Interval estimation for a binomial proportion'.
    """
    n = np.asarray(count, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(successes, np.float64) / n
        scale = 1 / (1 + Z**2 / n)
        center = scale * (share + Z**2 / (2 * n))
        half = scale * Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)


def bootstrap_weights(count: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float32]:
    """How often each image is drawn in each resample: float32 (resamples, count), rows sum to `count`.

    Two trials scored with the same weights are compared image by image (a paired bootstrap).

    Source: Efron and Tibshirani 1993, 'An Introduction to the Bootstrap', chapters 6 and 13.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, count, (resamples, count))
    drawn += np.arange(resamples)[:, None] * count  # numbers of each resample in a range of its own
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float32)


def percentile_interval(value: float, resampled: ArrayLike) -> Estimate:
    """A value with the middle 95 % of its bootstrap values; resamples where it is undefined (NaN) are left out."""
    known = np.asarray(resampled, np.float64)
    known = known[np.isfinite(known)]
    if not len(known) or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def bootstrap_mean(values: ArrayLike, weights: NDArray[np.floating]) -> Estimate:
    """The mean of one number an image (right or wrong, loss, a difference of two trials), over its images."""
    numbers = np.asarray(values, np.float64)
    return percentile_interval(float(numbers.mean()), weights @ numbers.astype(np.float32) / len(numbers))


def bootstrap_balanced_accuracy(
    labels: NDArray[np.integer], correct: ArrayLike, weights: NDArray[np.floating]
) -> Estimate:
    """The mean over classes of the share of right images, over its images."""
    right = np.asarray(correct, np.float32)
    members = (labels[:, None] == np.unique(labels)).astype(np.float32)  # (N, K)
    found = np.concatenate([members * right[:, None], members], axis=1)  # (N, 2 K)
    classes = members.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = weights @ found  # (B, 2 K)
        resampled = (sums[:, :classes] / sums[:, classes:]).mean(axis=1)  # (B,)
    recalls = found[:, :classes].sum(axis=0) / found[:, classes:].sum(axis=0)
    return percentile_interval(float(recalls.mean()), resampled)


def bootstrap_auc(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], weights: NDArray[np.floating]
) -> Estimate:
    """The area under the ROC curve over its images; with three classes the mean of one-against-the-rest.

    Args:
        labels: int (N,), in [0, K).
        probabilities: float (N, K).
        weights: float (B, N), of `bootstrap_weights`.
    """
    classes = probabilities.shape[1]
    ones = np.ones((1, len(labels)), np.float32)
    places = (1,) if classes == 2 else range(classes)
    both = np.concatenate([ones, weights])
    areas = np.mean([weighted_auc(labels == k, probabilities[:, k], both) for k in places], axis=0)
    return percentile_interval(float(areas[0]), areas[1:])


def weighted_auc(positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.floating]) -> Floats:
    """Areas under the ROC curve, float64 (B,), one for each row of weights (B, N); ties count one half.

    NaN where a row has no positive or no negative image.
    """
    ahead = scores[positive][:, None] - scores[~positive][None]  # (P, Q): each positive against each negative
    wins = (np.sign(ahead) + 1).astype(np.float32) / 2  # 1, a half for a tie, 0
    of_positive, of_negative = weights[:, positive], weights[:, ~positive]
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = of_positive.sum(axis=1, dtype=np.float64) * of_negative.sum(axis=1, dtype=np.float64)
        area: Floats = ((of_positive @ wins) * of_negative).sum(axis=1, dtype=np.float64) / pairs
    return area


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemarResult:
    """McNemar's test of two classifiers on the same images.

    Args:
        first: bool (N,), whether it has each image right.
        second: the same of the other one.

    Source: McNemar 1947; Edwards 1948 (continuity correction); exact below `EXACT_BELOW` discordant images.
    """
    from scipy.stats import binomtest, chi2

    right, other = np.asarray(first, bool), np.asarray(second, bool)
    only_first, only_second = int((right & ~other).sum()), int((~right & other).sum())
    discordant = only_first + only_second
    if discordant < EXACT_BELOW:
        p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
        return McNemarResult(only_first, only_second, float("nan"), p_value, exact=True)
    statistic = (abs(only_first - only_second) - 1) ** 2 / discordant
    return McNemarResult(only_first, only_second, statistic, float(chi2.sf(statistic, 1)), exact=False)


def delong_auc(positive: ArrayLike, scores: ArrayLike) -> Estimate:
    """The area under the ROC curve with DeLong's interval, in [0, 1]; NaN where a class has no image.

    Source: DeLong, DeLong and Clarke-Pearson 1988.
    """
    areas, covariance = _delong(np.asarray(positive, bool), np.asarray(scores, np.float64)[None])
    return _normal_estimate(areas[0], covariance[0, 0], clip=True)


def delong_comparison(positive: ArrayLike, first: ArrayLike, second: ArrayLike) -> AucComparison:
    """Two areas under the ROC curve on the same images, and DeLong's test of their difference.

    Args:
        positive: bool (N,).
        first: float (N,), its scores of the positive class.
        second: the same of the other one.

    Source: DeLong, DeLong and Clarke-Pearson 1988; computed as in Sun and Xu 2014.
    """
    from scipy.stats import norm

    areas, covariance = _delong(np.asarray(positive, bool), np.stack([first, second]).astype(np.float64))
    difference = areas[0] - areas[1]
    variance = max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)
    if variance > 0:
        p_value = float(2 * norm.sf(abs(difference) / np.sqrt(variance)))
    else:
        p_value = 1.0 if difference == 0 else 0.0
    return AucComparison(
        _normal_estimate(areas[0], covariance[0, 0], clip=True),
        _normal_estimate(areas[1], covariance[1, 1], clip=True),
        _normal_estimate(difference, variance, clip=False),
        p_value if np.isfinite(difference) else float("nan"),
    )


def _delong(positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Areas (K,) and their covariance (K, K) for scores (K, N)."""
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return np.full(len(scores), np.nan), np.full((len(scores), len(scores)), np.nan)
    ranks = rankdata(scores, axis=1)
    among_positives = rankdata(scores[:, positive], axis=1)
    among_negatives = rankdata(scores[:, ~positive], axis=1)
    above = (ranks[:, positive] - among_positives) / n  # (K, m): share of negatives below each positive
    below = 1 - (ranks[:, ~positive] - among_negatives) / m  # (K, n): share of positives above each negative
    areas: Floats = above.mean(axis=1)
    covariance: Floats = _covariance(above) / m + _covariance(below) / n
    return areas, covariance


def _covariance(values: Floats) -> Floats:
    """The covariance of rows, (K, K); zero for a single column."""
    centered = values - values.mean(axis=1, keepdims=True)
    product: Floats = centered @ centered.T / max(values.shape[1] - 1, 1)
    return product


def _normal_estimate(value: float, variance: float, clip: bool) -> Estimate:
    half = Z * float(np.sqrt(variance))
    low, high = float(value) - half, float(value) + half
    return Estimate(float(value), max(low, 0.0), min(high, 1.0)) if clip else Estimate(float(value), low, high)


def reliability(outcomes: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> Reliability:
    """Predicted probabilities against observed shares, in bins of equal width.

    Args:
        outcomes: bool (N,), whether the event came true.
        probabilities: float (N,), in [0, 1].
        bins: how many.

    Source: DeGroot and Fienberg 1983; Guo et al. 2017.
    """
    came_true, p = np.asarray(outcomes, bool), np.asarray(probabilities, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip((p * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    successes = np.bincount(place, came_true, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, p, minlength=bins) / count
        observed = successes / count
    low, high = wilson_interval(successes, count)
    return Reliability(edges, count, predicted, observed, low, high)


def expected_calibration_error(bins: Reliability) -> float:
    """The mean distance of predicted from observed, weighted by images, in [0, 1].

    Source: Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017.
    """
    filled = bins.count > 0
    distance = np.abs(bins.predicted[filled] - bins.observed[filled])
    return float((distance * bins.count[filled]).sum() / bins.count.sum()) if filled.any() else float("nan")


def predicted_event(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """The event whose calibration is assessed: outcomes (N,) and their predicted probabilities (N,).

    With two classes the event is that an image is of class 1; with more, that the most probable class is right.
    """
    if probabilities.shape[1] == 2:
        return labels == 1, probabilities[:, 1]
    return labels == probabilities.argmax(axis=1), probabilities.max(axis=1)


def brier_score(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """The mean squared distance of probabilities from the truth: in [0, 1] with two classes, [0, 2] with more.

    Source: Brier 1950; with two classes the usual half of it, of class 1 alone.
    """
    truth = labels[:, None] == np.arange(probabilities.shape[1])
    total = ((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1).mean()
    return float(total / 2 if probabilities.shape[1] == 2 else total)


def image_losses(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Floats:
    """Cross-entropy of each image, float64 (N,), natural logarithm, clipped as Keras does (at most 16.1)."""
    own = probabilities.astype(np.float64)[np.arange(len(labels)), labels]
    losses: Floats = -np.log(np.clip(own, 1e-7, 1 - 1e-7))
    return losses


def mean_interval(values: ArrayLike) -> Estimate:
    """The mean of repeats with Student's interval; NaN bounds for fewer than two."""
    from scipy.stats import t

    numbers = np.asarray(values, np.float64)
    count = len(numbers)
    if count < 2:
        return Estimate(float(numbers.mean()) if count else float("nan"), float("nan"), float("nan"))
    half = float(t.ppf((1 + LEVEL) / 2, count - 1) * numbers.std(ddof=1) / np.sqrt(count))
    center = float(numbers.mean())
    return Estimate(center, center - half, center + half)


def next_interval(values: ArrayLike) -> Estimate:
    """The mean of repeats, with Student's prediction interval for one more repeat.

    NaN bounds for fewer than two. Source: Hahn and Meeker 1991, section 4.7.
    """
    mean = mean_interval(values)
    half = (mean.high - mean.value) * float(np.sqrt(np.size(values) + 1))
    return Estimate(mean.value, mean.value - half, mean.value + half)


def mean_difference(first: ArrayLike, second: ArrayLike) -> Estimate:
    """The difference of two means, first minus second, with Welch's interval; NaN bounds for fewer than two each.

    Source: Welch 1947.
    """
    from scipy.stats import t

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    difference = float(a.mean() - b.mean()) if len(a) and len(b) else float("nan")
    if len(a) < 2 or len(b) < 2:
        return Estimate(difference, float("nan"), float("nan"))
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if va + vb == 0:
        return Estimate(difference, difference, difference)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(va + vb))
    return Estimate(difference, difference - half, difference + half)
