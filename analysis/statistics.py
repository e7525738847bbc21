"""Intervals of scores over test images and over repeats, on NumPy arrays.

Arrays about images have one entry an image. Images of one patient are no independent draws, so that intervals over
images take patients for the units: `patients` numbers the patient of each image, int (N,). Where every image is a
patient of its own, they are the textbook's. All intervals are two-sided at 95 %.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.record.intervals import Floats, share_bounds

LEVEL = 0.95
RESAMPLES = 2000
_ROUNDING = 1e-9  # equal scores differ by less

# From positive images, scores and weights to an area for each row of weights.
WeightedArea = Callable[[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating]], Floats]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; NaN where the data do not determine it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """The observed share of an event, by bins of its predicted probability.

    Attributes:
        edges: float64 (B + 1,), in [0, 1].
        count: int64 (B,), images in each bin.
        predicted: float64 (B,), mean probability; NaN in an empty bin.
        observed: float64 (B,), observed share; NaN in an empty bin.
        low, high: float64 (B,), the interval of `observed` (`share_interval`).
    """

    edges: Floats
    count: NDArray[np.int64]
    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats


def share_interval(came_true: ArrayLike, patients: NDArray[np.integer]) -> Estimate:
    """The share of images for which something came true, in [0, 1], with Wilson's interval over patients.

    Args:
        came_true: bool (N,).
        patients: int (N,).
    """
    outcomes = np.asarray(came_true, bool)
    if not len(outcomes):
        return Estimate(float("nan"), float("nan"), float("nan"))
    return Estimate(float(outcomes.mean()), *share_bounds(outcomes, patients))


def bootstrap_weights(patients: NDArray[np.integer], resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float32]:
    """How often each image is drawn in each resample of the patients: float32 (resamples, N).

    A patient's images are drawn together. Two trials scored with the same weights are compared image by image (a paired
    bootstrap). NaN where all images are of one patient: they say nothing of others. The array is read-only: the last
    few are kept, since many trials are scored on the same images.

    Source: Efron and Tibshirani 1993, 'An Introduction to the Bootstrap', chapters 6 and 13; Davison and Hinkley 1997,
    'Bootstrap Methods and their Application', section 3.8 (clusters).
    """
    names, place = np.unique(patients, return_inverse=True)
    return _drawn_times(place.astype(np.int64).tobytes(), len(names), resamples, seed)


@functools.lru_cache(maxsize=3)  # of validation, test and an outside set
def _drawn_times(place: bytes, count: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each image is drawn, given the place of its patient, int64 (N,), among so many."""
    places = np.frombuffer(place, np.int64)
    if count == 1:
        found = np.full((resamples, len(places)), np.nan, np.float32)
    else:
        drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
        drawn += np.arange(resamples)[:, None] * count  # numbers of each resample in a range of its own
        times = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float32)
        found = times[:, places]
    found.flags.writeable = False
    return found


def vary_apart(weights: NDArray[np.floating], chosen: NDArray[np.bool_]) -> bool:
    """Whether the chosen images are of two patients or more: those of one are drawn the same number of times.

    A score that needs these images has no interval where they are of one patient.

    Args:
        weights: float (B, N), of `bootstrap_weights`.
        chosen: bool (N,).
    """
    few = weights[:32, chosen]  # these tell nearly always, without a copy of all
    own = few if (few != few[:, :1]).any() else weights[:, chosen]
    return bool((own != own[:, :1]).any())


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
    return percentile_interval(float(numbers.mean()), weights @ numbers.astype(np.float32) / weights.sum(axis=1))


def bootstrap_p(values: ArrayLike, weights: NDArray[np.floating], border: float) -> float:
    """The two-sided p value of the mean of one number an image being `border`; at least 2 / (resamples + 1).

    NaN where all images are of one patient. Source: Davison and Hinkley 1997, section 4.4.
    """
    means = weights @ np.asarray(values, np.float32) / weights.sum(axis=1)
    if np.isnan(means).any():
        return float("nan")
    below = min((means <= border).sum(), (means >= border).sum())
    return float(min(2 * (below + 1) / (len(means) + 1), 1.0))


