"""The operating point: from which probability on an image is called positive, and what these decisions are worth."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search.plan.settings import SettingsError
from search.record import Decisions, OperatingPoint, Rate
from search.record.intervals import UNDEFINED, Z, effective_count, share_rate


def choose_point(
    labels: NDArray[np.int64], positive: NDArray[np.floating], wanted: Mapping[str, float] | None, chosen_on: str
) -> OperatingPoint:
    """The operating point that reaches a wanted rate, and has the best other rate of those that do.

    The threshold lies halfway between two images, so that rounding moves none of them across it.

    Args:
        labels: int64 (N,), 1 is the positive class; of validation.
        positive: float (N,), the probability of the positive class.
        wanted: the least rate by name, `sensitivity` or `specificity`, in (0, 1); None for the more probable class.
        chosen_on: the name of this set of images.

    Raises:
        SettingsError: a class has no image.
    """
    if wanted is None:
        return OperatingPoint()
    of_positive, of_negative = np.sort(positive[labels == 1]), np.sort(positive[labels == 0])
    if not len(of_positive) or not len(of_negative):
        raise SettingsError(
            f"evaluate.operating_point is set on images of both classes. Received: {chosen_on} with "
            f"{len(of_positive)} positive and {len(of_negative)} negative ones. Leave it out."
        )
    ((name, least),) = wanted.items()
    cuts = _cuts(positive)
    if name == "sensitivity":
        found = len(of_positive) - np.searchsorted(of_positive, cuts)  # images at each cut or above
        threshold = cuts[found / len(of_positive) >= least].max()
    else:
        threshold = cuts[np.searchsorted(of_negative, cuts) / len(of_negative) >= least].min()
    return OperatingPoint(f"{name} {least:g}", float(threshold), chosen_on)


def finding_points(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], wanted: Mapping[str, float] | None, chosen_on: str
) -> tuple[OperatingPoint, ...]:
    """Where each of several findings is called present; a finding that no image or each shows has 0.5.

    Args:
        labels: 0 or 1, int64 (N, K); of validation.
        probabilities: float (N, K).
        wanted: as in `choose_point`; None for the largest sum of sensitivity and specificity.
        chosen_on: the name of this set of images.
    """
    points = []
    for shown, p in zip(labels.T, probabilities.T, strict=True):
        if shown.all() or not shown.any():
            points.append(OperatingPoint())
        elif wanted is None:
            points.append(OperatingPoint("Youden's index", _youden_threshold(shown, p), chosen_on))
        else:
            points.append(choose_point(shown, p, wanted, chosen_on))
    return tuple(points)


def _youden_threshold(labels: NDArray[np.int64], positive: NDArray[np.floating]) -> float:
    """The threshold with the largest sum of sensitivity and specificity, the highest of equals.

    Source: Youden 1950, 'Index for rating diagnostic tests'.
    """
    cuts = _cuts(positive)
    of_positive, of_negative = np.sort(positive[labels == 1]), np.sort(positive[labels == 0])
    sensitivity = 1 - np.searchsorted(of_positive, cuts) / len(of_positive)
    specificity = np.searchsorted(of_negative, cuts) / len(of_negative)
    index = sensitivity + specificity
    return float(cuts[index >= index.max() - 1e-12].max())


def _cuts(positive: NDArray[np.floating]) -> NDArray[np.float64]:
    """Thresholds below, between and above the probabilities, float64, in order."""
    values = np.unique(positive).astype(np.float64)
    above_all = max((values[-1] + 1) / 2, float(np.nextafter(np.float32(values[-1]), np.float32(2))))
    return np.concatenate([[values[0] / 2], (values[:-1] + values[1:]) / 2, [above_all]])


def decisions_on(
    dataset: str,
    labels: NDArray[np.int64],
    positive: NDArray[np.floating],
    patients: NDArray[np.int64],
    point: OperatingPoint,
    prevalence: float | None,
) -> list[Decisions]:
    """What decisions on a set of images are worth, at the set's prevalence and at a stated one.

    Args:
        dataset: the set's name.
        labels: int64 (N,), 1 is the positive class.
        positive: float (N,), the probability of the positive class.
        patients: int64 (N,), the units of the intervals.
        point: where the decisions are made.
        prevalence: the stated one, in (0, 1); None for none.
    """
    called, is_positive = positive.astype(np.float64) >= point.threshold, labels == 1
    among_positive = called[is_positive], patients[is_positive]  # which are called positive
    among_negative = called[~is_positive], patients[~is_positive]
    rates = share_rate(*among_positive), share_rate(~among_negative[0], among_negative[1])
    values = (
        share_rate(is_positive[called], patients[called]),
        share_rate(~is_positive[~called], patients[~called]),
    )
    images = len(labels)
    own = Decisions(dataset, images, float(is_positive.mean()), False, *rates, *values)
    if prevalence is None:
        return [own]
    found, counts = zip(*(_counts(*each) for each in (among_positive, among_negative)), strict=True)
    missed = [count - right for right, count in zip(found, counts, strict=True)]
    ppv = predictive_value(found[0], counts[0], found[1], counts[1], prevalence)
    npv = predictive_value(missed[1], counts[1], missed[0], counts[0], 1 - prevalence)
    return [own, Decisions(dataset, images, prevalence, True, *rates, ppv, npv)]


def predictive_value(right: float, own: float, wrong: float, others: float, share: float) -> Rate:
    """The share of a decision's images that are of its class, where the class has another share than in the set.

    The interval is that of the value's logit, half an image being added to each count, so that it also holds where a
    rate is 0 or 1; it includes the value. Wilson's limits of both rates, combined, cover less well where rates are
    high.

    Args:
        right: how many of the `own` images of the class the decision found.
        own: how many images of the class there are.
        wrong: how many of the `others` images of the other class it was made on.
        others: how many images of the other class there are; each number as of independent images.
        share: of the class, in (0, 1).

    Source: Mercaldo, Lau, Zhou 2007, 'Confidence intervals for predictive values with an emphasis to case-control
    studies'; Gart 1966 for the halves.
    """
    if not own or not others or not right + wrong:
        return UNDEFINED
    odds = share / (1 - share)
    value = odds * right / own / (odds * right / own + wrong / others)
    n, m = own + 1, others + 1
    a, b = (right + 0.5) / n, (wrong + 0.5) / m
    half = Z * np.sqrt((1 - a) / (a * n) + (1 - b) / (b * m))
    low, high = (float(1 / (1 + b / (a * odds) * np.exp(side))) for side in (half, -half))
    return Rate(value, min(low, value), max(high, value))


def _counts(came_true: NDArray[np.bool_], patients: NDArray[np.int64]) -> tuple[float, float]:
    """For how many of independent images it came true, and how many they are."""
    count = effective_count(came_true, patients) if len(came_true) else 0.0
    return float(came_true.mean()) * count if count else 0.0, count
