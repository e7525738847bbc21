"""What a log says of the looks at test images: each evaluation of a run is one."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EVALUATED = "evaluated"  # the event, written before the first image is scored


@dataclass(frozen=True)
class Look:
    """One evaluation of a run.

    Attributes:
        time: when it began, in seconds since 1970.
        images: how many each test set has, by the set's name.
        trials: how many finished trials there were.
        settings: `evaluate.*` as nested plain dictionaries.
    """

    time: float
    images: Mapping[str, int]
    trials: int
    settings: Mapping[str, Any]


def fold_looks(events: Iterable[Mapping[str, Any]]) -> tuple[Look, ...]:
    """The evaluations that a log records, in order; runs of older versions recorded none."""
    return tuple(
        Look(event["time"], event["images"], event["trials"], event["settings"])
        for event in events
        if event.get("event") == EVALUATED
    )


def looks_words(looks: Iterable[Look]) -> str:
    """How often each test set was looked at: `test 2, adults 1`; empty where no look is recorded."""
    counts = Counter(name for look in looks for name in look.images)
    return ", ".join(f"{name} {count}" for name, count in counts.items())
