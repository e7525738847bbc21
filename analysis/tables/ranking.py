"""The table of trials, ranked by validation, with their test scores and intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.frames import resamples, scored_images
from analysis.load import VALIDATION_SCORES, Run
from analysis.scored import ScoredImages
from analysis.table import Table
from search.record import FINISHED, lower_is_better

# Trials of the ranking that get intervals.
TOP = 20
_RANKING = ("balanced_accuracy", "auc", "average_precision")


def ranking(run: Run, top: int = TOP) -> pd.DataFrame:
    """All trials with a validation score, the best first; finished ones, which can win, before the others.

    The first `top` evaluated trials have intervals over the patients of the test images: Wilson's for test accuracy,
    sensitivity and specificity, the bootstrap's for the others. In a run with confirmations, `confirms` is the number
    of the trial whose configuration a trial trained again. With several findings an image, test scores are means over
    findings, without intervals.
    """
    trials = run.trials[run.trials[run.metric].notna()]
    # Stable: of equals the lower number is first, as in the search's choice of its winner.
    order = trials.assign(unfinished=trials["status"] != FINISHED).sort_values(
        ["unfinished", run.metric], ascending=[True, lower_is_better(run.metric)], kind="stable"
    )
    frame = pd.DataFrame({"rank": np.arange(1, len(order) + 1), "trial": order.index}, index=order.index)
    again = ["confirms"] if order["confirms"].notna().any() else []
    frame = frame.join(order[["status", *again, "epoch", "epochs", "parameters"]]).join(order[_validation_columns(run)])
    frame = frame.join(_test_scores(run, frame.index, top))
    return pd.concat([frame, order[[*run.hyperparameters]]], axis=1).reset_index(drop=True)


def _validation_columns(run: Run) -> list[str]:
    return list(dict.fromkeys([run.metric, *VALIDATION_SCORES]))


def _test_scores(run: Run, order: pd.Index, top: int) -> pd.DataFrame:
    """Test scores of the trials in this order, the first `top` with intervals; indexed by trial."""
    if run.record.is_multilabel:
        return run.trials[["test_auc", "test_average_precision"]]
    recorded = run.trials[[f"test_{name}" for name in _shares(run)]]
    evaluated = [int(trial) for trial in order if pd.notna(recorded["test_accuracy"][trial])]
    images = _image_columns(run, evaluated[:top])
    # First what means something where classes are of unequal size.
    names = [f"test_{name}{end}" for name in (*_RANKING, *_shares(run)) for end in ("", "_low", "_high")]
    return recorded.join(images)[[*names, "test_ece", "test_brier"]]


def _shares(run: Run) -> list[str]:
    return ["accuracy", *(["sensitivity", "specificity"] if len(run.classes) == 2 else [])]


def _image_columns(run: Run, chosen: Sequence[int]) -> pd.DataFrame:
    """Intervals and calibration of the chosen trials on the test images, indexed by trial."""
    lines = {trial: _image_scores(images) for trial in chosen if len(images := scored_images(run, trial))}
    columns = [f"test_{name}{end}" for name in _shares(run) for end in ("_low", "_high")]
    columns += [f"test_{name}{end}" for name in _RANKING for end in ("", "_low", "_high")]
    return pd.DataFrame.from_dict(lines, orient="index", columns=[*columns, "test_ece", "test_brier"], dtype="float64")


def _image_scores(images: ScoredImages) -> list[float]:
    """The values of a trial's `_image_columns`."""
    of_two = [images.labels == 1, images.labels == 0] if images.probabilities.shape[1] == 2 else []
    values: list[float] = []
    for chosen in (np.ones(len(images), bool), *of_two):
        share = statistics.share_interval(images.right[chosen], images.patients[chosen])
        values += [share.low, share.high]
    weights = resamples(images.patients)
    for estimate in (
        statistics.bootstrap_balanced_accuracy(images.labels, images.right, weights),
        statistics.bootstrap_auc(images.labels, images.probabilities, weights),
        statistics.bootstrap_average_precision(images.labels, images.probabilities, weights),
    ):
        values += [estimate.value, estimate.low, estimate.high]
    event = statistics.predicted_event(images.labels, images.probabilities)
    bins = statistics.reliability(*event, images.patients)
    brier = statistics.brier_score(images.labels, images.probabilities)
    return [*values, statistics.expected_calibration_error(bins), brier]


TABLES = (
    Table(
        "ranking",
        "Trials, best by validation first, with 95 % intervals on the test set",
        "Les essais, du meilleur au moins bon en validation, avec IC à 95 % sur le test",
        ranking,
        headings_fr={"rank": "rang", "test_ece": "ECE test", "test_brier": "Brier test"},
        section="trials",
        caption="In brackets 95 % intervals over patients: Wilson for accuracy, sensitivity and specificity, resampled "
        "patients for the others. Whether two trials differ, the comparison on the same images says.",
        nothing="No trial has a validation value yet.",
    ),
)
