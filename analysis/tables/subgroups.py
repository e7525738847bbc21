"""The table of the exported model's scores by subgroup: age, sex, view, as far as files or tables state them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired
from analysis.load import Run
from analysis.scored import Scored, ScoredImages, images_of, scored_winner
from analysis.statistics import Estimate
from analysis.table import Table
from search.record import SHIFTED, VALIDATION, Rate
from search.record.intervals import count_patients
from search.record.subgroups import FEWEST, NOT_SAID, TRAITS, divide_images, score_group

_SCORES = ("auc", "accuracy", "sensitivity", "specificity")
_NUMBERS = tuple(f"{name}{end}" for name in _SCORES for end in ("", "_low", "_high"))
_FINDING_NUMBERS = tuple(name for name in _NUMBERS if not name.startswith("accuracy"))
_GROUP = ("dataset", "by", "group")
_COUNTS = ("images", "patients", "positive_images")
COLUMNS = (*_GROUP, *_COUNTS, *_NUMBERS, "note")
FINDING_COLUMNS = (*_GROUP, "finding", *_COUNTS, *_FINDING_NUMBERS, "note")


def subgroup_table(run: Run) -> pd.DataFrame:
    """The exported model's scores on each subgroup of the test set and of every outside set.

    Returns:
        `COLUMNS`, a row a group; `positive_images`, AUC, sensitivity and specificity are of two classes, at the
        operating point. A score of fewer than `FEWEST` images has no interval. No rows where neither files nor tables
        state anything of the images, and where an image may show several findings.
    """
    lines, model = [], scored_winner(run)
    if not run.record.is_multilabel and model is not None and model.exported is not None:
        threshold = model.exported.operating_point.threshold
        lines = [about | _scores(images, threshold) for about, images in _groups(run, model)]
    return pd.DataFrame(lines, columns=[*COLUMNS]).astype(dict.fromkeys(_NUMBERS, float))


def finding_subgroup_table(run: Run) -> pd.DataFrame:
    """The exported model's scores of each finding on each subgroup of the test set and of every outside set.

    Returns:
        `FINDING_COLUMNS`, a row a group and finding that some of its images show; sensitivity and specificity are those
        at the finding's threshold. Otherwise as `subgroup_table`.
    """
    lines, model = [], scored_winner(run)
    if run.record.is_multilabel and model is not None and model.exported is not None:
        for about, images in _groups(run, model):
            for place, (name, point) in enumerate(zip(run.classes, model.exported.finding_points, strict=True)):
                if (images.labels[:, place] == 1).any():
                    lines.append(about | {"finding": name} | _scores(_of_finding(images, place), point.threshold))
    return pd.DataFrame(lines, columns=[*FINDING_COLUMNS]).astype(dict.fromkeys(_FINDING_NUMBERS, float))


def _groups(run: Run, model: Scored) -> Iterator[tuple[dict[str, Any], ScoredImages]]:
    """Each subgroup of the test sets: set, trait and value by column, and its images."""
    for dataset in [name for name in model.evaluations if name not in (VALIDATION, SHIFTED)]:
        predictions = model.predictions(dataset)
        traits = {name: predictions[name].tolist() for name in TRAITS if name in predictions}
        for trait, group, own in divide_images(traits):
            images = images_of(predictions[own], dataset, run.classes)
            yield dict(zip(_GROUP, (dataset, trait, group), strict=True)), images


def _of_finding(images: ScoredImages, place: int) -> ScoredImages:
    """The same images, as of two classes: without a finding and with it."""
    p = images.probabilities[:, place]
    return ScoredImages(images.labels[:, place], np.column_stack([1 - p, p]), images.patients)


def smallest_groups(run: Run) -> str:
    """The smallest subgroup of the test set by each trait, in words; empty where there are no subgroups."""
    frame = finding_subgroup_table(run) if run.record.is_multilabel else subgroup_table(run)
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


def _fits_findings(runs: Sequence[Run]) -> bool:
    return any(not finding_subgroup_table(run).empty for run in runs)


_CAPTION = (
    f"Intervals of 95 % over patients: Wilson's, DeLong's for AUC; scores of fewer than {FEWEST} images have none. "
    "Groups are small and many: a difference between two of them is a question, not a finding."
)
_HEADINGS_FR = {
    "by": "selon",
    "group": "groupe",
    "positive_images": "images positives",
    "note": "remarque",
    "auc": "AUC",
}
TABLES = (
    Table(
        "subgroups",
        "The exported model by subgroup of the test images",
        "Le modèle retenu par sous-groupe des images de test",
        subgroup_table,
        headings_fr=_HEADINGS_FR,
        fits=_fits,
        section="winner",
        caption="By what files or tables state of each image. Sensitivity and specificity are those at the operating "
        f"point. {_CAPTION}",
        nothing="Neither files nor tables state age, sex or view of the images, or these may show several findings.",
    ),
    Table(
        "finding_subgroups",
        "The exported model's findings by subgroup of the test images",
        "Les signes reconnus par le modèle retenu, par sous-groupe des images de test",
        finding_subgroup_table,
        headings_fr={**_HEADINGS_FR, "finding": "signe"},
        fits=_fits_findings,
        section="winner",
        caption="By what files or tables state of each image, the findings that some images of a group show. "
        f"Sensitivity and specificity are those at the finding's threshold. {_CAPTION}",
        nothing="Neither files nor tables state age, sex or view of the images, or these have one class each.",
    ),
)
