"""The order of trials, and of configurations, by what validation measured."""

import json
from collections.abc import Iterable, Iterator
from statistics import fmean

from search.record.schema import DIVERGED, FINISHED, TrialRecord, lower_is_better


def rank(trials: Iterable[TrialRecord], metric: str, weights: str = "best") -> list[TrialRecord]:
    """Trials from best to worst by the `metric` of the epoch that each is judged by.

    Trials without a value are left out.
    """
    sign = 1 if lower_is_better(metric) else -1
    values = [(trial.scored_value(metric, weights), trial) for trial in trials]
    kept = [(sign * value, trial.number, trial) for value, trial in values if value is not None]
    return [trial for _, _, trial in sorted(kept, key=lambda entry: entry[:2])]


def rank_configurations(trials: Iterable[TrialRecord], metric: str, weights: str = "best") -> list[list[TrialRecord]]:
    """The finished repeats of each configuration by number; configurations from best to worst by the mean `metric`.

    Confirmed configurations, which have a finished confirmation among their repeats, come before all others: a single
    value that was the best of many is partly luck. A configuration whose confirmation diverged comes last. One whose
    confirmation failed or was stopped counts as not confirmed. Trials without a value are left out.
    """
    repeats: dict[str, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda entry: entry.number):
        repeats.setdefault(json.dumps([trial.parameters, trial.max_epochs], sort_keys=True), []).append(trial)
    sign = 1 if lower_is_better(metric) else -1
    places = []
    for group in repeats.values():
        scored = [(trial, trial.scored_value(metric, weights)) for trial in group if trial.status == FINISHED]
        kept = [(trial, value) for trial, value in scored if value is not None]
        if kept:
            mean = fmean(value for _, value in kept)
            places.append((_confirmation_place(group), sign * mean, [trial for trial, _ in kept]))
    return [kept for _, _, kept in sorted(places, key=lambda place: place[:2])]


def to_confirm(trials: Iterable[TrialRecord], count: int, metric: str, weights: str = "best") -> Iterator[TrialRecord]:
    """The first trial of each of the `count` best configurations that no trial confirms yet, best first.

    Confirmations have no part in which configurations these are.
    """
    known = list(trials)
    confirmed = {trial.confirms for trial in known}
    ranked = rank_configurations((trial for trial in known if trial.confirms is None), metric, weights)
    return (group[0] for group in ranked[:count] if not confirmed.intersection(trial.number for trial in group))


def _confirmation_place(group: Iterable[TrialRecord]) -> int:
    """Where a configuration stands among the others: 0 where it is confirmed, 1 where not, 2 where that diverged."""
    found = {trial.status for trial in group if trial.confirms is not None}
    return 2 if DIVERGED in found else 0 if FINISHED in found else 1
