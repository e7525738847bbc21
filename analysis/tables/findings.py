"""The table of the exported model's findings, where an image may show several."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired, statistics
from analysis.load import Run
from analysis.scored import NOT_SCORED, Scored, scored_winner
from analysis.statistics import Estimate
from analysis.table import Table
from search.record import FindingScore, OperatingPoint

_INTERVALS = ("auc", "sensitivity", "specificity")
COLUMNS = (
    *("dataset", "finding", "images", "positive_images", "auc", "auc_low", "auc_high", "average_precision"),
    *("threshold", "set_on"),
    *(f"{name}{end}" for name in ("sensitivity", "specificity") for end in ("", "_low", "_high")),
)


def findings_table(run: Run) -> pd.DataFrame:
    """The exported model's scores of each finding on every set of images, the test set first.

    Returns:
        `COLUMNS`, a row a set and finding. Sensitivity and specificity are those at the finding's threshold, which was
        set on validation; `set_on` is empty where it is 0.5 because validation could not tell. What no image or each
        shows has no AUC; what the labels of a set do not tell of has no scores there. No rows before the winner is
        scored, and where an image has one class.
    """
    model = scored_winner(run)
    if not run.record.is_multilabel or model is None or model.exported is None:
        return pd.DataFrame(columns=[*COLUMNS])
    lines = []
    for dataset, entry in model.evaluations.items():
        images = model.images(dataset)
        for place, (name, score, point) in enumerate(
            zip(run.classes, entry.findings, model.exported.finding_points, strict=True)
        ):
            line = {"dataset": dataset, "finding": name, "images": entry.images} | _recorded(score, point)
            if len(images) and score.positives is not None:
                own = images.labels[:, place] == 1, images.probabilities[:, place].astype(np.float64)
                line |= _measured(*own, images.patients, point.threshold)
            lines.append(line)
    return pd.DataFrame(lines, columns=[*COLUMNS])


def mean_scores(model: Scored) -> pd.DataFrame:
    """A model's mean scores over findings on every set of images that it was scored on.

    Returns:
        A row a set: `findings` is how many of them some images show and some do not, which the means are over.
    """
    names = ("dataset", "images", "patients", "auc", "average_precision", "loss")
    lines = [
        {name: getattr(entry, name) for name in names}
        | {"findings": sum(finding.auc is not None for finding in entry.findings)}
        for entry in model.evaluations.values()
    ]
    return pd.DataFrame(lines, columns=[*names, "findings"])


def _recorded(score: FindingScore, point: OperatingPoint) -> dict[str, Any]:
    """What the records say of a finding."""
    return {
        "positive_images": score.positives,
        "auc": score.auc,
        "average_precision": score.average_precision,
        "threshold": point.threshold,
        "set_on": f"{point.chosen_on}, {point.name}" if point.chosen_on else "",
    }


def _measured(
    shown: NDArray[np.bool_], p: NDArray[np.float64], patients: NDArray[np.int64], threshold: float
) -> dict[str, Any]:
    """What the predictions say of a finding, with 95 % intervals over patients."""
    called = p >= threshold
    unknown = Estimate(np.nan, np.nan, np.nan)
    estimates = (
        paired.delong_auc(shown, p, patients) if 0 < shown.sum() < len(shown) else unknown,
        statistics.share_interval(called[shown], patients[shown]),
        statistics.share_interval(~called[~shown], patients[~shown]),
    )
    return {
        f"{name}{end}": getattr(estimate, part)
        for name, estimate in zip(_INTERVALS, estimates, strict=True)
        for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def _fits(runs: Sequence[Run]) -> bool:
    return any(run.record.is_multilabel for run in runs)


TABLES = (
    Table(
        "findings",
        "The exported model's findings, with 95 % intervals",
        "Les signes reconnus par le modèle retenu, avec IC à 95 %",
        findings_table,
        headings_fr={
            "finding": "signe",
            "positive_images": "images positives",
            "auc": "AUC",
            "threshold": "seuil",
            "set_on": "fixé sur",
        },
        fits=_fits,
        section="winner",
        caption="Each finding is predicted by itself, and called present where its probability reaches the threshold, "
        "which was set on validation: the largest sum of sensitivity and specificity (Youden's index), or the rate of "
        "evaluate.operating_point. A finding that validation could not judge has 0.5. Intervals over patients: "
        "DeLong's for AUC, Wilson's for the others. An AUC of 0 or 1, or of a finding of one patient, has none.",
        nothing=NOT_SCORED,
    ),
)
