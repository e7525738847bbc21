"""How long epochs and starts take in a search, as measured, and what a time budget must keep for its last steps."""

import itertools
import math
from collections.abc import Iterable
from statistics import fmean, median, median_low

from search.plan.settings import SearchSettings
from search.record import TrialRecord

# Judgement, not measurement.
MARGIN = 1.1  # what begins is given this much more time than was measured
_RECENT = 64  # trials that a new one is compared with
_WINNER_SECONDS = 15.0  # to export the winner and its mistakes
_MOST_EVALUATION = 1 / 2  # of the budget
_MOST_CONFIRMATION = 1 / 3  # of the budget
_TRACING_SECONDS, _LEAST_WARM = 5.0, 0.1  # of an epoch, before any was measured without it; what at least is left


class Pace:
    """Measured seconds of the epochs and starts of a search's latest trials.

    An epoch is warm where the same process had just trained the one before. In all others graphs are traced, which
    counts to a trial's start: on small images it takes longer than the epoch itself.

    Args:
        trials: those that are known.
    """

    def __init__(self, trials: Iterable[TrialRecord] = ()) -> None:
        # By trial, the latest last.
        self._epochs: dict[int, float] = {}  # seconds of an epoch, of trials with a warm one
        self._cold: dict[int, float] = {}  # the same, of trials without: a guess, since models differ in their tracing
        self._finished: dict[int, float] = {}  # the same, of trials that trained to their last epoch
        self._tracing: dict[int, float] = {}  # what the first epoch took more than the warm ones
        self._starts: dict[int, float] = {}
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> None:
        """Take in the trial's epochs so far."""
        if not trial.epochs:
            return
        first, warm = trial.epochs[0], _warm_seconds(trial)
        if warm:
            _remember(self._tracing, trial.number, max(0.0, first.seconds - fmean(warm)))
        epoch = self.epoch(trial)
        _remember(self._epochs if warm else self._cold, trial.number, epoch)
        if len(trial.epochs) >= trial.max_epochs:
            _remember(self._finished, trial.number, epoch)
        if trial.started and first.time and not trial.retries:
            _remember(self._starts, trial.number, max(0.0, first.time - trial.started - epoch))

    @property
    def has_epochs(self) -> bool:
        """Whether an epoch was measured."""
        return bool(self._epochs or self._cold)

    @property
    def start(self) -> float:
        """Seconds from the start of a trial to its first epoch: the median; 0 where none was measured."""
        return median(self._starts.values()) if self._starts else 0.0

    @property
    def slowest(self) -> float:
        """Seconds of an epoch of the slowest trial of the latest that finished; before one has, of a new trial's."""
        return max(self._finished.values(), default=self.epoch())

    def epoch(self, trial: TrialRecord | None = None) -> float:
        """Seconds of an epoch: of the trial's own, or of a new trial's; 0 where none was measured.

        A new one is given the lower median of the latest trials, of those with a warm epoch if there are any. What is
        too slow for the time that is left ends early; what never began would have left its process without work.
        """
        if trial is not None and trial.epochs:
            warm = _warm_seconds(trial)
            return fmean(warm) if warm else self.warm(min(epoch.seconds for epoch in trial.epochs))
        known = self._epochs or self._cold
        return median_low(known.values()) if known else 0.0

    def warm(self, seconds: float) -> float:
        """What an epoch that took so many seconds with tracing would take without."""
        tracing = median(self._tracing.values()) if self._tracing else _TRACING_SECONDS
        return max(seconds - tracing, _LEAST_WARM * seconds)


def evaluation_seconds(pace: Pace, budget: float, trials: int, at_a_time: int) -> float:
    """The seconds of a time budget that are kept to evaluate trials and to export the winner.

    Scoring a trial takes less than an epoch, which trains on more images than are scored.

    Args:
        pace: of the search so far.
        budget: in seconds.
        trials: how many are scored.
        at_a_time: how many of them at a time.
    """
    seconds = _WINNER_SECONDS + pace.start + pace.epoch() * math.ceil(trials / at_a_time)
    return min(seconds, _MOST_EVALUATION * budget) if pace.has_epochs else min(_WINNER_SECONDS, budget / 4)


def confirmation_seconds(pace: Pace, budget: float, search: SearchSettings, at_a_time: int) -> float:
    """The seconds of a time budget that are kept for confirmations: whole rounds of them, in at most a third of it.

    Args:
        pace: of the search so far.
        budget: in seconds.
        search: how many configurations are confirmed, and over how many epochs.
        at_a_time: how many train at a time.
    """
    each = MARGIN * (pace.start + search.max_epochs * pace.slowest)
    if not each or not search.confirm:
        return 0.0
    return each * min(math.ceil(search.confirm / at_a_time), int(_MOST_CONFIRMATION * budget // each))


def duration_text(seconds: float) -> str:
    """A duration in words: `1 h 30 min`, `2 min 5 s`, `40 s`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{number} {unit}" for number, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if number]
    return " ".join(parts[:2]) or "0 s"


def _warm_seconds(trial: TrialRecord) -> list[float]:
    """The seconds of the epochs that began within a second of the end of the one before."""
    pairs = itertools.pairwise(trial.epochs)
    return [later.seconds for before, later in pairs if later.time - later.seconds - before.time < 1.0]


def _remember(values: dict[int, float], number: int, value: float) -> None:
    values.pop(number, None)
    values[number] = value
    if len(values) > _RECENT:
        del values[next(iter(values))]
