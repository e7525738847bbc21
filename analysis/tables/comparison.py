"""Tables of scored trials: pairs on the same test images, every evaluation, and calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import paired, statistics
from analysis.frames import resamples, scored_images
from analysis.load import Run
from analysis.scored import NOT_SCORED
from analysis.table import Table
from search.record import FINISHED, lower_is_better
from search.record.intervals import count_patients

COMPARED = 10  # trials that are compared with the best one
WITH_INTERVALS = 200  # evaluations whose predictions are read for an interval, a few milliseconds each


def comparison(run: Run, trials: Sequence[int] | None = None) -> pd.DataFrame:
    """Pairs of trials on the same test images: the first given (or best by validation) against each other one.

    Differences are first minus second, with patients as the units. Accuracy has a paired bootstrap interval and
    McNemar's test, AUC (two classes) DeLong's interval and test. `..._holm` are the p values corrected for the number
    of pairs by Holm's procedure: below 0.05 the two differ. `..._fdr` are the false discovery rates.
    """
    chosen = _best_scored(run)[: COMPARED + 1] if trials is None else list(trials)
    lines = [_compare(run, chosen[0], other) for other in chosen[1:]]
    frame = pd.DataFrame([line for line in lines if line], columns=[*_COMPARISON])
    return paired.with_corrections(frame, ("mcnemar", "delong"))


_COMPARISON = (
    "first",
    "second",
    "images",
    "patients",
    "accuracy_difference",
    "accuracy_difference_low",
    "accuracy_difference_high",
    "only_first_right",
    "only_second_right",
    "mcnemar_p",
    "mcnemar_holm",
    "mcnemar_fdr",
    "auc_difference",
    "auc_difference_low",
    "auc_difference_high",
    "delong_p",
    "delong_holm",
    "delong_fdr",
)


def _best_scored(run: Run) -> list[int]:
    """The finished trials that were scored on the test set, the best by validation first."""
    finished = run.trials[(run.trials["status"] == FINISHED) & run.trials["test_accuracy"].notna()]
    best = finished.sort_values(run.metric, ascending=lower_is_better(run.metric), kind="stable")
    return [int(trial) for trial in best.index]


def _compare(run: Run, first: int, second: int) -> dict[str, Any]:
    a, b = scored_images(run, first), scored_images(run, second)
    if not len(a) or len(a) != len(b):
        return {}
    patients = a.patients
    accuracy = statistics.bootstrap_mean(a.right.astype(float) - b.right, resamples(patients))
    test = paired.mcnemar(a.right, b.right, patients)
    values: list[Any] = [first, second, len(a), count_patients(patients)]
    values += [accuracy.value, accuracy.low, accuracy.high]
    values += [test.only_first, test.only_second, test.p_value, np.nan, np.nan]
    if len(run.classes) == 2:
        auc = paired.delong_comparison(a.labels == 1, a.probabilities[:, 1], b.probabilities[:, 1], patients)
        values += [auc.difference.value, auc.difference.low, auc.difference.high, auc.p_value, np.nan, np.nan]
    else:
        values += [np.nan] * 6
    return dict(zip(_COMPARISON, values, strict=True))


def evaluations_table(run: Run) -> pd.DataFrame:
    """Every evaluation, also on outside test sets; replays with row and repeat.

    Accuracies have intervals over patients; those of older records the first `WITH_INTERVALS`.
    """
    frame = run.evaluations.drop(columns=["confusion", "findings"])
    unknown = frame.index[frame["accuracy_low"].isna() & (not run.record.is_multilabel)][:WITH_INTERVALS]
    for place in unknown:
        entry: Any = frame.loc[place]
        frame.loc[place, ["accuracy_low", "accuracy_high"]] = _accuracy_interval(run, entry["trial"], entry["dataset"])
    place = list(frame.columns).index("accuracy") + 1
    for name in ("accuracy_high", "accuracy_low"):
        frame.insert(place, name, frame.pop(name))
    if (run.trials["row"] != "").any() or run.trials["repeat"].any():
        for place, name in enumerate(("row", "repeat"), start=1):
            frame.insert(place, name, frame["trial"].map(run.trials[name]))
    return frame


def _accuracy_interval(run: Run, trial: int, dataset: str) -> tuple[float, float]:
    images = scored_images(run, trial, dataset)
    found = statistics.share_interval(images.right, images.patients)
    return found.low, found.high


def calibration(run: Run, top: int = COMPARED + 1) -> pd.DataFrame:
    """Calibration of the `top` evaluated trials on validation and test.

    `confidence` is the mean probability of the predicted class; above `accuracy` a trial is overconfident.
    """
    lines = []
    for trial in _best_scored(run)[:top]:
        for dataset in ("validation", "test"):
            images = scored_images(run, trial, dataset)
            if not len(images):
                continue
            labels, probabilities = images.labels, images.probabilities
            bins = statistics.reliability(*statistics.predicted_event(labels, probabilities), images.patients)
            lines.append(
                {
                    "trial": trial,
                    "dataset": dataset,
                    "images": len(labels),
                    "accuracy": float(images.right.mean()),
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
            **paired.HEADINGS_FR,
        },
        section="trials",
        caption="Differences are the first minus the second, on the same images, with patients as the units; p of "
        f"McNemar's and DeLong's tests. {paired.CORRECTIONS}",
        nothing="Fewer than two trials were scored on test images.",
        of_classes=True,
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
        of_classes=True,
    ),
)
