"""The table of trials, ranked by validation, with their test scores and intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.frames import image_probabilities, resamples
from analysis.load import Run
from analysis.table import Table
from search.record import FINISHED, lower_is_better

# Trials of the ranking that get intervals from resampled images.
TOP = 20


def ranking(run: Run, top: int = TOP) -> pd.DataFrame:
    """All trials with a validation score, the best first; finished ones, which can win, before the others.

    Test accuracy, sensitivity and specificity have Wilson intervals; AUC and balanced accuracy have bootstrap
    intervals over the test images, for the first `top` evaluated trials. In a run with confirmations, `confirms` is the
    number of the trial whose configuration a trial trained again.
    """
    trials = run.trials[run.trials[run.metric].notna()]
    # Stable: of equals the lower number is first, as in the search's choice of its winner.
    order = trials.assign(unfinished=trials["status"] != FINISHED).sort_values(
        ["unfinished", run.metric], ascending=[True, lower_is_better(run.metric)], kind="stable"
    )
    frame = pd.DataFrame({"rank": np.arange(1, len(order) + 1), "trial": order.index}, index=order.index)
    again = ["confirms"] if order["confirms"].notna().any() else []
    frame = frame.join(order[["status", *again, "epoch", "epochs", "parameters"]]).join(order[_validation_columns(run)])
    frame = frame.join(_wilson_columns(run.evaluations, len(run.classes)))
    evaluated = [int(trial) for trial in frame.index[frame["test_accuracy"].notna()]]
    frame = frame.join(_image_columns(run, evaluated[:top]))
    return pd.concat([frame, order[[*run.hyperparameters]]], axis=1).reset_index(drop=True)


def _validation_columns(run: Run) -> list[str]:
    return list(dict.fromkeys([run.metric, "val_loss", "val_accuracy", "val_balanced_accuracy", "val_auc"]))


def _wilson_columns(evaluations: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Test proportions with their Wilson intervals, indexed by trial."""
    test = evaluations[evaluations["dataset"] == "test"].drop_duplicates("trial", keep="last").set_index("trial")
    shape = (len(test), classes, classes)
    matrices = np.array(list(test["confusion"]), np.float64).reshape(shape)  # (T, K, K)
    right, truth = matrices.diagonal(axis1=1, axis2=2), matrices.sum(axis=2)
    shares = {"accuracy": (right.sum(axis=1), truth.sum(axis=1))}
    if classes == 2:
        shares |= {"sensitivity": (right[:, 1], truth[:, 1]), "specificity": (right[:, 0], truth[:, 0])}
    columns: dict[str, Any] = {}
    for name, (successes, count) in shares.items():
        low, high = statistics.wilson_interval(successes, count)
        columns |= {f"test_{name}": test[f"{name}"], f"test_{name}_low": low, f"test_{name}_high": high}
    return pd.DataFrame(columns, index=test.index)


def _image_columns(run: Run, chosen: Sequence[int]) -> pd.DataFrame:
    """Bootstrap intervals and calibration of the chosen trials on the test images, indexed by trial."""
    names = [f"test_{name}{end}" for name in ("balanced_accuracy", "auc") for end in ("", "_low", "_high")]
    lines: dict[int, list[float]] = {}
    for trial in chosen:
        labels, probabilities = image_probabilities(run, trial)
        if not len(labels):
            continue
        weights = resamples(len(labels))
        balanced = statistics.bootstrap_balanced_accuracy(labels, labels == probabilities.argmax(axis=1), weights)
        auc = statistics.bootstrap_auc(labels, probabilities, weights)
        bins = statistics.reliability(*statistics.predicted_event(labels, probabilities))
        lines[trial] = [balanced.value, balanced.low, balanced.high, auc.value, auc.low, auc.high]
        lines[trial] += [statistics.expected_calibration_error(bins), statistics.brier_score(labels, probabilities)]
    return pd.DataFrame.from_dict(lines, orient="index", columns=[*names, "test_ece", "test_brier"], dtype="float64")


TABLES = (
    Table(
        "ranking",
        "Trials, best by validation first, with 95 % intervals on the test set",
        "Les essais, du meilleur au moins bon en validation, avec IC à 95 % sur le test",
        ranking,
        headings_fr={"rank": "rang", "test_ece": "ECE test", "test_brier": "Brier test"},
        section="trials",
        caption="In brackets 95 % intervals: Wilson for accuracy, resampled images for the others. Two trials whose "
        "intervals overlap widely cannot be told apart by this test set.",
        nothing="No trial has a validation value yet.",
    ),
)
