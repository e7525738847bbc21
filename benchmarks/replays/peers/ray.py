"""Ray Tune's schedulers as rules: they decide about stand-ins of trials, drawn at random without replacement."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.replays.simulation import Verdict
from benchmarks.replays.table import Table


@dataclass(eq=False)
class StandIn:
    """What a scheduler of Ray looks at of a trial."""

    trial_id: str
    row: int
    status: str = "PENDING"
    is_saving: bool = False


class RayRule:
    """A scheduler of Ray Tune with random trials; this object is the controller that it asks to stop trials.

    Args:
        table: of the curves.
        seed: of the replay.
        workers: that train at a time.
        scheduler: a class of `ray.tune.schedulers`; its settings are Ray's defaults.
    """

    def __init__(self, table: Table, seed: int, workers: int, scheduler: str) -> None:
        from ray.tune import schedulers

        logging.getLogger("ray.tune").setLevel(logging.WARNING)  # HyperBand tells every bracket that is too small
        self._scheduler: Any = getattr(schedulers, scheduler)(
            time_attr="training_iteration", metric="score", mode="min", max_t=table.epochs
        )
        self._order = [int(row) for row in np.random.default_rng(seed).permutation(len(table.trials))]
        self._trials: dict[int, StandIn] = {}
        self._table = table
        self._ahead = max(16, int(1.1 * workers))  # Tune adds so many trials before they have a worker

    def ask(self) -> int | None:
        """The trial that the scheduler chooses among those that are paused or have not begun."""
        pending = sum(trial.status == "PENDING" for trial in self._trials.values())
        for row in self._order[: self._ahead - pending]:
            self._trials[row] = StandIn(f"{row:05d}", row)
            self._scheduler.on_trial_add(self, self._trials[row])
        del self._order[: self._ahead - pending]
        trial = self._scheduler.choose_trial_to_run(self)
        if trial is None:
            return None
        trial.status = "RUNNING"
        return int(trial.row)

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        """The scheduler's word."""
        trial, result = self._trials[row], {"training_iteration": epoch, "score": score}
        action = self._scheduler.on_trial_result(self, trial, result)
        if epoch == len(self._table.trials[row].epochs) or action == "STOP":
            trial.status = "TERMINATED"
            self._scheduler.on_trial_complete(self, trial, result)
            return Verdict.STOP
        if action == "PAUSE":
            trial.status = "PAUSED"
            return Verdict.PAUSE
        return Verdict.GO_ON

    def get_live_trials(self) -> list[StandIn]:
        """The trials that have not ended: Ray's schedulers ask their controller for them."""
        return [trial for trial in self._trials.values() if trial.status != "TERMINATED"]

    get_trials = get_live_trials

    def stop_trial(self, trial: StandIn) -> None:
        """End a paused trial, as the scheduler asks."""
        trial.status = "TERMINATED"
        self._scheduler.on_trial_remove(self, trial)
