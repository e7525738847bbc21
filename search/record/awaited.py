"""Whether a run awaits trials: its settings ask for them, its clock allows them, and they have not begun."""

from collections.abc import Iterable
from dataclasses import dataclass

from search.record.clock import CONFIRMATIONS, TRIALS, ClockRecord
from search.record.ranking import to_confirm
from search.record.schema import TrialRecord


@dataclass(frozen=True)
class Wanted:
    """What the settings of a run ask for.

    Attributes:
        trials: how many of the search's own.
        confirm: how many of the best configurations are trained again.
        time_budget: in seconds; None for none.
        metric: that configurations are ranked by.
        weights: the epoch that trials are judged by, `best` or `last`.
    """

    trials: int
    confirm: int
    time_budget: float | None
    metric: str
    weights: str


def is_awaited(begun: int, trials: Iterable[TrialRecord], clock: ClockRecord, wanted: Wanted) -> bool:
    """Whether a trial, or a confirmation of one, is still to begin.

    Args:
        begun: how many trials of the search's own have begun.
        trials: all that have begun, confirmations too; they are read only where confirmations are wanted.
        clock: of the run.
        wanted: by the settings.
    """
    if begun < wanted.trials and not clock.is_closed(TRIALS, wanted.time_budget):
        return True
    if not wanted.confirm or clock.is_closed(CONFIRMATIONS, wanted.time_budget):
        return False
    return any(to_confirm(trials, wanted.confirm, wanted.metric, wanted.weights))
