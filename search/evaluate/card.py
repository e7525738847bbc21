"""The winner in words: the lines on the screen and the model card."""

from collections.abc import Iterator, Sequence

import numpy as np

from search.record import (
    SHIFTED,
    VALIDATION,
    Decisions,
    Look,
    Rate,
    RunRecord,
    TrialRecord,
    Winner,
    looks_words,
    trial_name,
)
from search.record.prevalence import at_prevalence
from search.trial.metrics import wilson_interval


def winner_lines(winner: Winner) -> Iterator[str]:
    """Why the winner is calibrated or not, then one line a set of images; accuracies have 95 % Wilson intervals."""
    if winner.why_calibrated:
        yield _calibration_words(winner)
    for entry in winner.evaluations:
        correct = sum(entry.confusion[k][k] for k in range(len(entry.confusion)))
        low, high = wilson_interval(correct, entry.images)
        ranking = "" if entry.auc is None else f", AUC {entry.auc:.3f}"
        if entry.average_precision is not None:
            ranking += f", average precision {entry.average_precision:.3f}"
        rates = ""
        if entry.sensitivity is not None and entry.specificity is not None:
            rates = f", sensitivity {entry.sensitivity:.3f}, specificity {entry.specificity:.3f}"
        yield (
            f"{entry.dataset}: balanced accuracy {entry.balanced_accuracy:.3f}{ranking}, accuracy {entry.accuracy:.3f} "
            f"(95 % interval {low:.3f} to {high:.3f}, {entry.images} images), loss {entry.loss:.3f}{rates}"
        )
    if winner.operating_point.chosen_on or winner.prevalence is not None:
        yield f"operating point: {winner.operating_point.words}"
        for each in winner.decisions:
            if each.dataset not in (VALIDATION, SHIFTED):
                rates = ", ".join(f"{name} {_rate(getattr(each, key))}" for name, key in _RATE_NAMES.items())
                yield f"{each.dataset} there, prevalence {_prevalence_words(each)}: {rates}"


def winner_card(run: RunRecord, members: Sequence[TrialRecord], winner: Winner, looks: Sequence[Look] = ()) -> str:
    """The model card of the exported winner, in Markdown.

    Args:
        run: of the winner.
        members: the trials that it averages.
        winner: with its scores.
        looks: the evaluations of the run so far.
    """
    rows = [
        f"| {e.dataset} | {e.images} | {e.balanced_accuracy:.4f} | {_cell(e.auc)} | {_cell(e.average_precision)} | "
        f"{e.accuracy:.4f} | {_cell(e.sensitivity)} | {_cell(e.specificity)} | {e.loss:.4f} |"
        for e in winner.evaluations
    ]
    data = run.config["data"]
    again = run.config.get("search", {}).get("confirm", 0)
    parameters = sum(trial.parameter_count for trial in members)
    output = f"the probability of {run.positive}" if run.positive else "one probability a class"
    positive = (
        [f"- positive class: {run.positive}; sensitivity and average precision are of it"] if run.positive else []
    )
    return "\n".join(
        [
            f"# Winner of {run.name}: {winner.what}",
            "",
            f"Chosen by {run.metric}, among the finished trials; no test result had a part in it.",
            *(
                [f"Up to {again} of the best configurations were trained twice and compared by their means."]
                * bool(again)
            ),
            "",
            f"- classes, in the order of the outputs: {', '.join(run.classes)}",
            f"- input: float32 (N, {data['size']}, {data['size']}, {data['channels']}), grey values divided by 255",
            f"- output: {output}",
            *positive,
            f"- {_calibration_words(winner)}",
            *(["- its probabilities p become " + _formula(winner)] if winner.calibrated_on else []),
            f"- class shares: {_shares_words(run, winner)}",
            *_example(run, winner),
            *([f"- operating point: {winner.operating_point.words}"] if run.positive else []),
            f"- looks at test images: {looks_words(looks) or 'none recorded'}",
            f"- parameters: {parameters:,}",
            f"- data fingerprint: `{run.data['fingerprint']}`",
            f"- load it: `keras.models.load_model('{run.name}/winner/model.keras')`",
            "",
            "| images of | number | balanced accuracy | AUC | average precision | accuracy | sensitivity | specificity "
            "| loss |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            *_decision_lines(winner),
            *(line for trial in members for line in _member_lines(trial)),
            "A research result on one hospital's images; not a medical device.",
            "",
        ]
    )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _calibration_words(winner: Winner) -> str:
    done = f"calibrated on {winner.calibrated_on}" if winner.calibrated_on else "not calibrated"
    return f"{done}: {winner.why_calibrated}" if winner.why_calibrated else done


def _shares_words(run: RunRecord, winner: Winner) -> str:
    """At which frequencies of the classes the probabilities hold, and what to do at others."""
    if not winner.shares:
        held = "its probabilities hold at no known shares: its members weigh the classes differently"
    elif len(set(winner.shares)) == 1:
        held = "its probabilities hold where every class is equally frequent"
    else:
        shares = ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in zip(run.classes, winner.shares, strict=True)
        )
        held = f"its probabilities hold at the shares of the training images ({shares})"
    return f"{held}. Elsewhere multiply each by the class's share there over its share here; rescale to a sum of 1."


_EXAMPLE = 0.9  # a probability that reads as sure


def _example(run: RunRecord, winner: Winner) -> list[str]:
    """What a probability means at the stated prevalence."""
    if run.positive is None or winner.prevalence is None or not winner.shares:
        return []
    there = at_prevalence(np.array([[1 - _EXAMPLE, _EXAMPLE]]), winner.shares, winner.prevalence)[0, 1]
    return [
        f"- at the stated prevalence: where {100 * winner.prevalence:g} % have {run.positive}, "
        f"a probability of {_EXAMPLE:.2f} means {there:.2f}"
    ]


_RATE_NAMES = {"sensitivity": "sensitivity", "specificity": "specificity", "PPV": "ppv", "NPV": "npv"}


def _decision_lines(winner: Winner) -> list[str]:
    """The table of decisions at the operating point, with what it rests on."""
    if not winner.decisions:
        return []
    rows = [
        f"| {each.dataset} | {each.images} | {_prevalence_words(each)} | "
        + " | ".join(_rate(getattr(each, key)) for key in _RATE_NAMES.values())
        + " |"
        for each in winner.decisions
    ]
    return [
        f"Decisions at the operating point, {winner.operating_point.words}, with 95 % intervals; PPV and NPV, the "
        "shares of positive and of negative decisions that are right, change with the prevalence:",
        "",
        f"| images of | number | prevalence | {' | '.join(_RATE_NAMES)} |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _prevalence_words(each: Decisions) -> str:
    return f"{100 * each.prevalence:.3g} % ({'stated' if each.stated else 'its own'})"


def _rate(rate: Rate) -> str:
    if rate.value is None:
        return ""
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"


def _formula(winner: Winner) -> str:
    return f"softmax({winner.slope:.3f} log p + ({', '.join(f'{number:.3f}' for number in winner.bias)}))"


def _member_lines(trial: TrialRecord) -> list[str]:
    values = [f"- {name}: `{value}`" for name, value in trial.parameters.items()]
    again = "" if trial.confirms is None else f", confirms trial {trial_name(trial.confirms)}"
    return [f"## Trial {trial.name}, seed {trial.seed}{again}", "", *values, ""]
