"""The order of trials, and of configurations, by what validation measured."""

import json
from collections.abc import Iterable
from statistics import fmean

from search.record.schema import TrialRecord, lower_is_better


def rank(trials: Iterable[TrialRecord], metric: str, weights: str = "best") -> list[TrialRecord]:
    """Trials from best to worst by the `metric` of the epoch that each is judged by.

    Trials without a value are left out.
    """
    sign = 1 if lower_is_better(metric) else -1
    values = [(trial.scored_value(metric, weights), trial) for trial in trials]
    kept = [(sign * value, trial.number, trial) for value, trial in values if value is not None]
    return [trial for _, _, trial in sorted(kept, key=lambda entry: entry[:2])]


def rank_configurations(trials: Iterable[TrialRecord], metric: str, weights: str = "best") -> list[list[TrialRecord]]:
    """The repeats of each configuration by number; configurations from best to worst by the mean of their `metric`.

    Trials without a value are left out.
    """
    repeats: dict[str, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda entry: entry.number):
        if trial.scored_value(metric, weights) is not None:
            key = json.dumps([trial.parameters, trial.max_epochs], sort_keys=True)
            repeats.setdefault(key, []).append(trial)
    sign = 1 if lower_is_better(metric) else -1

    def mean(group: list[TrialRecord]) -> float:
        return fmean(trial.scored_value(metric, weights) or 0.0 for trial in group)

    return sorted(repeats.values(), key=lambda group: sign * mean(group))
