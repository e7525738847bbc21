"""What a search is for: the best trials by validation as one model, its probabilities calibrated, with its card."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from search.evaluate.calibration import Calibration, fit_calibration, held_out_losses
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
    RunRecord,
    TrialRecord,
    Winner,
    rank,
    rank_configurations,
)
from search.trial.metrics import wilson_interval

if TYPE_CHECKING:
    import keras

WINNER = "winner"  # the name of its predictions, among those of the trials


def best_trials(trials: Sequence[TrialRecord], settings: Settings) -> list[TrialRecord]:
    """The finished trials that the winner is made of, best first by validation; test results have no part in it.

    Repeats that validate on images of their own are not compared one with another: the best would be that with the
    easiest images. There, the winner is made of repeats of the configuration that is best in the mean.
    """
    finished = [trial for trial in trials if trial.status == FINISHED]
    metric, weights = settings.search.metric, settings.evaluate.weights
    if settings.data.split.redraw:
        finished = next(iter(rank_configurations(finished, metric, weights)), [])
    return rank(finished, metric, weights)[: settings.evaluate.ensemble]


def make_winner(
    folder: RunFolder, members: Sequence[TrialRecord], settings: EvaluateSettings, parts: Mapping[str, str]
) -> Winner:
    """Average the predictions of some trials, calibrate them, and score them on every set; card and predictions are
    written, the record is left to who exports the model.

    Where trials are judged by the shifted copy, so is calibration. It is left out unless it lowers the loss on images
    of other parts than those that it was fitted on.

    Args:
        folder: the run's, with the predictions of every member.
        members: scored trials, best first.
        settings: whether to calibrate, and which weights were scored.
        parts: of which part an image is, by its name: one way of change of the shifted copy, or a fold of patients.
    """
    table = mean_predictions([read_predictions(folder, trial.name) for trial in members])
    labels, datasets = table["label"].to_numpy(), np.array(table["dataset"].to_pylist())
    p: NDArray[np.floating] = probabilities_of(table)  # (N, K)
    calibrated_on, calibration = "", Calibration.none(p.shape[1])
    losses: tuple[float, ...] = ()
    if settings.calibrate:
        # Where it was made, the shifted copy: on validation itself models are as sure as they never are elsewhere.
        fitted_on = SHIFTED if SHIFTED in datasets else VALIDATION
        own = datasets == fitted_on
        groups = np.array([parts[name] for name in table["image_id"].filter(pa.array(own)).to_pylist()])
        losses = held_out_losses(labels[own], p[own], groups)
        if losses[1] < losses[0]:
            calibrated_on, calibration = fitted_on, fit_calibration(labels[own], p[own])
            p = calibration.apply(p)
    evaluations = [
        evaluation(members[0].number, str(dataset), settings.weights, 0, labels[own], p[own])
        for dataset in dict.fromkeys(datasets)
        for own in [datasets == dataset]
    ]
    for place, name in enumerate(probability_columns(table)):
        table = table.set_column(table.column_names.index(name), name, pa.array(p[:, place].astype(np.float32)))
    write_predictions(folder, table, WINNER)
    winner = Winner(
        tuple(trial.number for trial in members),
        calibrated_on,
        calibration.slope,
        calibration.bias,
        tuple(evaluations),
        losses,
    )
    folder.write(winner_card(folder.read_run(), members, winner).encode(), "winner", "card.md")
    return winner


def winner_model(members: Sequence["keras.Model"], winner: Winner) -> "keras.Model":
    """One model from images to the mean of the members' probabilities, calibrated; made of Keras' own layers only."""
    import keras

    calibration = Calibration(winner.slope, winner.bias)
    if len(members) == 1 and not winner.calibrated_on:
        return members[0]
    image = keras.Input(members[0].input_shape[1:], name="image")
    # Members of one architecture have the same name, and a model may hold a name once.
    renamed = [keras.Model(each.input, each.output, name=f"member_{n}") for n, each in enumerate(members)]
    outputs = [each(image) for each in renamed]
    p = keras.layers.Average(dtype="float32")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(image, _attach_calibration(p, calibration) if winner.calibrated_on else p, name="winner")


def _attach_calibration(p: "keras.KerasTensor", calibration: Calibration) -> "keras.KerasTensor":
    """`calibration.apply` as layers, on the probability of class 1, (B, 1), or of every class, (B, K)."""
    import keras

    clipped = keras.ops.clip(p, 1e-7, 1.0 - 1e-7)
    log_p = keras.ops.log(clipped)
    if p.shape[-1] == 1:
        odds = log_p - keras.ops.log(1.0 - clipped)
        return keras.ops.sigmoid(calibration.slope * odds + calibration.bias[1])
    return keras.ops.softmax(calibration.slope * log_p + keras.ops.convert_to_tensor(calibration.bias, "float32"))


def winner_lines(winner: Winner) -> Iterator[str]:
    """Why the winner is calibrated or not, and its results, a line a set, accuracies with 95 % Wilson intervals."""
    if winner.why_calibrated:
        yield _calibration_words(winner)
    for entry in winner.evaluations:
        correct = sum(entry.confusion[k][k] for k in range(len(entry.confusion)))
        low, high = wilson_interval(correct, entry.images)
        auc = "" if entry.auc is None else f", AUC {entry.auc:.3f}"
        rates = ""
        if entry.sensitivity is not None and entry.specificity is not None:
            rates = f", sensitivity {entry.sensitivity:.3f}, specificity {entry.specificity:.3f}"
        yield (
            f"{entry.dataset}: accuracy {entry.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}, "
            f"{entry.images} images), loss {entry.loss:.3f}{auc}{rates}"
        )


def winner_card(run: RunRecord, members: Sequence[TrialRecord], winner: Winner) -> str:
    """The model card of the exported winner, in Markdown."""
    rows = [
        f"| {e.dataset} | {e.images} | {e.loss:.4f} | {e.accuracy:.4f} | {e.balanced_accuracy:.4f} | "
        f"{'' if e.auc is None else f'{e.auc:.4f}'} |"
        for e in winner.evaluations
    ]
    data = run.config["data"]
    parameters = sum(trial.parameter_count for trial in members)
    output = f"the probability of {run.classes[1]}" if len(run.classes) == 2 else "one probability a class"
    return "\n".join(
        [
            f"# Winner of {run.name}: {winner.what}",
            "",
            f"Chosen by {run.metric}, among the finished trials; no test result had a part in it.",
            "",
            f"- classes, in the order of the outputs: {', '.join(run.classes)}",
            f"- input: float32 (N, {data['size']}, {data['size']}, {data['channels']}), grey values divided by 255",
            f"- output: {output}",
            f"- {_calibration_words(winner)}",
            *(["- its probabilities p become " + _formula(winner)] if winner.calibrated_on else []),
            f"- parameters: {parameters:,}",
            f"- data fingerprint: `{run.data['fingerprint']}`",
            f"- load it: `keras.models.load_model('{run.name}/winner/model.keras')`",
            "",
            "| images of | number | loss | accuracy | balanced accuracy | AUC |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *(line for trial in members for line in _member_lines(trial)),
            "A research result on one hospital's images; not a medical device.",
            "",
        ]
    )


def _calibration_words(winner: Winner) -> str:
    done = f"calibrated on {winner.calibrated_on}" if winner.calibrated_on else "not calibrated"
    return f"{done}: {winner.why_calibrated}" if winner.why_calibrated else done


def _formula(winner: Winner) -> str:
    return f"softmax({winner.slope:.3f} log p + ({', '.join(f'{number:.3f}' for number in winner.bias)}))"


def _member_lines(trial: TrialRecord) -> list[str]:
    values = [f"- {name}: `{value}`" for name, value in trial.parameters.items()]
    return [f"## Trial {trial.name}, seed {trial.seed}", "", *values, ""]
