"""The winner of a search: the best trials by validation as one model, with calibrated probabilities."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from search.evaluate.card import winner_card
from search.evaluate.predictions import (
    evaluation,
    mean_predictions,
    probabilities_of,
    probability_columns,
    read_predictions,
    write_predictions,
)
from search.plan.settings import EvaluateSettings, Settings
from search.record import (
    FINISHED,
    SHIFTED,
    VALIDATION,
    RunFolder,
    TrialRecord,
    Winner,
    rank,
    rank_configurations,
)
from search.trial.calibration import MOST_SLOPE, Calibration, fit_calibration, hold_out

if TYPE_CHECKING:
    import keras

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
    if settings.data.split.redraw:
        groups = rank_configurations(trials, metric, weights)[:1]
    elif any(trial.confirms is not None for trial in trials):
        groups = rank_configurations(trials, metric, weights)
    return [trial for group in groups for trial in rank(group, metric, weights)][: settings.evaluate.ensemble]


def make_winner(
    folder: RunFolder,
    members: Sequence[TrialRecord],
    settings: EvaluateSettings,
    groups: Mapping[str, str],
    patients: Mapping[str, str],
) -> Winner:
    """Average the predictions of some trials, calibrate them, and score them on every set of images.

    Card and predictions are written; the record is not, because it must follow the exported model. Calibration is left
    out unless it clearly lowers the loss on images of other groups than those that it was fitted on.

    Args:
        folder: the run's, with the predictions of every member.
        members: scored trials, best first.
        settings: whether to calibrate, and which weights were scored.
        groups: the group of each image that calibration may be fitted on, by its name, as
            `search.evaluate.sets.calibration_groups`.
        patients: the patient of each of these images, by its name.
    """
    table = mean_predictions([read_predictions(folder, trial.name) for trial in members])
    labels, datasets = table["label"].to_numpy(), np.array(table["dataset"].to_pylist())
    p: NDArray[np.floating] = probabilities_of(table)  # (N, K)
    calibrated_on, calibration = "", Calibration.none(p.shape[1])
    losses: tuple[float, ...] = ()
    if settings.calibrate:
        calibrated_on, calibration, losses = _choose_calibration(table, groups, patients)
    if calibrated_on:
        p = calibration.apply(p)
    evaluations = [
        evaluation(members[0].number, str(dataset), settings.weights, 0, labels[own], p[own])
        for dataset in dict.fromkeys(datasets)
        for own in [datasets == dataset]
    ]
    for place, name in enumerate(probability_columns(table)):
        table = table.set_column(table.column_names.index(name), name, pa.array(p[:, place].astype(np.float32)))
    write_predictions(folder, table, WINNER)
    numbers = tuple(trial.number for trial in members)
    winner = Winner(numbers, calibrated_on, calibration.slope, calibration.bias, tuple(evaluations), losses)
    folder.write(winner_card(folder.read_run(), members, winner).encode(), "winner", "card.md")
    return winner


def _choose_calibration(
    table: pa.Table, groups: Mapping[str, str], patients: Mapping[str, str]
) -> tuple[str, Calibration, tuple[float, float]]:
    """The set of images that predictions are calibrated on, their calibration, and the losses that decide on it.

    The set is empty, and the calibration changes nothing, where it does not lower the loss on groups that were held
    out by more than the sampling error.
    """
    datasets = np.array(table["dataset"].to_pylist())
    # The shifted copy, where it was made: on validation itself, models are more confident than they are elsewhere.
    fitted_on = SHIFTED if SHIFTED in datasets else VALIDATION
    own = datasets == fitted_on
    labels, p = table["label"].to_numpy()[own], probabilities_of(table)[own]
    own_names = table["image_id"].filter(pa.array(own)).to_pylist()
    own_groups = np.array([groups[name] for name in own_names])
    own_patients = np.array([patients[name] for name in own_names])
    held_out = hold_out(labels, p, own_groups)
    if held_out.clearly_helps(own_patients):
        return fitted_on, fit_calibration(labels, p, MOST_SLOPE), held_out.losses
    return "", Calibration.none(p.shape[1]), held_out.losses


def winner_model(members: Sequence["keras.Model"], winner: Winner) -> "keras.Model":
    """One model from images to the mean of the members' probabilities, calibrated; it has Keras' own layers only."""
    import keras

    calibration = Calibration(winner.slope, winner.bias)
    if len(members) == 1 and not winner.calibrated_on:
        return members[0]
    image = keras.Input(members[0].input_shape[1:], name="image")
    # Members of one architecture have the same name, and a model may hold a name once.
    names = (_BEST_MEMBER, *(f"member_{number}" for number in range(1, len(members))))
    renamed = [keras.Model(each.input, each.output, name=name) for each, name in zip(members, names, strict=True)]
    outputs = [each(image) for each in renamed]
    p = keras.layers.Average(dtype="float32")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(image, _attach_calibration(p, calibration) if winner.calibrated_on else p, name="winner")


def best_member(model: "keras.Model") -> "keras.Model":
    """The best of the members that `winner_model` joined, as `grad_cam` takes it; the model itself if it is alone."""
    found = (layer for layer in model.layers if layer.name == _BEST_MEMBER)
    return next(found, model)


def _attach_calibration(p: "keras.KerasTensor", calibration: Calibration) -> "keras.KerasTensor":
    """`calibration.apply` as layers, on the probability of class 1, (B, 1), or of every class, (B, K)."""
    import keras

    clipped = keras.ops.clip(p, 1e-7, 1.0 - 1e-7)
    log_p = keras.ops.log(clipped)
    if p.shape[-1] == 1:
        odds = log_p - keras.ops.log(1.0 - clipped)
        return keras.ops.sigmoid(calibration.slope * odds + calibration.bias[1])
    return keras.ops.softmax(calibration.slope * log_p + keras.ops.convert_to_tensor(calibration.bias, "float32"))
