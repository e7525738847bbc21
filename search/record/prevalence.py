"""Class shares: those at which a winner's probabilities hold, and the probabilities at others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.record.schema import RunRecord, TrialRecord, Winner


def held_shares(run: RunRecord, members: Sequence[TrialRecord], winner: Winner) -> tuple[float, ...]:
    """The class shares at which a winner's probabilities hold, in the order of the classes.

    They are equal after calibration, and where training weighs every class alike. Without either they are those of the
    training images. Empty where the members weigh the classes differently: the shares are not known then.

    Args:
        run: of the winner.
        members: its trials.
        winner: its record.
    """
    weights = {trial.parameters.get("class_weights", run.config["train"]["class_weights"]) for trial in members}
    if winner.calibrated_on or weights == {"balanced"}:
        return (1 / len(run.classes),) * len(run.classes)
    if weights == {"none"}:
        counts = run.data["counts"]["train"]
        return tuple(count / sum(counts) for count in counts)
    return ()


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
