"""The answer of a search: which model to pick, its scores, and the reasons."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis import statistics, style
from analysis.figures.space import count_best, importance
from analysis.load import VALIDATION_SCORES, Run
from analysis.page.model import describe_model
from analysis.scored import Scored, ScoredImages, finished_by_metric, scored_winner
from analysis.tables.subgroups import smallest_groups
from search.record import (
    FINAL,
    STOPPED,
    TEST,
    VALIDATION,
    Evaluation,
    OperatingPoint,
    counted,
    looks_words,
    lower_is_better,
    trial_name,
)
from search.record.intervals import count_patients


@dataclass(frozen=True)
class Score:
    """A score on a set of images, with its 95 % interval where there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Answer:
    """The first lines of the report.

    Attributes:
        trial: the winner's number; `None` while no trial has finished.
        model: the winner in a sentence.
        scores: of the exported model on the test set, or on validation before there is a test result.
        reasons: for the choice, and cautions; a sentence each.
        problems: damaged and missing files of the run.
    """

    run: str
    trial: int | None
    model: str
    scores: tuple[Score, ...]
    reasons: tuple[str, ...]
    problems: tuple[str, ...]


def answer(run: Run) -> Answer:
    """The answer of a run, as far as it has one."""
    chosen = scored_winner(run)
    if chosen is None:
        return Answer(run.name, None, _no_winner(run), (), (_state(run),), tuple(run.problems))
    reasons = [_why(chosen), *_what_mattered(run), *_calibrated(chosen), *_decides(chosen), *_generalizes(chosen)]
    reasons += [*_looked(run), _state(run)]
    best = describe_model(run, chosen.trial)
    is_mean = chosen.exported is not None and len(chosen.exported.trials) > 1
    model = f"Pick {chosen.what}. The best of them is {best}." if is_mean else f"Pick {chosen.what}: {best}."
    return Answer(run.name, chosen.trial, model, scores(chosen), tuple(reasons), tuple(run.problems))


def scores(chosen: Scored) -> tuple[Score, ...]:
    """A model's scores on the test set with 95 % intervals; before there are any, its trial's on validation.

    Those that mean something where classes are of unequal size come first. Intervals have patients as the units:
    Wilson's for accuracy, sensitivity and specificity, resampled patients for the others.
    """
    run = chosen.run
    dataset = next(iter(chosen.evaluations), "")
    if not dataset:
        values = {name: float(run.trials[name][chosen.trial]) for name in VALIDATION_SCORES if name != "val_loss"}
        return tuple(Score(style.label(name), value) for name, value in values.items() if value == value)
    if run.record.is_multilabel:
        return _means(chosen.evaluations[dataset])
    counts, images = chosen.confusion(dataset), chosen.images(dataset)
    share = accuracy(chosen, dataset)
    patients = count_patients(images.patients)
    of = f" of {counted(patients, 'patient')}" if 0 < patients < len(images) else ""
    found = _ranking(images, dataset)
    found.append(replace(share, name=f"{share.name}, {counted(counts.sum(), 'image')}{of}"))
    rates = tuple(f"{name} found" for name in run.classes)
    if run.record.positive:
        rates = (f"specificity ({run.classes[0]} found)", f"sensitivity ({run.record.positive} found)")
    decided = _decided(chosen, dataset)
    if decided is not None:
        found += [Score(f"{name} at the operating point", *rate) for name, rate in zip(rates, decided, strict=True)]
        return tuple(found)
    for k, name in enumerate(rates):
        if counts[k].sum():
            found.append(_share(name, counts[k, k] / counts[k].sum(), images, images.labels == k))
    return tuple(found)


def _means(entry: Evaluation) -> tuple[Score, ...]:
    """The mean scores over the findings that some images show and some do not."""
    judged = sum(finding.auc is not None for finding in entry.findings)
    over = f"mean over {judged} of {len(entry.findings)} findings, {counted(entry.images, 'image')}"
    named = {"AUC": entry.auc, "average precision": entry.average_precision}
    return tuple(Score(f"{entry.dataset} {name}, {over}", value) for name, value in named.items() if value is not None)


