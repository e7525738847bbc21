"""Decides what a search gives up for its time budget: trials that no longer begin, and trials that train no further.

Nothing here changes a search. `SearchState` asks, and records each decision, so that a resumed search does not take it
again.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from search.driver.deadline import Deadline
from search.record import CONFIRMATIONS, FINISHED, STOPPED, TRIALS, TrialRecord, rank


@dataclass(frozen=True)
class Standing:
    """Where a search stands.

    Attributes:
        trials: all that have begun, confirmations among them.
        to_come: how many of the search's own have not begun.
        first_target: the epoch up to which a new one trains at first.
    """

    trials: Collection[TrialRecord]
    to_come: int
    first_target: int

    @property
    def unended(self) -> list[TrialRecord]:
        """The trials that have begun and not ended."""
        return [trial for trial in self.trials if not trial.is_final]

    @property
    def own(self) -> Iterator[TrialRecord]:
        """The search's own trials, without the confirmations."""
        return (trial for trial in self.trials if trial.confirms is None)


@dataclass(frozen=True)
class Close:
    """No more of `what`, `TRIALS` or `CONFIRMATIONS`, begin."""

    what: str
    reason: str


@dataclass(frozen=True)
class End:
    """A trial ends where it is, with this status."""

    trial: TrialRecord
    status: str
    reason: str


def has_time(deadline: Deadline, standing: Standing, trial: TrialRecord) -> bool:
    """Whether a trial has time to train on: to its last epoch or, if no trial can be finished, for one epoch."""
    return deadline.allows(trial, _aim(deadline, standing, trial, len(trial.epochs) + 1))


def must_pause(deadline: Deadline, standing: Standing, trial: TrialRecord, epoch: int, seconds: float) -> bool:
    """Whether a trial, which has just trained an epoch in so many seconds, has no time for more of them.

    A first epoch holds the tracing of the graphs, and does not tell what the others take: after it a trial that has
    time for one more trains on.

    Args:
        deadline: of the search.
        standing: of the search.
        trial: without that epoch.
        epoch: its number, from 1.
        seconds: that it took.
    """
    last = _aim(deadline, standing, trial, epoch + 1) if trial.epochs else epoch + 1
    return not deadline.allows_more(trial, last - epoch, seconds)


def can_finish_one(deadline: Deadline, standing: Standing) -> bool:
    """Whether a trial has finished, or one can be trained to its last epoch in time."""
    if deadline.finished or (standing.to_come and deadline.allows_new(deadline.search.max_epochs)):
        return True
    return any(deadline.allows(trial, trial.max_epochs) for trial in standing.own if not trial.is_final)


def decide(deadline: Deadline, standing: Standing, to_confirm: TrialRecord | None) -> list[Close | End]:
    """What the search gives up now; nothing, or what is to be carried out before the next decision.

    Args:
        deadline: of the search.
        standing: of the search.
        to_confirm: the trial that the next confirmation would train again; `None` while it is too early for one.
    """
    if standing.to_come and not _allows_new(deadline, standing):
        return [Close(TRIALS, "no trial begins any more, there is no time left for its epochs")]
    if standing.to_come:
        return []
    resting = [trial for trial in standing.unended if not deadline.is_busy(trial.number)]
    late = [trial for trial in resting if not has_time(deadline, standing, trial)]
    if late and can_finish_one(deadline, standing):
        return [_end_late(trial) for trial in late]
    if late and len(late) == len(standing.unended):
        return _end_own(deadline, standing)
    if to_confirm is not None and not deadline.allows_confirmation(to_confirm):
        return [Close(CONFIRMATIONS, f"there is no time left to confirm trial {to_confirm.name}")]
    return []


def cut_off(deadline: Deadline, standing: Standing) -> list[Close | End]:
    """The end of the search at once, for trials that train, too."""
    return [
        Close(TRIALS, "the trials are cut off, it is time to evaluate"),
        Close(CONFIRMATIONS, "no configuration is confirmed any more"),
        *_end_own(deadline, standing),
        *(_end_late(trial) for trial in standing.unended if trial.confirms is not None),
    ]


def _aim(deadline: Deadline, standing: Standing, trial: TrialRecord, following: int) -> int:
    """The epoch for which a trial must have time: its last or, if no trial can be finished, the following one."""
    return trial.max_epochs if trial.confirms is not None or can_finish_one(deadline, standing) else following


def _allows_new(deadline: Deadline, standing: Standing) -> bool:
    """Whether a new trial has time: to be finished or, if no trial can be, to reach its first rung."""
    if can_finish_one(deadline, standing):
        return deadline.allows_new(deadline.search.max_epochs)
    return deadline.allows_new(standing.first_target)


def _end_own(deadline: Deadline, standing: Standing) -> list[Close | End]:
    """The end of the search's own trials; if none has finished, the best of them counts as finished where it is."""
    unended = [trial for trial in standing.own if not trial.is_final]
    has_finished = any(trial.status == FINISHED for trial in standing.own)
    best = None if has_finished else next(iter(rank(unended, deadline.search.metric)), None)
    late: list[Close | End] = [_end_late(trial) for trial in unended if trial is not best]
    if best is None:
        return late
    return [End(best, FINISHED, "the time budget ended, and no trial could train to its last epoch"), *late]


def _end_late(trial: TrialRecord) -> End:
    return End(trial, STOPPED, "the time budget leaves no time for its last epochs")
