"""The winner of a search: the best trials by validation as one model, with calibrated probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from search.evaluate.card import winner_card
from search.evaluate.checklist import fill_checklist
from search.evaluate.facts import list_facts
from search.evaluate.operating import choose_point, decisions_on, finding_points
from search.evaluate.predictions import (
    evaluation,
    labels_of,
    mean_predictions,
    patients_of,
    probabilities_of,
    probability_columns,
    read_predictions,
    write_predictions,
)
from search.evaluate.subgroups import score_subgroups
from search.plan.settings import EvaluateSettings, Settings
from search.record import (
    FINISHED,
    SHIFTED,
    VALIDATION,
    Decisions,
    FindingCalibration,
    RunFolder,
    RunRecord,
    TrialRecord,
    Winner,
    rank,
    rank_configurations,
)
from search.trial.calibration import LEAST_SLOPE, MOST_SLOPE, Calibration, fit_calibration, hold_out, two_columns

if TYPE_CHECKING:
    import keras

CARD, CHECKLIST = "card.md", "checklist.md"
WINNER = "winner"  # the name of its predictions, among those of the trials
_BEST_MEMBER = "member_0"  # the name of its layer in the exported model


def best_trials(trials: Sequence[TrialRecord], settings: Settings) -> list[TrialRecord]:
    """The finished trials that the winner is made of, best first by validation; test results play no part.

    Repeats that each validate on their own images are not compared with each other: the one with the easiest images
    would win. There, the winner is made of the repeats of the configuration with the best mean. After confirmations
    the mean decides too, but all trials validate on the same images: the members are the repeats of the best
    configuration, then those of the next.

    Args:
        trials: all of the run; also those that did not finish, because a confirmation that diverged counts.
        settings: of the run.
    """
    metric, weights = settings.search.metric, settings.evaluate.weights
    groups = [[trial for trial in trials if trial.status == FINISHED]]
    if settings.data.split.by_repeat:
        groups = rank_configurations(trials, metric, weights)[:1]
    elif any(trial.confirms is not None for trial in trials):
        groups = rank_configurations(trials, metric, weights)
    return [trial for group in groups for trial in rank(group, metric, weights)][: settings.evaluate.ensemble]


@dataclass(frozen=True)
class ScoredWinner:
    """A winner with its scores, and its predictions, calibrated, as `prediction_table`."""

    winner: Winner
    predictions: pa.Table


def propose_winner(
    folder: RunFolder,
    members: Sequence[TrialRecord],
    settings: EvaluateSettings,
    groups: Mapping[str, str],
    patients: Mapping[str, str],
) -> ScoredWinner:
    """The winner that some trials make, with its scores on every set of images; nothing is written.

    Args:
        folder: the run's, with the predictions of every member.
        members: scored trials, best first.
        settings: whether to calibrate, where to divide two classes, and which weights were scored.
        groups: the group of each image that calibration may be fitted on, by its name, as
            `search.evaluate.sets.calibration_groups`.
        patients: the patient of each of these images, by its name.

    Raises:
        SettingsError: an operating point is wanted, and a class has no image in validation.
    """
    table = read_members(folder, members)
    return score_winner(choose_winner(folder.read_run(), members, table, settings, groups, patients), table, settings)


def record_winner(folder: RunFolder, members: Sequence[TrialRecord], scored: ScoredWinner) -> Winner:
    """Write a winner's predictions and documents; returns the winner.

    Its record is not written, because it must follow the exported model.
    """
    write_predictions(folder, scored.predictions, WINNER)
    write_card(folder, members, scored.winner)
    return scored.winner


def write_card(folder: RunFolder, members: Sequence[TrialRecord], winner: Winner) -> None:
    """Write a winner's documents, with the looks at test images so far."""
    for name, text in winner_documents(folder, members, winner).items():
        folder.write(text.encode(), "winner", name)


def winner_documents(folder: RunFolder, members: Sequence[TrialRecord], winner: Winner) -> dict[str, str]:
    """The model card and the filled checklists of a winner, by file name."""
    run, looks = folder.read_run(), folder.read_log().looks
    predicted = folder.exists("predictions", f"{WINNER}.parquet")
    points = winner.operating_point, winner.finding_points
    subgroups = score_subgroups(read_predictions(folder, WINNER), *points) if predicted else []
    return {
        CARD: winner_card(run, members, winner, looks, subgroups),
        CHECKLIST: fill_checklist(list_facts(run, members, winner, looks, subgroups)),
    }


def read_members(folder: RunFolder, members: Sequence[TrialRecord]) -> pa.Table:
    """The mean of the members' predictions, as `mean_predictions`."""
    return mean_predictions([read_predictions(folder, trial.name) for trial in members])


