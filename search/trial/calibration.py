"""Calibrates class probabilities on images that the model was not trained on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """A change of class probabilities p to softmax(slope * log p + bias).

    With two classes, the order of images by a class's probability stays the same, and so does the AUC. The model's
    confidence changes, and so does the threshold between the classes.

    Attributes:
        slope: above 0; below 1 makes a model less confident.
        bias: one number a class, the first 0.
    """

    slope: float
    bias: tuple[float, ...]

    @classmethod
    def none(cls, classes: int) -> "Calibration":
        """The calibration that changes nothing."""
        return cls(1.0, (0.0,) * classes)

    def apply(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """The calibrated probabilities: float64 (N, K), rows sum to 1; from (N, K)."""
        z = self.slope * _logarithm(probabilities) + np.array(self.bias)
        z -= z.max(axis=1, keepdims=True)
        return np.asarray(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), np.float64)


def fit_calibration(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    most_slope: float = math.inf,
    is_balanced: bool = True,
    least_slope: float = 0.0,
) -> Calibration:
    """The calibration with the least cross-entropy, every class counting the same however many images it has.

    How common a class is differs from hospital to hospital: calibrated probabilities hold at equal class shares, and
    the class with the largest one is the one for which balanced accuracy is best. The problem is convex in slope and
    bias; Newton's method solves it in a few milliseconds, the same way every time.

    Args:
        labels: int64 (N,), in [0, K), every class there.
        probabilities: float (N, K), rows sum to 1.
        most_slope: the largest slope allowed; 1 never makes a model more sure than it is.
        is_balanced: False where every image counts the same: the probabilities then hold at the shares of these images.
        least_slope: the smallest slope allowed; above 0 the order of images stays, whatever these ones say.

    Source: Platt 1999 (two classes); Guo et al. 2017, 'On Calibration of Modern Neural Networks'.
    """
    classes = probabilities.shape[1]
    weights = _weights(labels, is_balanced)
    log_p = _logarithm(probabilities)
    inputs = np.zeros((len(labels), classes, classes))  # (N, K, parameters): of slope and of the biases but the first
    inputs[:, :, 0] = log_p
    inputs[:, range(1, classes), range(1, classes)] = 1.0
    neutral, prior = np.eye(classes)[0], np.append(_PRIOR * _spread(log_p) ** 2, np.full(classes - 1, _PRIOR))
    theta = _newton(labels, inputs, weights, np.zeros((len(labels), classes)), neutral, prior)
    slope = float(np.clip(theta[0], least_slope, most_slope))
    if slope != theta[0]:  # convex: the best of those allowed lies on the bound
        theta = np.append(slope, _newton(labels, inputs[:, :, 1:], weights, slope * log_p, neutral[1:], prior[1:]))
    return Calibration(slope, (0.0, *map(float, theta[1:])))


def _weights(labels: NDArray[np.int64], is_balanced: bool) -> NDArray[np.float64]:
    """What each image counts, (N,), sums to 1: the same, or where balanced as much as its class has few."""
    if not is_balanced:
        return np.full(len(labels), 1 / max(len(labels), 1))
    counts = np.bincount(labels)
    return np.asarray((1.0 / np.maximum(counts, 1))[labels] / np.count_nonzero(counts), np.float64)


def calibrated_loss(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float | None:
    """The cross-entropy after calibration on the same images, every class counting the same: natural logarithm.

    It measures how well a model tells the classes apart, whatever its probabilities are worth as they stand: an epoch
    or a configuration is not preferred for being calibrated by chance.

    Args:
        labels: int64 (N,), in [0, K).
        probabilities: float (N, K), rows sum to 1.

    Returns:
        None when a class has no image or a probability is not a finite number.

    Source: Berta, Holzmueller, Jordan, Bach 2025, 'Rethinking Early Stopping: Refine, Then Calibrate'.
    """
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if not counts.all() or not np.isfinite(probabilities).all():
        return None
    return balanced_loss(labels, fit_calibration(labels, probabilities).apply(probabilities))


_PRIOR = 1e-4  # a trace, towards no change: images that are told apart without a mistake have no best slope
_LEAST_SPREAD = 1e-3  # below it, logarithms of float32 probabilities differ by rounding more and more
_NEWTON_STEPS = 100


def _spread(log_p: NDArray[np.float64]) -> float:
    """How much the logarithms (N, K) of an image's probabilities differ from those of other images, at most 1.

    The prior of the slope is scaled by it. A model that has hardly learnt to be confident, but orders images well,
    needs a large slope, which is then no less likely than 1 is for others.
    """
    centred = log_p - log_p.mean(axis=1, keepdims=True)
    return float(np.clip(np.sqrt(centred.var(axis=0).mean()), _LEAST_SPREAD, 1.0))


def _newton(
    labels: NDArray[np.int64],
    inputs: NDArray[np.float64],
    weights: NDArray[np.float64],
    fixed: NDArray[np.float64],
    neutral: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The parameters (P,) of least weighted cross-entropy of softmax(inputs (N, K, P) @ parameters + fixed (N, K)).

    `neutral`, (P,), are those that change nothing: the start, and what the prior, (P,), draws towards.
    """
    rows = np.arange(len(labels))

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = inputs @ theta + fixed
        z -= z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(z).sum(axis=1))
        value = (weights * (log_sum - z[rows, labels])).sum() + (prior * (theta - neutral) ** 2).sum()
        return float(value), np.exp(z - log_sum[:, None])

    theta = neutral.copy()
    value, p = loss(theta)
    for _ in range(_NEWTON_STEPS):
        mean = np.einsum("nk,nkp->np", p, inputs)
        gradient = weights @ (mean - inputs[rows, labels]) + 2 * prior * (theta - neutral)
        second = np.einsum("n,nk,nkp,nkq->pq", weights, p, inputs, inputs, optimize=True)
        second += 2 * np.diag(prior) - (weights[:, None] * mean).T @ mean
        step = np.linalg.solve(second, gradient)
        if gradient @ step < 1e-12:
            break
        size = 1.0
        while (tried := loss(theta - size * step))[0] > value and size > 1e-6:
            size /= 2
        theta, (value, p) = theta - size * step, tried
    return theta