def _decided(chosen: Scored, dataset: str) -> tuple[tuple[float, float | None, float | None], ...] | None:
    """Specificity and sensitivity on a set of images, with intervals, at an operating point that was asked for."""
    exported = chosen.exported
    if exported is None or not exported.operating_point.chosen_on:
        return None
    own = next((each for each in exported.decisions if each.dataset == dataset and not each.stated), None)
    rates = () if own is None else (own.specificity, own.sensitivity)
    known = tuple((rate.value, rate.low, rate.high) for rate in rates if rate.value is not None)
    return known if len(known) == 2 else None


def accuracy(chosen: Scored, dataset: str) -> Score:
    """A model's accuracy on a set of images that it was scored on, with its interval over patients."""
    counts, images = chosen.confusion(dataset), chosen.images(dataset)
    return _share(f"{dataset} accuracy", np.trace(counts) / counts.sum(), images, np.ones(len(images), bool))


def _share(name: str, value: float, images: ScoredImages, chosen: NDArray[np.bool_]) -> Score:
    """The recorded share of the chosen images that are right; without an interval where predictions are missing."""
    if not chosen.any():
        return Score(name, float(value))
    share = statistics.share_interval(images.right[chosen], images.patients[chosen])
    return Score(name, float(value), share.low, share.high)


def _ranking(images: ScoredImages, dataset: str) -> list[Score]:
    """Balanced accuracy, AUC and average precision, where every class has images."""
    labels, p = images.labels, images.probabilities
    if not len(images) or not np.isfinite(p).all() or len(set(labels.tolist())) < p.shape[1]:
        return []
    weights = statistics.bootstrap_weights(images.patients)
    balanced = statistics.bootstrap_balanced_accuracy(labels, images.right, weights)
    auc = statistics.bootstrap_auc(labels, p, weights)
    precision = statistics.bootstrap_average_precision(labels, p, weights)
    named = {"balanced accuracy": balanced, "AUC": auc, "average precision": precision}
    return [Score(f"{dataset} {name}", each.value, each.low, each.high) for name, each in named.items()]


def _why(chosen: Scored) -> str:
    run, ordered = chosen.run, finished_by_metric(chosen.run)
    metric = style.label(run.metric)
    finished = counted(len(ordered), "finished trial")
    extreme = "lowest" if lower_is_better(run.metric) else "highest"
    members = chosen.exported.trials if chosen.exported else (chosen.trial,)
    splits = run.record.config.get("data", {}).get("split", {})
    folds, by_repeat = splits.get("folds"), splits.get("redraw") or splits.get("folds")
    is_ranked_alone = not by_repeat and run.trials["confirms"].isna().all()
    best = [int(number) for number in ordered.index if number in set(run.evaluations["trial"])][: len(members)]
    if chosen.exported and best and is_ranked_alone and set(best) != set(members):
        return (
            f"It was exported by an earlier evaluation and stays; of {finished} now, trial {trial_name(best[0])} "
            f"has the {extreme} {metric}, {ordered[best[0]]:.4f}. evaluate.replace_winner=true exports the best of now."
        )
    if len(members) > 1 and by_repeat:
        own = f"each validated on another of {folds} folds of the patients" if folds else "each on a split of its own"
        words = f"They are the repeats, {own}, of the configuration with the best mean {metric}"
        return f"{words}, of {finished}. The test set had no part in the choice."
    if run.trials["confirms"].notna().any():
        words = f"Of {finished}, the best configurations were trained again with another seed, and have the {extreme}"
        return f"{words} mean {metric} in the order of the members. The test set had no part in the choice."
    if len(members) > 1:
        words = f"They have the {len(members)} {extreme} values of {metric}, of {finished}"
        return f"{words}. The test set had no part in the choice."
    epoch = int(run.trials["epoch"][chosen.trial])
    words = f"It has the {extreme} {metric}, {run.trials[run.metric][chosen.trial]:.4f}"
    words += f" (epoch {epoch}), of {finished}"
    others = ordered.drop(chosen.trial, errors="ignore")
    if len(others):
        words += f"; the next, trial {trial_name(int(others.index[0]))}, has {others.iloc[0]:.4f}"
    return f"{words}. The test set had no part in the choice."


