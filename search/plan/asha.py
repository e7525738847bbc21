"""Asynchronous successive halving: which trials may train on past a rung, told from their epochs alone.

Ray's ASHA stops trials and never takes one up again, so that whoever comes to a rung first goes on unjudged: with two
workers the first two trials of every search ran to their end. Here, as in the paper, a trial waits at its rung until
it is among the best 1 in `reduction_factor` that came there. All of that follows from the trials' epochs, so that a
resumed search decides as it would have without the break (Ray's rungs come back empty: ray-project/ray#30838).

Source: Li et al. 2020, 'A System for Massively Parallel Hyperparameter Tuning', algorithm 2.
"""

import math
from bisect import bisect_left, insort

from search import record
from search.plan.settings import SearchSettings
from search.record import TrialRecord

_Place = tuple[float, int]  # a trial's score, smaller is better, and its number


def rung_epochs(search: SearchSettings) -> tuple[int, ...]:
    """The epochs after which only the best trials go on, in order; none without ASHA."""
    if search.scheduler == "none":
        return ()
    epochs, epoch = [], float(search.asha.grace_period)
    while epoch < search.max_epochs:
        epochs.append(int(epoch))
        epoch *= search.asha.reduction_factor
    return tuple(dict.fromkeys(epochs))  # a small factor gives some twice


class _Rung:
    """An epoch with the trials that came there, best first, and those among them that wait for their turn.

    Attributes:
        ahead: numbers of trials that are on their way here.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.came: list[_Place] = []
        self.waiting: list[_Place] = []
        self.ahead: set[int] = set()

    def rank(self, place: _Place) -> int:
        """How many that came here are better."""
        return bisect_left(self.came, place)


class Asha:
    """The rungs of one search.

    Args:
        search: epochs, rungs and the metric.
        num_trials: how many trials the search has in all.
    """

    def __init__(self, search: SearchSettings, num_trials: int) -> None:
        self._metric, self._factor = search.metric, search.asha.reduction_factor
        self._rungs = [_Rung(epoch) for epoch in rung_epochs(search)]
        self._new = num_trials  # trials that have not begun
        self._passed: dict[int, int] = {}  # how many rungs each trial has come to

    def target(self, trial: TrialRecord) -> int:
        """The epoch up to which the trial trains now: its next rung, or its last epoch."""
        later = (rung.epoch for rung in self._rungs if rung.epoch > len(trial.epochs))
        return min(next(later, trial.max_epochs), trial.max_epochs)

    def judged_epochs(self, trial: TrialRecord) -> int:
        """How many of the trial's epochs a rung has seen; all, once it has ended."""
        if trial.is_final:
            return len(trial.epochs)
        return max((rung.epoch for rung in self._rungs if rung.epoch <= len(trial.epochs)), default=0)

    def place(self, trial: TrialRecord) -> None:
        """Note how far a trial is: when it is new, waits at a rung, has ended, or is known from an earlier session."""
        known = self._passed.get(trial.number)
        self._new -= known is None
        passed = known or 0
        if passed < len(self._rungs):
            self._rungs[passed].ahead.discard(trial.number)
        for rung in self._rungs[passed:]:
            if rung.epoch > len(trial.epochs) or rung.epoch >= trial.max_epochs:
                break
            insort(rung.came, self._place(trial, rung))
            passed += 1
        self._passed[trial.number] = passed
        if trial.is_final:
            return
        if passed and self._rungs[passed - 1].epoch == len(trial.epochs):
            insort(self._rungs[passed - 1].waiting, self._place(trial, self._rungs[passed - 1]))
        elif passed < len(self._rungs):
            self._rungs[passed].ahead.add(trial.number)

    def promote(self) -> int | None:
        """The trial that goes on now, taken from the highest rung that has one, or `None`; it no longer waits."""
        for level in reversed(range(len(self._rungs))):
            rung = self._rungs[level]
            least = 0 if self._coming(level) else 1
            if rung.waiting and rung.rank(rung.waiting[0]) < max(least, int(len(rung.came) // self._factor)):
                _, number = rung.waiting.pop(0)
                if level + 1 < len(self._rungs):
                    self._rungs[level + 1].ahead.add(number)
                return number
        return None

    def drop(self) -> list[int]:
        """The trials whose turn can no longer come; they no longer wait."""
        dropped = []
        for level, rung in enumerate(self._rungs):
            most = max(1, int((len(rung.came) + self._coming(level)) // self._factor))
            while rung.waiting and rung.rank(rung.waiting[-1]) >= most:
                dropped.append(rung.waiting.pop()[1])
        return dropped

    def _coming(self, level: int) -> int:
        """How many trials may still come to a rung."""
        below = self._rungs[:level]
        return self._new + len(self._rungs[level].ahead) + sum(len(rung.waiting) + len(rung.ahead) for rung in below)

    def _place(self, trial: TrialRecord, rung: _Rung) -> _Place:
        sign = 1 if record.lower_is_better(self._metric) else -1
        values = [getattr(epoch, self._metric) for epoch in trial.epochs[: rung.epoch]]
        return min((sign * value for value in values if value is not None), default=math.inf), trial.number