def bootstrap_balanced_accuracy(
    labels: NDArray[np.integer], correct: ArrayLike, weights: NDArray[np.floating]
) -> Estimate:
    """The mean over classes of the share of right images, over its images; NaN bounds where one patient is a class."""
    right = np.asarray(correct, np.float32)
    members = (labels[:, None] == np.unique(labels)).astype(np.float32)  # (N, K)
    found = np.concatenate([members * right[:, None], members], axis=1)  # (N, 2 K)
    classes = members.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = weights @ found  # (B, 2 K)
        resampled = (sums[:, :classes] / sums[:, classes:]).mean(axis=1)  # (B,)
    recalls = found[:, :classes].sum(axis=0) / found[:, classes:].sum(axis=0)
    known = all(vary_apart(weights, own) for own in members.T.astype(bool))
    return percentile_interval(float(recalls.mean()), resampled if known else [])


def bootstrap_auc(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], weights: NDArray[np.floating]
) -> Estimate:
    """The area under the ROC curve over its images; with three classes the mean of one-against-the-rest.

    NaN bounds where the images of a class, or all others, are of one patient.

    Args:
        labels: int (N,), in [0, K).
        probabilities: float (N, K).
        weights: float (B, N), of `bootstrap_weights`.
    """
    return area_interval(resampled_areas(labels, probabilities, weights))


def area_interval(areas: Floats) -> Estimate:
    """The area, or the difference of two models' areas on the same images, of `resampled_areas`."""
    return percentile_interval(float(areas[0]), areas[1:])


def weighted_auc(positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.floating]) -> Floats:
    """Areas under the ROC curve, float64 (B,), one for each row of weights (B, N); ties count one half.

    NaN where a row has no positive or no negative image, and where a score is NaN. Time and memory grow with the
    images, not with the pairs of them.
    """
    if np.isnan(scores).any():
        return np.full(len(weights), np.nan)
    negatives = np.flatnonzero(~positive)
    negatives = negatives[np.argsort(scores[negatives])]
    of_positive, of_negative = weights[:, positive], weights.take(negatives, axis=1)  # (B, P), (B, Q)
    lowest = np.pad(np.cumsum(of_negative, axis=1), ((0, 0), (1, 0)))  # (B, Q + 1): of the first so many negatives
    below, not_above = (np.searchsorted(scores[negatives], scores[positive], side) for side in ("left", "right"))
    beaten = (lowest.take(below, axis=1) + lowest.take(not_above, axis=1)) / 2  # (B, P), by each positive
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = of_positive.sum(axis=1, dtype=np.float64) * of_negative.sum(axis=1, dtype=np.float64)
        area: Floats = (of_positive * beaten).sum(axis=1, dtype=np.float64) / pairs
    return area


def bootstrap_average_precision(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], weights: NDArray[np.floating]
) -> Estimate:
    """The average precision over its images; arguments, classes and NaN bounds as of `bootstrap_auc`."""
    return area_interval(resampled_areas(labels, probabilities, weights, weighted_precision))