def _what_mattered(run: Run) -> list[str]:
    judged = int(run.trials[run.metric].notna().sum())
    found = importance(run.trials, run.metric, run.hyperparameters)[:2]
    if found.empty:
        return []
    parts = [f"{style.label(str(row.parameter))} ({row.importance:.0%})" for row in found.itertuples()]
    best = count_best(judged)
    return [f"What set the best {best:,} of {judged:,} trials apart most: {' and '.join(parts)} (PED-ANOVA)."]


def _calibrated(chosen: Scored) -> list[str]:
    """The reason why the winner is calibrated or not, where calibration was tried."""
    exported = chosen.exported
    if exported is None or not exported.why_calibrated:
        return []
    return [f"{'It is calibrated' if exported.calibrated_on else 'It is not calibrated'}: {exported.why_calibrated}."]


def _decides(chosen: Scored) -> list[str]:
    """The operating point, where one was asked for, and the smallest subgroups, where there are any."""
    exported, smallest = chosen.exported, smallest_groups(chosen.run)
    point = exported.operating_point if exported else OperatingPoint()
    found = [f"Its operating point: {point.words}."] if point.chosen_on else []
    return found + ([f"The smallest subgroups of the test images: {smallest}."] if smallest else [])


def _looked(run: Run) -> list[str]:
    """How often each test set was looked at, as far as the log says."""
    words = looks_words(run.looks)
    return [f"Looks at test images: {words}."] if words else []


def _generalizes(chosen: Scored) -> list[str]:
    """A caution where the test score is clearly below validation."""
    score = "auc" if chosen.run.record.is_multilabel else "balanced_accuracy"
    values = {name: getattr(entry, score) for name, entry in chosen.evaluations.items()}
    found = {name: value for name, value in values.items() if value is not None}
    if not {TEST, VALIDATION} <= set(found) or found[VALIDATION] - found[TEST] < 0.03:
        return []
    name = "The mean AUC" if chosen.run.record.is_multilabel else "Balanced accuracy"
    return [
        f"{name} falls from {found[VALIDATION]:.3f} on validation to {found[TEST]:.3f} on test "
        f"(other images): expect the test figure, not the validation one."
    ]


def _state(run: Run) -> str:
    found = run.trials["status"].value_counts()
    words = {STOPPED: "stopped early"}
    parts = [f"{found[status]:,} {words.get(status, status)}" for status in FINAL if status in found]
    spent, most = int(run.trials["epochs"].sum()), int(run.trials["max_epochs"].sum())
    started = run.trials[run.trials["started"] > 0]
    seconds = float(started["seconds"].sum())
    spent_time = f"{seconds / 3600:,.1f} process hours" if seconds >= 3600 else f"{seconds / 60:.0f} process minutes"
    still = "" if run.status == "finished" else f" The run is {run.status}."
    return (
        f"{counted(len(run.trials), 'trial')}: {', '.join(parts) or 'none ended yet'}; {spent:,} of "
        f"{counted(most, 'epoch')} trained in {spent_time}.{still}"
    )


def _no_winner(run: Run) -> str:
    if run.trials.empty:
        return "No trial has begun yet: there is nothing to pick."
    known = run.trials[run.metric].dropna().sort_values(ascending=lower_is_better(run.metric))
    if known.empty:
        return "No trial has a validation value yet: there is nothing to pick."
    best = int(known.index[0])
    return (
        f"No trial has finished yet. Best so far: trial {trial_name(best)}, "
        f"{style.label(run.metric)} {known.iloc[0]:.4f}, {describe_model(run, best)}."
    )
