"""Ray's ASHA, with what it lacks: rungs that survive a resume, and diverged trials kept out of them.

This module imports Ray at the top because a scheduler is a subclass; the driver imports it only when
a search begins.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search import record
from search.record import TrialRecord, trial_name
from search.settings import SearchSettings


@dataclass(frozen=True)
class _Named:
    """All that ASHA wants to know of a trial: an id, and ours is the same before and after a resume."""

    trial_id: str


class ResumableAsha(ASHAScheduler):  # type: ignore[misc]  # Ray ships no types
    """Asynchronous successive halving over our trial numbers.

    Ray's own scheduler comes back from a resume with empty rungs (ray-project/ray#30838), because its
    state is not part of what Tune restores. Here the log is replayed through the scheduler's public
    methods, which gives the same rungs and the same decisions again.

    Source: Li et al. 2020, 'A System for Massively Parallel Hyperparameter Tuning' (ASHA).
    """

    def __init__(self, search: SearchSettings) -> None:
        super().__init__(
            time_attr="epoch",
            metric="score",
            mode="min" if record.lower_is_better(search.metric) else "max",
            max_t=search.max_epochs,
            grace_period=search.asha.grace_period,
            reduction_factor=search.asha.reduction_factor,
        )
        self._score = search.metric

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial joins."""
        super().on_trial_add(tune_controller, _name(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on after this epoch."""
        decision: str = super().on_trial_result(tune_controller, _name(trial), result)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial ended by itself; a diverged one leaves no mark in a rung."""
        if math.isfinite(result.get("score", math.nan)):
            super().on_trial_complete(tune_controller, _name(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial left before it began."""
        super().on_trial_remove(tune_controller, _name(trial))

    def replay(self, events: Iterable[Mapping[str, Any]], trials: Mapping[int, TrialRecord]) -> set[int]:
        """Rebuild the rungs from a run's log.

        Args:
            events: the log, in order.
            trials: what the log adds up to.

        Returns:
            The numbers of trials that go on in the log but that ASHA had decided to stop: the driver
            died between the decision and its record.
        """
        seen: dict[int, int] = {}
        to_stop: set[int] = set()
        for event in events:
            trial = trials.get(event.get("trial", -1))
            if trial is None:
                continue
            named = _Named(trial.name)
            if event["event"] == "suggested":
                super().on_trial_add(None, named)
            elif event["event"] == "epoch" and event["metrics"]["epoch"] == seen.get(trial.number, 0) + 1:
                epoch = seen[trial.number] = event["metrics"]["epoch"]
                result = {"epoch": epoch, "score": event["metrics"][self._score]}
                if result["score"] is None:
                    continue
                if trial.status == record.FINISHED and epoch == len(trial.epochs):
                    super().on_trial_complete(None, named, result)
                elif super().on_trial_result(None, named, result) == TrialScheduler.STOP and not trial.is_final:
                    to_stop.add(trial.number)
        return to_stop


def _name(trial: Any) -> _Named:
    return _Named(trial_name(trial.config["number"]))
