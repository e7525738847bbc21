"""Calibrates class probabilities on images that the model was not trained on."""

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


def fit_calibration(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Calibration:
    """The calibration with the lowest cross-entropy; every class has the same weight, whatever its number of images.

    The share of a class differs from hospital to hospital. The calibrated probabilities are those at equal shares, and
    choosing the class with the largest one gives the best balanced accuracy.

    Args:
        labels: int64 (N,), in [0, K); every class occurs.
        probabilities: float (N, K), rows sum to 1.

    Source: Platt 1999 (two classes); Guo et al. 2017, 'On Calibration of Modern Neural Networks'.
    """
    from scipy.optimize import minimize

    classes = probabilities.shape[1]
    log_p = _logarithm(probabilities)
    weights = (1.0 / np.bincount(labels, minlength=classes))[labels] / classes  # (N,), sums to 1

    def loss(theta: NDArray[np.float64]) -> float:
        z = np.exp(theta[0]) * log_p + np.append(0.0, theta[1:])
        z -= z.max(axis=1, keepdims=True)
        own = z[np.arange(len(labels)), labels] - np.log(np.exp(z).sum(axis=1))
        # A weak prior towards no change: perfectly separated classes have no best slope.
        return float(-(weights * own).sum() + 1e-4 * (theta**2).sum())

    theta = minimize(loss, np.zeros(classes), method="BFGS").x
    return Calibration(float(np.exp(theta[0])), (0.0, *map(float, theta[1:])))


def held_out_losses(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], groups: NDArray[np.str_]
) -> tuple[float, float]:
    """The cross-entropy as it is, and with the images of each group calibrated on those of all other groups.

    The second is the loss to expect for images of a group that the calibration was not fitted on. Every class has the
    same weight.

    Args:
        labels: int64 (N,), in [0, K).
        probabilities: float (N, K), rows sum to 1.
        groups: the group of each image, (N,). The images of a group without which a class is missing stay as they are.

    Source: leave-one-domain-out cross-validation, Gulrajani and Lopez-Paz 2021, 'In Search of Lost Domain
    Generalization'.
    """
    calibrated = probabilities.astype(np.float64)
    for group in np.unique(groups):
        own = groups == group
        if set(labels[~own]) == set(labels):
            calibrated[own] = fit_calibration(labels[~own], probabilities[~own]).apply(probabilities[own])
    return _balanced_loss(labels, probabilities), _balanced_loss(labels, calibrated)


def _balanced_loss(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    losses = -_logarithm(probabilities)[np.arange(len(labels)), labels]
    return float(np.mean([losses[labels == each].mean() for each in np.unique(labels)]))


def _logarithm(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.clip(probabilities.astype(np.float64), 1e-7, 1.0)), np.float64)