def weighted_precision(
    positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.floating]
) -> Floats:
    """Average precision, float64 (B,), one for each row of weights (B, N); images of one score enter together.

    NaN where a row has no positive image, and where a score is NaN. Source: scikit-learn's `average_precision_score`.
    """
    if np.isnan(scores).any():
        return np.full(len(weights), np.nan)
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of each score
    sorted_weights = weights.take(order, axis=1).astype(np.float64)
    all_found = np.cumsum(sorted_weights, axis=1)[:, last]
    found = np.cumsum(sorted_weights * positive[order], axis=1)[:, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(all_found > 0, found / all_found, 0.0)
        area: Floats = (np.diff(found, axis=1, prepend=0.0) * precision).sum(axis=1) / found[:, -1]
    return area


def resampled_areas(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    weights: NDArray[np.floating],
    area: WeightedArea = weighted_auc,
) -> Floats:
    """Areas of the images as they are and of each resample, float64 (1 + B,), of `bootstrap_auc`.

    Args:
        labels: int (N,), in [0, K).
        probabilities: float (N, K).
        weights: float (B, N), of `bootstrap_weights`.
        area: `weighted_auc` or `weighted_precision`.
    """
    classes = probabilities.shape[1]
    places = (1,) if classes == 2 else range(classes)
    both = np.concatenate([np.ones((1, len(labels)), np.float32), weights])
    areas: Floats = np.mean([area(labels == k, probabilities[:, k], both) for k in places], axis=0)
    if not all(vary_apart(weights, side) for k in places for side in (labels == k, labels != k)):
        areas[1:] = np.nan
    return areas


def reliability(
    outcomes: ArrayLike, probabilities: ArrayLike, patients: NDArray[np.integer], bins: int = 10
) -> Reliability:
    """Predicted probabilities against observed shares, in bins of equal width.

    Args:
        outcomes: bool (N,), whether the event came true.
        probabilities: float (N,), in [0, 1].
        patients: int (N,).
        bins: how many.

    Source: DeGroot and Fienberg 1983; Guo et al. 2017.
    """
    came_true, p = np.asarray(outcomes, bool), np.asarray(probabilities, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip((p * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, p, minlength=bins) / count
    shares = [share_interval(came_true[place == each], patients[place == each]) for each in range(bins)]
    observed, low, high = (np.array([getattr(share, name) for share in shares]) for name in ("value", "low", "high"))
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
    """The mean of repeats with Student's interval; NaN bounds for repeats without a spread, as `mean_p`."""
    from scipy.stats import t

    numbers = np.asarray(values, np.float64)
    count = len(numbers)
    if not _has_spread(numbers):
        return Estimate(float(numbers.mean()) if count else float("nan"), float("nan"), float("nan"))
    half = float(t.ppf((1 + LEVEL) / 2, count - 1) * numbers.std(ddof=1) / np.sqrt(count))
    center = float(numbers.mean())
    return Estimate(center, center - half, center + half)


def mean_p(values: ArrayLike, border: float) -> float:
    """The two-sided p value of the mean of repeats being `border`, by Student's test.

    NaN for fewer than two repeats, and for equal ones: two pairs of the same difference do not say how others spread.
    """
    from scipy.stats import ttest_1samp

    numbers = np.asarray(values, np.float64)
    return float(ttest_1samp(numbers, border).pvalue) if _has_spread(numbers) else float("nan")


def _has_spread(numbers: Floats) -> bool:
    """Whether repeats differ by more than the rounding of a difference of scores."""
    return len(numbers) > 1 and float(np.ptp(numbers)) > _ROUNDING


def next_interval(values: ArrayLike) -> Estimate:
    """The mean of repeats, with Student's prediction interval for one more repeat.

    NaN bounds for fewer than two. Source: Hahn and Meeker 1991, section 4.7.
    """
    mean = mean_interval(values)
    half = (mean.high - mean.value) * float(np.sqrt(np.size(values) + 1))
    return Estimate(mean.value, mean.value - half, mean.value + half)


def mean_difference(first: ArrayLike, second: ArrayLike) -> Estimate:
    """The difference of two means, first minus second, with Welch's interval.

    NaN bounds for fewer than two each, and where neither side has a spread. Source: Welch 1947.
    """
    from scipy.stats import t

    difference, error, freedom = _welch(first, second)
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Estimate(difference, difference - half, difference + half)


def mean_difference_p(first: ArrayLike, second: ArrayLike, border: float) -> float:
    """The two-sided p value of the difference of two means being `border`, by Welch's test; NaN as there."""
    from scipy.stats import t

    difference, error, freedom = _welch(first, second)
    return float(2 * t.sf(abs(difference - border) / error, freedom))


def _welch(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """The difference of two means, its standard error and the degrees of freedom; NaN where they are unknown."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    difference = float(a.mean() - b.mean()) if len(a) and len(b) else float("nan")
    if min(len(a), len(b)) < 2 or not (_has_spread(a) or _has_spread(b)):
        return difference, float("nan"), float("nan")
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return difference, float(np.sqrt(va + vb)), float(freedom)