# The winner's calibration never makes a model more confident. A slope above 1 is what label smoothing asks for on
# images like those of training; on images from elsewhere the losses of the first three exported winners rose with it.
MOST_SLOPE = 1.0
# Where a model orders the images by chance or worse, little of its confidence is left, and the order as it is.
LEAST_SLOPE = 0.01
# How many standard errors the gain on held-out images must exceed: the one-sided 95 % bound of a normal error.
_MARGIN = 1.645


@dataclass(frozen=True)
class HeldOut:
    """Predictions as they are, and calibrated on images of other groups than their own.

    Attributes:
        labels: int64 (N,), in [0, K).
        probabilities: float (N, K), rows sum to 1.
        calibrated: float64 (N, K), rows sum to 1.
        is_balanced: as in `fit_calibration`, for the losses too.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.floating]
    calibrated: NDArray[np.float64]
    is_balanced: bool = True

    @property
    def losses(self) -> tuple[float, float]:
        """The cross-entropy as it is, and the one to expect for a group that calibration was not fitted on."""
        weights = _weights(self.labels, self.is_balanced)
        as_is, calibrated = (weights @ _losses(self.labels, p) for p in (self.probabilities, self.calibrated))
        return float(as_is), float(calibrated)

    def clearly_helps(self, patients: NDArray[np.str_]) -> bool:
        """Whether calibration lowers the loss by more than its sampling error, patients being drawn.

        A class that a single patient shows tells nothing of that error: there it is False.

        Args:
            patients: the patient of each image, (N,); images of one patient err together.

        Source: the cluster-robust standard error of a mean, Liang and Zeger 1986, each class with n / (n - 1) of its n
        patients.
        """
        _, places = np.unique(patients, return_inverse=True)
        pairs = np.unique(np.stack([self.labels, places], axis=1), axis=0)
        of_class = np.bincount(pairs[:, 0])[self.labels]  # (N,) how many patients have images of its class
        if of_class.min() < 2:
            return False
        gains = _losses(self.labels, self.probabilities) - _losses(self.labels, self.calibrated)  # (N,)
        weights = _weights(self.labels, self.is_balanced)
        means = np.bincount(self.labels, gains) / np.maximum(np.bincount(self.labels), 1)  # (K,)
        errors = weights * (gains - means[self.labels]) * np.sqrt(of_class / (of_class - 1))  # (N,) shares of the error
        standard_error = float(np.sqrt((np.bincount(places, errors) ** 2).sum()))
        return bool(weights @ gains > _MARGIN * standard_error)


def hold_out(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    groups: NDArray[np.str_],
    is_balanced: bool = True,
) -> HeldOut:
    """The predictions with the images of each group calibrated on those of all other groups.

    Args:
        labels: int64 (N,), in [0, K).
        probabilities: float (N, K), rows sum to 1.
        groups: the group of each image, (N,). The images of a group without which a class is missing stay as they are.
        is_balanced: as in `fit_calibration`.

    Source: leave-one-domain-out cross-validation, Gulrajani and Lopez-Paz 2021, 'In Search of Lost Domain
    Generalization'.
    """
    calibrated = probabilities.astype(np.float64)
    for group in np.unique(groups):
        own = groups == group
        if set(labels[~own]) == set(labels):
            others = fit_calibration(labels[~own], probabilities[~own], MOST_SLOPE, is_balanced, LEAST_SLOPE)
            calibrated[own] = others.apply(probabilities[own])
    return HeldOut(labels, probabilities, calibrated, is_balanced)


def two_columns(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """The probabilities that an image does not show a finding and that it does, float64 (N, 2); from (N,)."""
    shown = p.astype(np.float64)
    return np.column_stack([1 - shown, shown])


def balanced_loss(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """The cross-entropy, natural logarithm, every class counting the same; of labels (N,), probabilities (N, K)."""
    losses = _losses(labels, probabilities)
    return float(np.mean([losses[labels == each].mean() for each in np.unique(labels)]))


def _losses(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """The cross-entropy of each image, (N,)."""
    return -_logarithm(probabilities)[np.arange(len(labels)), labels]


def _logarithm(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.clip(probabilities.astype(np.float64), 1e-7, 1.0)), np.float64)
