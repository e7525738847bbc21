"""Scores predicted probabilities, with the same function for validation in a trial and for the test set."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from search.record import UNKNOWN, FindingScore
from search.trial.calibration import calibrated_loss


@dataclass(frozen=True)
class Scores:
    """The scores of predictions; fractions in [0, 1], `None` where undefined.

    Attributes:
        loss: cross-entropy, natural logarithm, mean over images.
        auc: area under the ROC curve; with three classes the mean of one-against-the-rest.
        sensitivity, specificity: with two classes, of class 1, the positive one, at a probability of 0.5.
        confusion: int64 (K, K); rows are true classes, columns predicted ones.
        average_precision: of the positive class; with more than two classes the mean of one-against-the-rest. It falls
            with the share of the class, where AUC does not.
        findings: of several findings an image, the scores of each. The other scores are then means over findings,
            AUC and average precision over those that some images show and some do not; there is no confusion.
    """

    loss: float
    accuracy: float
    balanced_accuracy: float
    auc: float | None
    sensitivity: float | None
    specificity: float | None
    confusion: NDArray[np.int64]
    average_precision: float | None = None
    findings: tuple[FindingScore, ...] = ()


def score(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Scores:
    """The scores of predictions against the truth.

    Args:
        labels: int64 (N,), in [0, K); or of several findings an image 0, 1 or UNKNOWN, (N, K).
        probabilities: float (N, K); of classes, rows sum to 1.

    Returns:
        NaN as the loss if a probability is NaN; accuracies count such an image as wrong.
    """
    if labels.ndim == 2:
        return _score_findings(labels, probabilities.astype(np.float64))
    count, classes = probabilities.shape
    p = probabilities.astype(np.float64)
    broken = ~np.isfinite(p).all(axis=1)  # (N,)
    own = p[np.arange(count), labels]  # (N,) probability of the true class
    # Keras' own clip: a confident wrong answer costs 16.1, not infinity.
    loss = float(-np.log(np.clip(own, 1e-7, 1 - 1e-7)).mean())
    predicted = np.where(broken, (labels + 1) % classes, p.argmax(axis=1))
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    truth = confusion.sum(axis=1)
    recall = np.diag(confusion) / np.maximum(truth, 1)  # (K,)
    binary = classes == 2 and bool((truth > 0).all())
    return Scores(
        loss=loss,
        accuracy=float(np.diag(confusion).sum() / count),
        balanced_accuracy=float(recall[truth > 0].mean()),
        auc=None if broken.any() else mean_auc(labels, p),
        sensitivity=float(recall[1]) if binary else None,
        specificity=float(recall[0]) if binary else None,
        confusion=confusion,
        average_precision=None if broken.any() else mean_average_precision(labels, p),
    )


def _score_findings(labels: NDArray[np.int64], p: NDArray[np.float64]) -> Scores:
    """The scores of the probabilities (N, K) of findings, over the labels that are known, 0 or 1."""
    shown, known, finite = labels == 1, labels != UNKNOWN, np.isfinite(p)
    right = finite & ((p >= 0.5) == shown)
    with np.errstate(invalid="ignore"):
        found, kept = ((right & own).sum(axis=0) / own.sum(axis=0) for own in (shown, known & ~shown))  # (K,)
    findings = tuple(_score_finding(shown[own, k], p[own, k]) for k, own in enumerate(known.T))
    judged = np.array([finding.auc is not None for finding in findings])
    ranked = bool(finite.all() and judged.any())
    return Scores(
        loss=float(-np.log(np.clip(np.where(shown, p, 1 - p), 1e-7, 1 - 1e-7))[known].mean()),
        accuracy=float(right[known].mean()),
        balanced_accuracy=float(((found + kept) / 2)[np.isfinite(found + kept)].mean()) if judged.any() else math.nan,
        auc=_mean_of(findings, "auc") if ranked else None,
        sensitivity=None,
        specificity=None,
        confusion=np.zeros((0, 0), np.int64),
        average_precision=_mean_of(findings, "average_precision") if ranked else None,
        findings=findings,
    )


def _score_finding(shown: NDArray[np.bool_], p: NDArray[np.float64]) -> FindingScore:
    """The scores of one finding; AUC and average precision need images with it and without it."""
    if not len(shown):
        return FindingScore(None, None, None)
    positives = int(shown.sum())
    if not 0 < positives < len(shown) or not np.isfinite(p).all():
        return FindingScore(positives, None, None)
    return FindingScore(positives, float(_area(shown, p)), _average_precision(shown, p))


def _mean_of(findings: Sequence[FindingScore], name: str) -> float:
    """The mean of a score over the findings that have it."""
    return fmean(value for each in findings if (value := getattr(each, name)) is not None)


@dataclass(frozen=True, kw_only=True)
class JudgedScores(Scores):
    """The scores that a trial is judged by.

    Attributes:
        calibrated_loss: cross-entropy after calibration on these very images (search.trial.calibration): a means to
            choose by, no result.
    """

    calibrated_loss: float | None


def judge(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> JudgedScores:
    """As `score`, with the loss after calibration; findings are not calibrated."""
    calibrated = calibrated_loss(labels, probabilities) if labels.ndim == 1 else None
    return JudgedScores(**vars(score(labels, probabilities)), calibrated_loss=calibrated)


def mean_auc(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    """The area under the ROC curve: of class 1 with two classes, else the mean over classes.

    Computed from mid-ranks (Mann-Whitney), which counts ties as one half.

    Returns:
        `None` when a class has no image, or all of them.
    """
    return _mean_over_classes(_area, labels, probabilities)


def mean_average_precision(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    """The average precision: of class 1 with two classes, else the mean over classes.

    The mean of the precisions at each recall that a threshold reaches, weighted by the rise in recall.

    Returns:
        `None` when a class has no image, or all of them.
    """
    return _mean_over_classes(_average_precision, labels, probabilities)


def _mean_over_classes(
    measure: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> float | None:
    """A measure of one class against the rest: of class 1 with two classes, else its mean over classes.

    Args:
        measure: from which images are of the class, bool (N,), and their probabilities of it, float64 (N,).
        labels: int64 (N,).
        probabilities: float64 (N, K).

    Returns:
        `None` when a class has no image, or all of them.
    """
    classes = probabilities.shape[1]
    found = []
    for k in (1,) if classes == 2 else range(classes):
        positive = labels == k
        if positive.all() or not positive.any():
            return None
        found.append(measure(positive, probabilities[:, k]))
    return float(np.mean(found))


def _area(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The area under the ROC curve of one class."""
    from scipy.stats import rankdata

    n1, n0 = int(positive.sum()), int((~positive).sum())
    return (float(rankdata(scores)[positive].sum()) - n1 * (n1 + 1) / 2) / (n1 * n0)


def _average_precision(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The average precision of one class."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of each group of equal scores
    rises = np.diff(hits[ends], prepend=0) / hits[-1]
    return float((rises * hits[ends] / (ends + 1)).sum())
