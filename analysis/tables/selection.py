"""Tables of the exported model: its scores, and those of each simpler choice among the same trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired, statistics
from analysis.load import Run
from analysis.scored import NOT_SCORED, Scored, ScoredImages, finished_by_metric, images_of, scored_winner
from analysis.table import Table
from search.record import SHIFTED, VALIDATION
from search.record.intervals import Floats, count_patients

_OF_RECORDS = ("sensitivity", "specificity")
MODEL_COLUMNS = (  # those first that mean something where classes are of unequal size
    *("dataset", "images", "patients"),
    *("balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high"),
    *("auc", "auc_low", "auc_high"),
    *("average_precision", "average_precision_low", "average_precision_high"),
    *("accuracy", "accuracy_low", "accuracy_high"),
    *(*_OF_RECORDS, "loss"),
)
DIFFERENCES = tuple(
    f"{score}_difference{end}" for score in ("accuracy", "auc", "loss") for end in ("", "_low", "_high")
)
COLUMNS = (  # a page shows the first ones without scrolling: a step's gain stands beside its score
    *("selection", "trials", "dataset"),
    *(f"{each}{end}" for each in ("accuracy", "accuracy_difference") for end in ("", "_low", "_high")),
    *(f"{each}{end}" for each in ("auc", "auc_difference") for end in ("", "_low", "_high")),
    *("loss", "loss_difference", "loss_difference_low", "loss_difference_high"),
    *("mcnemar_holm", "balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high"),
    *("mcnemar_p", "mcnemar_fdr", "images", "patients"),
)


def winner_table(run: Run) -> pd.DataFrame:
    """The exported model on every set of images that it was scored on, the test set first.

    Returns:
        A row a set; `parameters` is the sum over its members, `sensitivity` and `specificity` are NaN with more than
        two classes; intervals as in `selection_table`. No rows before the winner is scored.
    """
    model = scored_winner(run)
    if model is None or model.exported is None:
        return pd.DataFrame(columns=["model", "parameters", *MODEL_COLUMNS])
    table = model_scores(model)
    table.insert(0, "model", model.what)
    table.insert(1, "parameters", int(run.trials["parameters"][list(model.exported.trials)].sum()))
    return table


def model_scores(model: Scored) -> pd.DataFrame:
    """A model's scores on every set of images that it was scored on, with intervals as in `selection_table`.

    Returns:
        `MODEL_COLUMNS`, a row a set; intervals are NaN where the predictions cannot be read.
    """
    lines = []
    for dataset, entry in model.evaluations.items():
        images = model.images(dataset)
        line: dict[str, Any] = {name: getattr(entry, name) for name in MODEL_COLUMNS if hasattr(entry, name)}
        if len(images):
            weights = statistics.bootstrap_weights(images.patients)
            line |= _scores(images, weights, _areas(images, weights)) | _precision(images, weights)
        lines.append(line)
    columns = [*MODEL_COLUMNS]
    return pd.DataFrame(lines, columns=columns).astype(dict.fromkeys(("average_precision", *_OF_RECORDS), float))


@dataclass(frozen=True)
class Step:
    """A way to choose among a run's finished trials.

    Attributes:
        name: in words.
        trials: how many models are averaged.
        predictions: of the chosen model, as `Run.predictions`.
    """

    name: str
    trials: int
    predictions: pd.DataFrame


def selection_table(run: Run) -> pd.DataFrame:
    """The scores of each step of the winner's choice, on the test set and every outside set.

    The steps: the best single trial by validation accuracy, by the loss and by the run's metric, the mean of several,
    and its calibration. Every step chooses among the same finished trials by validation alone; all were scored once,
    after the search. `..._difference` is a step less the step before it on the same images, with a paired bootstrap
    over patients. `mcnemar_p` compares the mistakes of both; `mcnemar_holm` is corrected for all tests of the table,
    and below 0.05 the two differ; `mcnemar_fdr` is the false discovery rate. A trial's weights are those of its best
    epoch by the run's metric at every step.

    Returns:
        A row a set of images and step, the sets one after the other; fractions in [0, 1], intervals of 95 % with
        patients as the units: Wilson's for accuracy, resampled patients for balanced accuracy and AUC. No rows before
        the winner is scored.
    """
    steps = [step for step in _steps(run) if not step.predictions.empty]
    datasets = dict.fromkeys(str(name) for step in steps for name in step.predictions["dataset"].unique())
    lines = []
    for dataset in [name for name in datasets if name not in (VALIDATION, SHIFTED)]:
        before: tuple[ScoredImages, Floats] | None = None
        weights = statistics.bootstrap_weights(images_of(steps[0].predictions, dataset, run.classes).patients)
        for step in steps:
            images = images_of(step.predictions, dataset, run.classes)
            line = {"selection": step.name, "trials": step.trials, "dataset": dataset, "images": len(images)}
            areas = _areas(images, weights)
            line |= _scores(images, weights, areas)
            if before is not None:
                line |= _against(images, before[0], weights, areas - before[1])
            lines.append(line)
            before = images, areas
    return paired.with_corrections(pd.DataFrame(lines, columns=[*COLUMNS]), ("mcnemar",))


def _areas(images: ScoredImages, weights: NDArray[np.float32]) -> Floats:
    """Resampled areas under a model's ROC curve."""
    return statistics.resampled_areas(images.labels, images.probabilities, weights)


