"""The table of mixtures: whether the mean of two runs' winners would be better, by validation."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import statistics
from analysis.load import Run, run_labels
from analysis.scored import scored_winner
from analysis.table import Table
from search.record import SHIFTED, VALIDATION
from search.record.intervals import count_patients

SHARES = (0.0, 0.1, 0.3, 0.5, 1.0)  # of the second winner
_COLUMNS = ("first", "second", "second_share", "dataset", "images", "patients", "loss", "accuracy", "balanced_accuracy")


def mixtures(runs: Sequence[Run]) -> pd.DataFrame:
    """The weighted mean of each two winners' probabilities, on the images that validated in both runs.

    Neither winner trained on these images. Test and outside sets are left out: a mixture is a choice.

    Returns:
        A row a pair, set and share of the second winner; fractions in [0, 1], and the cross-entropy with every class
        counting the same (natural logarithm). No rows for runs without a winner, of other classes, or without an image
        in common.
    """
    lines: list[dict[str, Any]] = []
    for (first, one), (second, other) in combinations(zip(run_labels(runs), runs, strict=True), 2):
        for dataset in (SHIFTED, VALIDATION):
            place = {"first": first, "second": second, "dataset": dataset}
            lines += [place | scores for scores in _each_share(_in_common(one, other, dataset), one.classes)]
    return pd.DataFrame(lines, columns=[*_COLUMNS])


def _in_common(one: Run, other: Run, dataset: str) -> pd.DataFrame:
    """A row an image that both winners were scored on: `label`, `patient`, `p_<class>_one`, `p_<class>_other`."""
    first, second = scored_winner(one), scored_winner(other)
    if first is None or second is None or one.classes != other.classes:
        return one.no_predictions
    probabilities = second.predictions(dataset)[["image_id", *(f"p_{name}" for name in other.classes)]]
    return first.predictions(dataset).merge(probabilities, on="image_id", suffixes=("_one", "_other"))


def _each_share(images: pd.DataFrame, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The scores with each share of the second winner; none without an image."""
    if not len(images):
        return
    labels, patients = images["label"].to_numpy(np.int64), images["patient"].to_numpy(np.int64)
    one, other = (images[[f"p_{name}_{side}" for name in classes]].to_numpy(np.float64) for side in ("one", "other"))
    for share in SHARES:
        counts = {"second_share": share, "images": len(images), "patients": count_patients(patients)}
        yield counts | _scores(labels, (1 - share) * one + share * other)


def _scores(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    right = labels == probabilities.argmax(axis=1)
    of_image = pd.DataFrame({"loss": statistics.image_losses(labels, probabilities), "right": right})
    of_class = of_image.groupby(labels).mean().mean()
    return {"loss": of_class["loss"], "accuracy": float(right.mean()), "balanced_accuracy": of_class["right"]}


def _of_several(runs: Sequence[Run]) -> bool:
    return False  # a question about two finished searches, which is asked by name


TABLES = (
    Table(
        "mixture",
        "The mean of two runs' winners, on the images that validated in both",
        "La moyenne des modèles retenus par deux recherches, sur les images de validation communes",
        mixtures,
        joint=True,
        headings_fr={"first": "premier", "second": "second", "second_share": "part du second"},
        fits=_of_several,
        caption="Probabilities are averaged; in the loss every class counts the same.",
        nothing="Two runs with winners of the same classes are needed, with validation images in common.",
        of_classes=True,
    ),
)