def choose_winner(
    run: RunRecord,
    members: Sequence[TrialRecord],
    table: pa.Table,
    settings: EvaluateSettings,
    groups: Mapping[str, str],
    patients: Mapping[str, str],
) -> Winner:
    """The winner that some trials make, without scores: its calibration and its operating point, set on validation.

    Calibration is left out unless it clearly lowers the loss on images of other groups than those that it was fitted
    on.

    Args:
        run: of the trials.
        members: scored trials, best first.
        table: of `read_members`.
        settings: as the other arguments and the errors, those of `propose_winner`.
        groups: as there.
        patients: as there.
    """
    name, own = _chosen_on(table)
    labels, classes = labels_of(table)[own], len(probability_columns(table))
    unchanged = Calibration.none(classes)
    winner = Winner(
        trials=tuple(trial.number for trial in members),
        calibrated_on="",
        slope=unchanged.slope,
        bias=unchanged.bias,
        evaluations=(),
        prevalence=settings.prevalence,
    )
    if settings.calibrate:
        winner = _with_calibration(winner, table, groups, patients)
    p = _calibrated(table, winner)[own]
    if labels.ndim == 2:
        return replace(winner, finding_points=finding_points(labels, p, settings.operating_point, name))
    if classes == 2:
        winner = replace(winner, operating_point=choose_point(labels, p[:, 1], settings.operating_point, name))
    return replace(winner, shares=held_shares(run, members, winner.calibrated_on))


def score_winner(winner: Winner, table: pa.Table, settings: EvaluateSettings) -> ScoredWinner:
    """A winner with its scores on every set of images; its model and its operating point stay as they are.

    Args:
        winner: with or without scores.
        table: of `read_members`.
        settings: which weights were scored.
    """
    labels, datasets = labels_of(table), np.array(table["dataset"].to_pylist())
    p, patients = _calibrated(table, winner), patients_of(table)
    places = {str(name): datasets == name for name in dict.fromkeys(datasets)}
    evaluations = [
        evaluation(winner.trials[0], name, settings.weights, 0, labels[own], p[own], patients[own])
        for name, own in places.items()
    ]
    decisions: list[Decisions] = []
    if p.shape[1] == 2 and labels.ndim == 1:
        for name, own in places.items():
            scored = labels[own], p[own, 1], patients[own]
            decisions += decisions_on(name, *scored, winner.operating_point, winner.prevalence)
    for place, name in enumerate(probability_columns(table)):
        table = table.set_column(table.column_names.index(name), name, pa.array(p[:, place].astype(np.float32)))
    return ScoredWinner(replace(winner, evaluations=tuple(evaluations), decisions=tuple(decisions)), table)


def is_same_model(first: Winner, second: Winner) -> bool:
    """Whether two winners give the same probabilities and decisions, and are meant for the same prevalence."""

    def names(winner: Winner) -> tuple[object, ...]:
        point = winner.operating_point
        weights = {entry.weights for entry in winner.evaluations}
        return winner.trials, weights, winner.calibrated_on, point.name, point.chosen_on, winner.prevalence

    def numbers(winner: Winner) -> tuple[float, ...]:
        points = winner.operating_point, *winner.finding_points
        of_findings = [number for each in winner.finding_calibrations for number in (each.slope, each.bias)]
        return winner.slope, *winner.bias, *of_findings, *(point.threshold for point in points)

    same = len(numbers(first)) == len(numbers(second)) and np.allclose(numbers(first), numbers(second))
    return names(first) == names(second) and bool(same)


def held_shares(run: RunRecord, members: Sequence[TrialRecord], calibrated_on: str) -> tuple[float, ...]:
    """The share of each class at which the probabilities of a winner hold.

    Empty where its members do not agree, and with several findings an image.
    """
    if run.is_multilabel:
        return ()
    count = len(run.classes)
    weights = {trial.parameters.get("class_weights", run.config["train"]["class_weights"]) for trial in members}
    if calibrated_on or weights == {"balanced"}:
        return (1 / count,) * count
    if weights == {"none"}:
        counts = run.data["counts"]["train"]
        return tuple(each / sum(counts) for each in counts)
    return ()


def _calibrated(table: pa.Table, winner: Winner) -> NDArray[np.floating]:
    """The probabilities (N, K) of predictions as the winner gives them."""
    p: NDArray[np.floating] = probabilities_of(table)
    if not winner.calibrated_on:
        return p
    if winner.finding_calibrations:
        of_each = zip(p.T, map(_of_two, winner.finding_calibrations), strict=True)
        return np.column_stack([calibration.apply(two_columns(own))[:, 1] for own, calibration in of_each])
    return Calibration(winner.slope, winner.bias).apply(p)


def _of_two(calibration: FindingCalibration) -> Calibration:
    """The same calibration, of a finding's absence and presence as two classes."""
    return Calibration(calibration.slope, (0.0, calibration.bias))


