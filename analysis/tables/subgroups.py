"""The table of the exported model's scores by subgroup: age, sex, view, as far as files or tables state them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired
from analysis.load import Run
from analysis.scored import ScoredImages, images_of, scored_winner
from analysis.statistics import Estimate
from analysis.table import Table
from search.record import SHIFTED, VALIDATION, Rate
from search.record.intervals import count_patients
from search.record.subgroups import FEWEST, NOT_SAID, TRAITS, divide_images, score_group

_SCORES = ("auc", "accuracy", "sensitivity", "specificity")
_NUMBERS = tuple(f"{name}{end}" for name in _SCORES for end in ("", "_low", "_high"))
COLUMNS = (
    *("dataset", "by", "group", "images", "patients", "positive_images"),
    *_NUMBERS,
    "note",
)


def subgroup_table(run: Run) -> pd.DataFrame:
    """The exported model's scores on each subgroup of the test set and of every outside set.

    Returns:
        `COLUMNS`, a row a group; `positive_images`, AUC, sensitivity and specificity are of two classes, at the
        operating point. A score of fewer than `FEWEST` images has no interval. No rows where neither files nor tables
        state anything of the images.
    """
    model = scored_winner(run)
    if run.record.is_multilabel or model is None or model.exported is None:
        return pd.DataFrame(columns=[*COLUMNS])
    threshold, lines = model.exported.operating_point.threshold, []
    for dataset in [name for name in model.evaluations if name not in (VALIDATION, SHIFTED)]:
        predictions = model.predictions(dataset)
        traits = {name: predictions[name].tolist() for name in TRAITS if name in predictions}
        for trait, group, own in divide_images(traits):
            images = images_of(predictions[own], dataset, run.classes)
            lines.append({"dataset": dataset, "by": trait, "group": group} | _scores(images, threshold))
    frame = pd.DataFrame(lines, columns=[*COLUMNS])
    return frame.astype(dict.fromkeys(_NUMBERS, float))


def smallest_groups(run: Run) -> str:
    """The smallest subgroup of the test set by each trait, in words; empty where there are no subgroups."""
    frame = subgroup_table(run)
    test = frame[(frame["dataset"] == "test") & (frame["group"] != NOT_SAID)]
    smallest = test.sort_values("images", kind="stable").drop_duplicates("by")
    return ", ".join(f"{row.by} {row.group} ({row.images})" for row in smallest.itertuples())


def _scores(images: ScoredImages, threshold: float) -> dict[str, Any]:
    """The scores of a group."""
    scores = score_group(images.labels, images.probabilities, images.patients, threshold)
    line: dict[str, Any] = {"images": len(images), "patients": count_patients(images.patients)}
    found: dict[str, Rate | Estimate | None] = {**scores._asdict()}
    if images.probabilities.shape[1] == 2:
        positive = images.labels == 1
        line["positive_images"] = int(positive.sum())
        found["auc"] = _area(positive, images)
    for name, score in found.items():
        bounds = (score.value, score.low, score.high) if score else (None, None, None)
        line |= dict(zip((name, f"{name}_low", f"{name}_high"), bounds, strict=True))
    return line | {"note": f"fewer than {FEWEST} images" if len(images) < FEWEST else ""}


def _area(positive: NDArray[np.bool_], images: ScoredImages) -> Estimate:
    """The AUC; with an interval where there are enough images of either class."""
    area = paired.delong_auc(positive, images.probabilities[:, 1], images.patients)
    return area if min(positive.sum(), (~positive).sum()) >= FEWEST else Estimate(area.value, np.nan, np.nan)


def _fits(runs: Sequence[Run]) -> bool:
    return any(not subgroup_table(run).empty for run in runs)


TABLES = (
    Table(
        "subgroups",
        "The exported model by subgroup of the test images",
        "Le modèle retenu par sous-groupe des images de test",
        subgroup_table,
        headings_fr={
            "by": "selon",
            "group": "groupe",
            "positive_images": "images positives",
            "note": "remarque",
            "auc": "AUC",
        },
        fits=_fits,
        section="winner",
        caption="By what files or tables state of each image. Sensitivity and specificity are those at the operating "
        f"point. Intervals of 95 % over patients: Wilson's, DeLong's for AUC; scores of fewer than {FEWEST} images "
        "have none. Groups are small and many: a difference between two of them is a question, not a finding.",
        nothing="Neither files nor tables state age, sex or view of the images, or these may show several findings.",
    ),
)
