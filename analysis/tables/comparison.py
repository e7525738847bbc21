"""Tables of scored trials: pairs on the same test images, every evaluation, and calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.frames import image_probabilities, resamples
from analysis.load import Run
from analysis.scored import NOT_SCORED
from analysis.table import Table
from search.record import FINISHED, lower_is_better

COMPARED = 10  # trials that are compared with the best one


def comparison(run: Run, trials: Sequence[int] | None = None) -> pd.DataFrame:
    """Pairs of trials on the same test images: the first given (or best by validation) against each other one.

    Differences are first minus second. Accuracy has a paired bootstrap interval and McNemar's test, AUC
    (two classes) DeLong's interval and test. The p values are not corrected for the number of pairs.
    """
    chosen = _best_scored(run)[: COMPARED + 1] if trials is None else list(trials)
    lines = [_compare(run, chosen[0], other) for other in chosen[1:]]
    return pd.DataFrame([line for line in lines if line], columns=[*_COMPARISON])


_COMPARISON = (
    "first",
    "second",
    "images",
    "accuracy_difference",
    "accuracy_difference_low",
    "accuracy_difference_high",
    "only_first_right",
    "only_second_right",
    "mcnemar_p",
    "auc_difference",
    "auc_difference_low",
    "auc_difference_high",
    "delong_p",
)


def _best_scored(run: Run) -> list[int]:
    """The finished trials that were scored on the test set, the best by validation first."""
    finished = run.trials[(run.trials["status"] == FINISHED) & run.trials["test_accuracy"].notna()]
    best = finished.sort_values(run.metric, ascending=lower_is_better(run.metric), kind="stable")
    return [int(trial) for trial in best.index]


def _compare(run: Run, first: int, second: int) -> dict[str, Any]:
    labels, a = image_probabilities(run, first)
    others, b = image_probabilities(run, second)
    if not len(labels) or len(labels) != len(others):
        return {}
    right_a, right_b = labels == a.argmax(axis=1), labels == b.argmax(axis=1)
    accuracy = statistics.bootstrap_mean(right_a.astype(float) - right_b, resamples(len(labels)))
    test = statistics.mcnemar(right_a, right_b)
    values: list[Any] = [first, second, len(labels), accuracy.value, accuracy.low, accuracy.high]
    values += [test.only_first, test.only_second, test.p_value]
    if len(run.classes) == 2:
        auc = statistics.delong_comparison(labels == 1, a[:, 1], b[:, 1])
        values += [auc.difference.value, auc.difference.low, auc.difference.high, auc.p_value]
    else:
        values += [np.nan] * 4
    return dict(zip(_COMPARISON, values, strict=True))


def evaluations_table(run: Run) -> pd.DataFrame:
    """Every evaluation, also on outside test sets; accuracy with its Wilson interval, replays with row and repeat."""
    frame = run.evaluations.drop(columns="confusion")
    low, high = statistics.wilson_interval(frame["accuracy"] * frame["images"], frame["images"])
    place = list(frame.columns).index("accuracy") + 1
    frame.insert(place, "accuracy_low", low)
    frame.insert(place + 1, "accuracy_high", high)
    if (run.trials["row"] != "").any() or run.trials["repeat"].any():
        for place, name in enumerate(("row", "repeat"), start=1):
            frame.insert(place, name, frame["trial"].map(run.trials[name]))
    return frame


def calibration(run: Run, top: int = COMPARED + 1) -> pd.DataFrame:
    """Calibration of the `top` evaluated trials on validation and test.

    `confidence` is the mean probability of the predicted class; above `accuracy` a trial is overconfident.
    """
    lines = []
    for trial in _best_scored(run)[:top]:
        for dataset in ("validation", "test"):
            labels, probabilities = image_probabilities(run, trial, dataset)
            if not len(labels):
                continue
            bins = statistics.reliability(*statistics.predicted_event(labels, probabilities))
            lines.append(
                {
                    "trial": trial,
                    "dataset": dataset,
                    "images": len(labels),
                    "accuracy": float((labels == probabilities.argmax(axis=1)).mean()),
                    "confidence": float(probabilities.max(axis=1).mean()),
                    "ece": statistics.expected_calibration_error(bins),
                    "brier": statistics.brier_score(labels, probabilities),
                    "loss": float(statistics.image_losses(labels, probabilities).mean()),
                }
            )
    return pd.DataFrame(lines, columns=["trial", "dataset", "images", *_CALIBRATION])


_CALIBRATION = ("accuracy", "confidence", "ece", "brier", "loss")


TABLES = (
    Table(
        "comparison",
        "The best trial against the next ones, on the same test images",
        "Le meilleur essai contre les suivants, sur les mêmes images de test",
        comparison,
        headings_fr={
            "first": "premier",
            "second": "second",
            "only_first_right": "premier seul juste",
            "only_second_right": "second seul juste",
            "delong_p": "p de DeLong",
        },
        section="trials",
        caption="Differences are the first minus the second, on the same images; p of McNemar's and DeLong's tests.",
        nothing="Fewer than two trials were scored on test images.",
    ),
    Table(
        "evaluations",
        "Every evaluation, outside test sets too",
        "Toutes les évaluations, jeux de test externes compris",
        evaluations_table,
        headings_fr={"weights": "poids"},
        section="trials",
        caption="Validation, test and outside sets.",
        nothing=NOT_SCORED,
        closed=True,
    ),
    Table(
        "calibration",
        "How far the probabilities can be trusted",
        "Confiance à accorder aux probabilités",
        calibration,
        headings_fr={"confidence": "confiance", "brier": "Brier"},
    ),
)
