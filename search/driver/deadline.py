"""Says what a search still has time for under its time budget; it changes nothing.

The time that is left to trials ends early enough for the winner to be there within the budget: time is kept for
confirmations and for the evaluation, as epochs were measured so far.
"""

import time
from collections.abc import Callable, Collection

from search.plan.pace import MARGIN, Pace, confirmation_seconds, evaluation_seconds
from search.plan.settings import SearchSettings
from search.record import FINISHED, TrialRecord


class Clock:
    """The seconds that a run has spent in all its sessions; this one began with the clock.

    Args:
        now: seconds of a clock that never goes back.
        at_a_time: how many trials run at a time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, at_a_time: int = 1) -> None:
        self._now, self._began = now, now()
        self.earlier = 0.0  # seconds of earlier sessions
        self.at_a_time = at_a_time

    @property
    def elapsed(self) -> float:
        """Seconds of all sessions."""
        return self.earlier + self._now() - self._began


class Deadline:
    """What there is time for: every duration is in seconds.

    Args:
        search: with a time budget.
        clock: of the run.
        trials: of earlier sessions.
        evaluates: whether an evaluation follows, for which time is kept.
    """

    def __init__(
        self, search: SearchSettings, clock: Clock, trials: Collection[TrialRecord] = (), evaluates: bool = True
    ) -> None:
        self.search, self._clock, self._evaluates = search, clock, evaluates
        self.budget = search.time_budget or 0.0
        self.pace = Pace(trials)
        self.finished = sum(trial.status == FINISHED for trial in trials)  # confirmations among them
        self.confirming = sum(trial.confirms is not None for trial in trials)  # confirmations that have begun
        self._busy: dict[int, float] = {}  # by trial: when it began its current epoch, or will begin its first

    @property
    def elapsed(self) -> float:
        """The time spent so far."""
        return self._clock.elapsed

    @property
    def kept(self) -> float:
        """The time that is kept for the evaluation."""
        if not self._evaluates:
            return 0.0
        trials = self.finished + len(self._busy) + max(0, self.search.confirm - self.confirming)
        return evaluation_seconds(self.pace, self.budget, trials, self._clock.at_a_time)

    @property
    def is_past(self) -> bool:
        """Whether what still trains must be cut off for the evaluation to be in time; half of its time is reserve."""
        return self.budget - self.elapsed <= self.kept / 2

    def left(self, confirming: bool) -> float:
        """The time that trials have left, or confirmations, for which time is kept behind all other trials."""
        left = self.budget - self.elapsed - self.kept
        if not confirming:
            left -= confirmation_seconds(self.pace, self.budget, self.search, self._clock.at_a_time)
        return left

    def allows_new(self, epochs: int) -> bool:
        """Whether a trial that begins now can train so many epochs."""
        return MARGIN * (self.pace.start + epochs * self.pace.epoch()) < self.left(confirming=False)

    def allows_confirmation(self, trial: TrialRecord) -> bool:
        """Whether the trial's configuration can be trained again from now on."""
        return self.pace.start + trial.max_epochs * self.pace.epoch(trial) < self.left(confirming=True)

    def allows(self, trial: TrialRecord, last: int) -> bool:
        """Whether a trial can train on until the end of its epoch `last`: from now, or from where it is."""
        epoch, busy = self.pace.epoch(trial), self._busy.get(trial.number)
        needed = (last - len(trial.epochs)) * epoch
        needed += self.pace.start if busy is None else -min(epoch, self.elapsed - busy)
        return needed <= self.left(trial.confirms is not None)

    def allows_more(self, trial: TrialRecord, epochs: int, seconds: float) -> bool:
        """Whether a trial that has just ended an epoch can train so many more without a pause, until `is_past`.

        Args:
            trial: without that epoch.
            epochs: still to come.
            seconds: that the epoch took.
        """
        epoch = min(seconds, self.pace.epoch(trial)) if trial.epochs else self.pace.warm(seconds)
        confirming = trial.confirms is not None
        reserve = self.kept / 2 if confirming or not self.search.confirm else 0.0
        return epochs * epoch <= self.left(confirming) + reserve

    def begin(self, number: int) -> None:
        """Note that a process was asked to train the trial."""
        self._busy[number] = self.elapsed + self.pace.start

    def note_epoch(self, trial: TrialRecord) -> None:
        """Note that the trial has ended an epoch."""
        self.pace.add(trial)
        if trial.number in self._busy:
            self._busy[trial.number] = self.elapsed

    def rest(self, number: int) -> None:
        """Note that no process trains the trial any more."""
        self._busy.pop(number, None)

    def is_busy(self, number: int) -> bool:
        """Whether a process trains the trial, or was asked to."""
        return number in self._busy
