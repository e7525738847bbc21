"""The winner in words: the lines on the screen and the model card."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from search.evaluate.checklist import FOR_THE_AUTHOR
from search.evaluate.facts import findings_words, list_facts
from search.evaluate.subgroups import Subgroup
from search.record import (
    SHIFTED,
    VALIDATION,
    Decisions,
    Evaluation,
    FindingScore,
    Look,
    Rate,
    RunRecord,
    TrialRecord,
    Winner,
    counted,
    looks_words,
    trial_name,
)
from search.record.prevalence import at_prevalence
from search.record.subgroups import FEWEST


def winner_lines(winner: Winner) -> Iterator[str]:
    """Why the winner is calibrated or not, then a line a set; accuracies have 95 % intervals over patients."""
    if winner.why_calibrated:
        yield _calibration_words(winner)
    for entry in winner.evaluations:
        if entry.findings:
            yield findings_words(entry)
            continue
        ranking = "" if entry.auc is None else f", AUC {entry.auc:.3f}"
        if entry.average_precision is not None:
            ranking += f", average precision {entry.average_precision:.3f}"
        rates = ""
        if entry.sensitivity is not None and entry.specificity is not None:
            rates = f", sensitivity {entry.sensitivity:.3f}, specificity {entry.specificity:.3f}"
        yield (
            f"{entry.dataset}: balanced accuracy {entry.balanced_accuracy:.3f}{ranking}, accuracy {entry.accuracy:.3f} "
            f"({_interval_words(entry)}), loss {entry.loss:.3f}{rates}"
        )
    if winner.finding_points:
        yield f"called present: {winner.how_decided}"
    if winner.operating_point.chosen_on or winner.prevalence is not None:
        yield f"operating point: {winner.operating_point.words}"
        for each in winner.decisions:
            if each.dataset not in (VALIDATION, SHIFTED):
                rates = ", ".join(f"{name} {_rate(getattr(each, key))}" for name, key in _RATE_NAMES.items())
                yield f"{each.dataset} there, prevalence {_prevalence_words(each)}: {rates}"


def _interval_words(entry: Evaluation) -> str:
    """The interval of an accuracy and what it rests on; older records have none."""
    images = counted(entry.images, "image")
    if entry.accuracy_low is None:
        return images
    of = "" if entry.patients in (None, entry.images) else f" of {counted(entry.patients or 0, 'patient')}"
    return f"95 % interval {entry.accuracy_low:.3f} to {entry.accuracy_high:.3f}, {images}{of}"


def winner_card(
    run: RunRecord,
    members: Sequence[TrialRecord],
    winner: Winner,
    looks: Sequence[Look] = (),
    subgroups: Sequence[Subgroup] = (),
) -> str:
    """The model card of the exported winner, in Markdown.

    Args:
        run: of the winner.
        members: the trials that it averages.
        winner: with its scores.
        looks: the evaluations of the run so far.
        subgroups: scores on subgroups of the test images.
    """
    facts = list_facts(run, members, winner, looks, subgroups)
    lines = [
        f"# Winner of {run.name}: {winner.what}",
        "",
        f"Chosen by {run.metric}, among the finished trials; no test result had a part in it.",
        *_confirmed(run),
        "",
        *_section("Intended use", _use_lines(run, members, facts)),
        *_section("Data", _fact_lines(facts, "counts", "patients", "labels", "set_aside", "fingerprint")),
        *_section("Split", _fact_lines(facts, "partition", "disjoint", "held_out")),
        *_section("Preprocessing", _fact_lines(facts, "preprocessing", "incomplete", "prediction")),
        *_section("Probabilities and decisions", _probability_lines(run, winner)),
        *_section(
            "Scores",
            _finding_lines(run, winner) if run.is_multilabel else [*_score_lines(winner), *_decision_lines(winner)],
        ),
        *_section("Subgroups", _subgroup_lines(subgroups)),
        *_section("Limits", _limit_lines(facts, looks)),
        *(line for trial in members for line in _member_lines(trial)),
    ]
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    known = lines or [f"{FOR_THE_AUTHOR}: the run's records do not tell."]
    return [f"## {title}", "", *known, *([""] * (known[-1] != ""))]


def _fact_lines(facts: Mapping[str, str], *names: str) -> list[str]:
    return [f"- {facts[name]}" for name in names if name in facts]


def _confirmed(run: RunRecord) -> list[str]:
    again = run.config.get("search", {}).get("confirm", 0)
    words = f"Up to {again} of the best configurations were trained twice and compared by their means."
    return [words] if again else []


def _use_lines(run: RunRecord, members: Sequence[TrialRecord], facts: Mapping[str, str]) -> list[str]:
    data = run.config["data"]
    positive = (
        [f"- positive class: {run.positive}; sensitivity and average precision are of it"] if run.positive else []
    )
    return [
        f"{facts['task']} A research result, not a medical device: no diagnosis may rest on it. {FOR_THE_AUTHOR}: for "
        "which patients, at which place in their care, and for which users.",
        "",
        f"- {'findings' if run.is_multilabel else 'classes'}, in the order of the outputs: {', '.join(run.classes)}",
        f"- input: float32 (N, {data['size']}, {data['size']}, {data['channels']}), grey values divided by 255",
        f"- output: {_output_words(run)}",
        *positive,
        f"- parameters: {sum(trial.parameter_count for trial in members):,}",
        f"- load it: `keras.models.load_model('{run.name}/winner/model.keras')`",
    ]


def _output_words(run: RunRecord) -> str:
    if run.is_multilabel:
        return "the probability of each finding by itself; they do not add up to 1"
    return f"the probability of {run.positive}" if run.positive else "one probability a class"


def _probability_lines(run: RunRecord, winner: Winner) -> list[str]:
    if run.is_multilabel:
        return [
            f"- {_calibration_words(winner)}",
            *_finding_calibration_lines(run, winner),
            "- what is called present stands beside each finding below",
        ]
    return [
        f"- {_calibration_words(winner)}",
        *(["- its probabilities p become " + _formula(winner)] if winner.calibrated_on else []),
        f"- class shares: {_shares_words(run, winner)}",
        *_example(run, winner),
        *([f"- operating point: {winner.operating_point.words}"] if run.positive else []),
    ]


def _finding_calibration_lines(run: RunRecord, winner: Winner) -> list[str]:
    """What becomes of the probabilities of each finding that is calibrated."""
    named = zip(run.classes, winner.finding_calibrations, strict=False)  # none where calibration was not tried
    formulas = [f"{name} {each.slope:.3f} logit p {each.bias:+.3f}" for name, each in named if each.changes]
    if not formulas:
        return []
    return [
        f"- probabilities p become the sigmoid of: {'; '.join(formulas)}; those of other findings stay as they are",
        "- calibrated probabilities hold where a finding is as frequent as in validation",
    ]


def _score_lines(winner: Winner) -> list[str]:
    rows = [
        f"| {e.dataset} | {e.images} | {e.patients or ''} | {e.balanced_accuracy:.4f} | {_cell(e.auc)} | "
        f"{_cell(e.average_precision)} | "
        f"{_accuracy(e)} | {_cell(e.sensitivity)} | {_cell(e.specificity)} | {e.loss:.4f} |"
        for e in winner.evaluations
    ]
    return [
        "Accuracies have 95 % intervals over patients.",
        "",
        "| images of | number | patients | balanced accuracy | AUC | average precision | accuracy | sensitivity "
        "| specificity | loss |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _accuracy(each: Evaluation) -> str:
    between = "" if each.accuracy_low is None else f" ({each.accuracy_low:.4f} to {each.accuracy_high:.4f})"
    return f"{each.accuracy:.4f}{between}"


def _subgroup_lines(subgroups: Sequence[Subgroup]) -> list[str]:
    """The table of subgroups, or that there are none."""
    if not subgroups:
        return ["Neither files nor tables state age, sex or view of the test images."]
    of_findings = any(each.finding for each in subgroups)
    rows = [
        f"| {each.dataset} | {each.by} | {each.group} | {each.images} | "
        f"{each.finding if of_findings else _rate(each.accuracy)} | {_rate(each.sensitivity)} | "
        f"{_rate(each.specificity)} |"
        for each in subgroups
    ]
    return [
        f"95 % intervals over patients; scores of fewer than {FEWEST} images have none. Groups are small and many: a "
        "difference between two of them is a question, not a finding.",
        "",
        f"| images of | by | group | number | {'finding' if of_findings else 'accuracy'} | sensitivity | specificity |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def _limit_lines(facts: Mapping[str, str], looks: Sequence[Look]) -> list[str]:
    return [
        "- The scores hold for images like those of the sets above. What a machine, a hospital or a population changes "
        "is not in them" + (", but for the outside sets." if "external" in facts else "."),
        f"- looks at test images: {looks_words(looks) or 'none recorded'}",
        *_fact_lines(facts, "warnings"),
        f"- {FOR_THE_AUTHOR}: known faults of the labels, who is not represented, and when it must not be used.",
    ]


def _finding_lines(run: RunRecord, winner: Winner) -> list[str]:
    """The scores of a winner that tells several findings an image: their means, then a row a finding."""
    rows = [
        f"| {name} | {entry.dataset} | {_shown_words(found, entry)} | {_cell(found.auc)} | "
        f"{_cell(found.average_precision)} | {point.finding_words} |"
        for entry in winner.evaluations
        for name, found, point in zip(run.classes, entry.findings, winner.finding_points, strict=True)
    ]
    return [
        *(f"- {line}" for line in winner_lines(winner)),
        "",
        "| finding | images of | that show it | AUC | average precision | called present |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _shown_words(found: FindingScore, entry: Evaluation) -> str:
    """How many images show a finding."""
    return "not known" if found.positives is None else f"{found.positives} of {entry.images}"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _calibration_words(winner: Winner) -> str:
    done = winner.how_calibrated or "not calibrated"
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
        f"Decisions at the operating point, {winner.operating_point.words}, with 95 % intervals over patients; PPV and "
        "NPV, the shares of positive and of negative decisions that are right, change with the prevalence:",
        "",
        f"| images of | number | prevalence | {' | '.join(_RATE_NAMES)} |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _prevalence_words(each: Decisions) -> str:
    return f"{100 * each.prevalence:.3g} % ({'stated' if each.stated else 'its own'})"


def _rate(rate: Rate | None) -> str:
    if rate is None or rate.value is None:
        return ""
    if rate.low is None:
        return f"{rate.value:.3f}"
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"


def _formula(winner: Winner) -> str:
    return f"softmax({winner.slope:.3f} log p + ({', '.join(f'{number:.3f}' for number in winner.bias)}))"


def _member_lines(trial: TrialRecord) -> list[str]:
    values = [f"- {name}: `{value}`" for name, value in trial.parameters.items()]
    again = "" if trial.confirms is None else f", confirms trial {trial_name(trial.confirms)}"
    return [f"## Trial {trial.name}, seed {trial.seed}{again}", "", *values, ""]
