"""What a log says of a run's time budget: the time spent, and what the clock has closed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CLOCK, CLOSED = "clock", "closed"  # the events
TRIALS, CONFIRMATIONS = "trials", "confirmations"  # what is closed: none of them begins any more


@dataclass
class ClockRecord:
    """The time that a run has spent, and what its clock has closed.

    Attributes:
        elapsed: seconds of all its sessions together.
        closed: the time budget, in seconds, for which `TRIALS` or `CONFIRMATIONS` were closed.
    """

    elapsed: float = 0.0
    closed: dict[str, float] = field(default_factory=dict)

    def is_closed(self, what: str, budget: float | None) -> bool:
        """Whether none of them begins any more within this time budget; a larger one opens the search again."""
        return budget is not None and self.closed.get(what, 0.0) >= budget


def fold_clock(events: Iterable[Mapping[str, Any]]) -> ClockRecord:
    """What the events of a log add up to; other events than those of the clock are skipped."""
    found = ClockRecord()
    for event in events:
        if event.get("event") in (CLOCK, CLOSED):
            found.elapsed = max(found.elapsed, float(event["elapsed"]))
        if event.get("event") == CLOSED:
            found.closed[event["what"]] = float(event["budget"])
    return found