def _chosen_on(table: pa.Table) -> tuple[str, NDArray[np.bool_]]:
    """The set of images that calibration and operating point are fitted on, and its rows: bool (N,)."""
    datasets = np.array(table["dataset"].to_pylist())
    # The shifted copy, where it was made: on validation itself, models are more confident than they are elsewhere.
    name = SHIFTED if SHIFTED in datasets else VALIDATION
    return name, datasets == name


def _with_calibration(
    winner: Winner, table: pa.Table, groups: Mapping[str, str], patients: Mapping[str, str]
) -> Winner:
    """A winner calibrated where that lowers the loss on groups that were held out by more than the sampling error.

    It has the losses that decide on this, and the set of images that it was fitted on.
    """
    fitted_on, own = _chosen_on(table)
    labels, p = labels_of(table)[own], probabilities_of(table)[own]
    names = table["image_id"].filter(pa.array(own)).to_pylist()
    own_groups, own_patients = (np.array([of[name] for name in names]) for of in (groups, patients))
    if labels.ndim == 1:
        calibration, losses = _choose_calibration(labels, p, own_groups, own_patients)
        changed = calibration != Calibration.none(p.shape[1])
        calibrated = replace(winner, slope=calibration.slope, bias=calibration.bias, held_out_losses=losses)
    else:
        of_each = zip(labels.T, p.T, strict=True)
        found = tuple(_calibrate_finding(shown, own_p, own_groups, own_patients) for shown, own_p in of_each)
        changed = any(each.changes for each in found)
        calibrated = replace(winner, finding_calibrations=found)
    return replace(calibrated, calibrated_on=fitted_on if changed else "")


def _choose_calibration(
    labels: NDArray[np.int64],
    p: NDArray[np.floating],
    groups: NDArray[np.str_],
    patients: NDArray[np.str_],
    is_balanced: bool = True,
) -> tuple[Calibration, tuple[float, float]]:
    """The calibration of predictions, which changes nothing unless it helps, and the losses that decide on it."""
    held_out = hold_out(labels, p, groups, is_balanced)
    if held_out.clearly_helps(patients):
        return fit_calibration(labels, p, MOST_SLOPE, is_balanced, LEAST_SLOPE), held_out.losses
    return Calibration.none(p.shape[1]), held_out.losses


def _calibrate_finding(
    shown: NDArray[np.int64], p: NDArray[np.floating], groups: NDArray[np.str_], patients: NDArray[np.str_]
) -> FindingCalibration:
    """The calibration of one of several findings, at its share of these images."""
    if shown.all() or not shown.any():
        return FindingCalibration()
    calibration, losses = _choose_calibration(shown, two_columns(p), groups, patients, is_balanced=False)
    return FindingCalibration(calibration.slope, calibration.bias[1], losses)


def winner_model(members: Sequence["keras.Model"], winner: Winner) -> "keras.Model":
    """One model from images to the mean of the members' probabilities, calibrated; it has Keras' own layers only."""
    import keras

    if len(members) == 1 and not winner.calibrated_on:
        return members[0]
    image = keras.Input(members[0].input_shape[1:], name="image")
    # Members of one architecture have the same name, and a model may hold a name once.
    names = (_BEST_MEMBER, *(f"member_{number}" for number in range(1, len(members))))
    renamed = [keras.Model(each.input, each.output, name=name) for each, name in zip(members, names, strict=True)]
    outputs = [each(image) for each in renamed]
    p = keras.layers.Average(dtype="float32")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(image, _attach_calibration(p, winner) if winner.calibrated_on else p, name="winner")


def best_member(model: "keras.Model") -> "keras.Model":
    """The best of the members that `winner_model` joined, as `grad_cam` takes it; the model itself if it is alone."""
    found = (layer for layer in model.layers if layer.name == _BEST_MEMBER)
    return next(found, model)


def _attach_calibration(p: "keras.KerasTensor", winner: Winner) -> "keras.KerasTensor":
    """The winner's calibration as layers: on the probability of class 1, (B, 1), of each class or finding, (B, K)."""
    import keras

    def change(values: "keras.KerasTensor", slopes: Sequence[float], biases: Sequence[float]) -> "keras.KerasTensor":
        # a layer holds its numbers: tensors in an operation would be inputs of the model in ONNX
        return keras.layers.Rescaling(list(slopes), list(biases), dtype="float32")(values)

    clipped = keras.ops.clip(p, 1e-7, 1.0 - 1e-7)
    log_p = keras.ops.log(clipped)
    if p.shape[-1] > 1 and not winner.finding_calibrations:
        return keras.ops.softmax(change(log_p, [winner.slope] * len(winner.bias), winner.bias))
    odds = log_p - keras.ops.log(1.0 - clipped)
    if not winner.finding_calibrations:
        return keras.ops.sigmoid(winner.slope * odds + winner.bias[1])
    slopes, biases = zip(*((each.slope, each.bias) for each in winner.finding_calibrations), strict=True)
    return keras.ops.sigmoid(change(odds, slopes, biases))
