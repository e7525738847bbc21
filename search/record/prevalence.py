"""Class probabilities where the positive class has another share than the one at which they hold."""

import numpy as np
from numpy.typing import NDArray


def reweight(probabilities: NDArray[np.floating], prevalence: float, held_at: float = 0.5) -> NDArray[np.float64]:
    """The probabilities of two classes at a prevalence: float64 (N, 2), rows sum to 1.

    The odds of the positive class are multiplied by prevalence / (1 - prevalence), and divided by those of the share at
    which the probabilities hold. This is right where only the shares differ, not what images of a class look like.

    Args:
        probabilities: float (N, 2), the positive class second; rows sum to 1.
        prevalence: the share of the positive class, in (0, 1).
        held_at: the share of the positive class at which the probabilities hold, in (0, 1).

    Source: Saerens, Latinne, Decaestecker 2002, 'Adjusting the Outputs of a Classifier to New a Priori Probabilities'.
    """
    factors = np.array([(1 - prevalence) / (1 - held_at), prevalence / held_at])
    weighted = probabilities.astype(np.float64) * factors
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True), np.float64)
