"""Class probabilities where the classes have other shares than those at which they hold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def at_shares(
    probabilities: NDArray[np.floating], held: Sequence[float], wanted: Sequence[float]
) -> NDArray[np.float64]:
    """The probabilities where the classes have other shares: float64 (N, K), rows sum to 1.

    The odds of two classes are multiplied by the ratio of their prior odds (Bayes).

    Args:
        probabilities: float (N, K), rows sum to 1.
        held: the K class shares at which they hold, each above 0.
        wanted: the K class shares at which they are wanted.

    Source: Saerens, Latinne, Decaestecker 2002, 'Adjusting the Outputs of a Classifier to New a Priori Probabilities'.
    """
    weighted = np.asarray(probabilities, np.float64) * (np.asarray(wanted) / np.asarray(held))
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True), np.float64)


def at_prevalence(probabilities: NDArray[np.floating], held: Sequence[float], prevalence: float) -> NDArray[np.float64]:
    """`at_shares` for two classes, the second of which has this share: float64 (N, 2)."""
    return at_shares(probabilities, held, (1 - prevalence, prevalence))