def _precision(images: ScoredImages, weights: NDArray[np.float32]) -> dict[str, Any]:
    """A model's average precision and its interval."""
    found = statistics.bootstrap_average_precision(images.labels, images.probabilities, weights)
    return _bounded("average_precision", found)


def _bounded(name: str, found: statistics.Estimate) -> dict[str, Any]:
    """The columns of a score with its interval."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _against(step: ScoredImages, before: ScoredImages, weights: NDArray[np.float32], areas: Floats) -> dict[str, Any]:
    """The columns of a step's differences from the step before it, on the same images; areas: their differences."""
    losses = [statistics.image_losses(each.labels, each.probabilities) for each in (step, before)]
    differences = (
        statistics.bootstrap_mean(step.right.astype(float) - before.right, weights),
        statistics.area_interval(areas),
        statistics.bootstrap_mean(losses[0] - losses[1], weights),
    )
    numbers = [number for each in differences for number in (each.value, each.low, each.high)]
    test = paired.mcnemar(step.right, before.right, step.patients)
    return dict(zip(DIFFERENCES, numbers, strict=True)) | {"mcnemar_p": test.p_value}


def _steps(run: Run) -> list[Step]:
    """The steps, from the simplest choice to the exported model; one that chooses the same trial again is left out."""
    exported = scored_winner(run)
    if exported is None or exported.exported is None:
        return []
    scored = {int(number) for number in run.evaluations["trial"]}
    steps, last = [], -1
    for metric in dict.fromkeys(("val_accuracy", "val_loss", run.metric)):
        best = next((int(n) for n in finished_by_metric(run, metric).index if int(n) in scored), None)
        if best is not None and best != last:
            steps.append(Step(f"best by {metric}", 1, run.predictions(best)))
            last = best
    members = exported.exported.trials
    if len(members) > 1 and scored.issuperset(members):
        by = f"{run.metric}, confirmed" if run.trials["confirms"].notna().any() else run.metric
        steps.append(Step(f"mean of the {len(members)} best by {by}", len(members), _mean(run, members)))
    if exported.exported.calibrated_on:
        name = f"calibrated on {exported.exported.calibrated_on}: the winner"
        steps.append(Step(name, len(members), run.winner_predictions))
    return steps


def _mean(run: Run, members: Sequence[int]) -> pd.DataFrame:
    """The mean of several trials' predictions; of an image, over the trials that were scored on it."""
    together = pd.concat([run.predictions(number) for number in members]).astype({"dataset": str})
    columns = ["label", "patient", *(f"p_{name}" for name in run.classes)]
    return together.groupby(["dataset", "image_id"], sort=False)[columns].mean().reset_index()


def _scores(images: ScoredImages, weights: NDArray[np.float32], areas: Floats) -> dict[str, Any]:
    """The columns of a model's scores on a set of images; areas: `_areas` of these."""
    labels, probabilities = images.labels, images.probabilities
    found: dict[str, Any] = {"patients": count_patients(images.patients)}
    for name, estimate in (
        ("accuracy", statistics.share_interval(images.right, images.patients)),
        ("balanced_accuracy", statistics.bootstrap_balanced_accuracy(labels, images.right, weights)),
        ("auc", statistics.area_interval(areas)),
    ):
        found |= _bounded(name, estimate)
    return found | {"loss": float(statistics.image_losses(labels, probabilities).mean())}


TABLES = (
    Table(
        "winner",
        "The model that the search exported, with 95 % intervals",
        "Le modèle retenu par la recherche, avec IC à 95 %",
        winner_table,
        of_classes=True,
    ),
    Table(
        "selection",
        "What each step of the choice gives, on images it did not see",
        "Apport de chaque étape du choix, sur des images non vues",
        selection_table,
        headings_fr={"selection": "choix", **paired.HEADINGS_FR},
        section="winner",
        caption="The same finished trials, chosen by less: from the best by validation accuracy to the exported model. "
        "Every step chooses by validation alone. Differences are a step less the step before it, on the same images, "
        f"with patients as the units; p is of McNemar's test. {paired.CORRECTIONS}",
        nothing=NOT_SCORED,
        texts=("selection",),
        of_classes=True,
    ),
)
