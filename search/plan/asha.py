"""Asynchronous successive halving: which trials train on past a rung, decided by their epochs alone.

Ray's ASHA stops trials and never resumes one, so the first trial at a rung goes on without a comparison: with two
workers, the first two trials of every search trained to their last epoch. Here, as in the paper, a trial waits at its
rung until it is among the best 1 in `reduction_factor` of the trials that reached it. All of this follows from the
trials' epochs, so a resumed search decides as it would have without the interruption (Ray's rungs are empty after a
resume: ray-project/ray#30838).

Source: Li et al. 2020, 'A System for Massively Parallel Hyperparameter Tuning', algorithm 2.
"""

import math
import sys
from bisect import bisect_left, insort
from collections.abc import Sequence

from search import record
from search.plan.settings import SearchSettings
from search.record import TrialRecord
from search.record.rungs import rung_epochs

_Place = tuple[float, int]  # a trial's score, smaller is better, and its number


def search_rungs(search: SearchSettings) -> tuple[int, ...]:
    """The epochs of a search's rungs, lowest first."""
    return rung_epochs(search.max_epochs, search.asha.grace_period, search.asha.reduction_factor)


def halving_epochs(num_trials: int, search: SearchSettings) -> int:
    """The epochs of successive halving: at each rung 1 trial in `reduction_factor` is promoted, at least one.

    Source: Li et al. 2020, algorithm 1.
    """
    spent, alive, trained = 0, num_trials, 0
    for rung in search_rungs(search):
        spent += alive * (rung - trained)
        alive, trained = max(1, int(alive // search.asha.reduction_factor)), rung
    return spent + alive * (search.max_epochs - trained)


_LAST: _Place = (math.inf, sys.maxsize)  # of a trial that died: behind every living one, also one without a score


class _Rung:
    """An epoch with the trials that reached it, best first, and those of them that wait for a promotion.

    Attributes:
        reserve: those that are promoted only if a better one dies, best first.
        ahead: numbers of the trials that are training towards it.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.came: list[_Place] = []
        self.waiting: list[_Place] = []
        self.reserve: list[_Place] = []
        self.ahead: set[int] = set()

    def bury(self, number: int) -> None:
        """Rank a trial that died last: its slot is free for the next best."""
        for places in (self.came, self.waiting, self.reserve):
            places[:] = [place for place in places if place[1] != number]
        self.came.append(_LAST)

    def rank(self, place: _Place) -> int:
        """How many of the trials that reached the rung are better."""
        return bisect_left(self.came, place)


class Asha:
    """ASHA's rungs in one search; a `search.plan.scheduler.Scheduler`.

    Args:
        search: epochs, rungs and the metric.
        num_trials: how many trials the search has in all.
    """

    name = "ASHA"

    def __init__(self, search: SearchSettings, num_trials: int) -> None:
        self._search, self._factor = search, search.asha.reduction_factor
        self._rungs = [_Rung(epoch) for epoch in search_rungs(search)]
        self._new = num_trials  # trials that have not begun
        self._passed: dict[int, int] = {}  # how many rungs each trial has reached
        self._has_finished = False  # whether a trial has trained to its end: then there is a winner

    def expected_epochs(self, last_epochs: Sequence[int]) -> int:
        """The epochs that successive halving takes for so many trials, each of up to `search.max_epochs`."""
        return halving_epochs(len(last_epochs), self._search)

    def target(self, trial: TrialRecord) -> int:
        """The epoch up to which the trial trains now: its next rung, or its last epoch."""
        later = (rung.epoch for rung in self._rungs if rung.epoch > len(trial.epochs))
        return min(next(later, trial.max_epochs), trial.max_epochs)

    def judged_epochs(self, trial: TrialRecord) -> int:
        """How many of the trial's epochs a rung has compared; all of them once the trial has ended."""
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
        self._has_finished |= trial.status == record.FINISHED
        if trial.status in (record.DIVERGED, record.FAILED):
            for rung in self._rungs[:passed]:
                rung.bury(trial.number)
        if trial.is_final:
            return
        if passed and self._rungs[passed - 1].epoch == len(trial.epochs):
            insort(self._rungs[passed - 1].waiting, self._place(trial, self._rungs[passed - 1]))
        elif passed < len(self._rungs):
            self._rungs[passed].ahead.add(trial.number)

    def promote(self) -> int | None:
        """The trial that trains on now, from the highest rung that has one, or `None`; it no longer waits."""
        for level in reversed(range(len(self._rungs))):
            rung = self._rungs[level]
            least = 0 if self._coming(level) else 1
            if rung.waiting and rung.rank(rung.waiting[0]) < max(least, int(len(rung.came) // self._factor)):
                return self._pass_on(level, rung.waiting.pop(0)[1])
        return None

    def close(self) -> None:
        """Know that no further trial will begin."""
        self._new = 0

    def hasten(self) -> int | None:
        """The best trial at the highest rung that has one, in reserve or not, or `None`; it no longer waits."""
        for level in reversed(range(len(self._rungs))):
            rung = self._rungs[level]
            if paused := sorted(rung.waiting + rung.reserve):
                rung.waiting, rung.reserve = paused[1:], []
                return self._pass_on(level, paused[0][1])
        return None

    def _pass_on(self, level: int, number: int) -> int:
        if level + 1 < len(self._rungs):
            self._rungs[level + 1].ahead.add(number)
        return number

    def drop(self) -> list[int]:
        """The waiting trials that can no longer be promoted; they no longer wait.

        None before a trial has finished: those outside the top stay in reserve, and the best of them are promoted when
        better ones diverge or fail, so that no search ends without a winner while a trial could give one.
        """
        for level, rung in enumerate(self._rungs):
            most = max(1, int((len(rung.came) + self._coming(level)) // self._factor))
            paused = sorted(rung.waiting + rung.reserve)
            top = bisect_left(paused, most, key=rung.rank)
            rung.waiting, rung.reserve = paused[:top], paused[top:]
        if not self._has_finished:
            return []
        dropped = [number for rung in self._rungs for _, number in reversed(rung.reserve)]
        for rung in self._rungs:
            rung.reserve.clear()
        return dropped

    def _coming(self, level: int) -> int:
        """How many trials may still reach a rung."""
        below = self._rungs[:level]
        return self._new + len(self._rungs[level].ahead) + sum(len(rung.waiting) + len(rung.ahead) for rung in below)

    def _place(self, trial: TrialRecord, rung: _Rung) -> _Place:
        metric = self._search.metric
        sign = 1 if record.lower_is_better(metric) else -1
        values = [getattr(epoch, metric) for epoch in trial.epochs[: rung.epoch]]
        return min((sign * value for value in values if value is not None), default=math.inf), trial.number
