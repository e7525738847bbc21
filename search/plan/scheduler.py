"""How far each trial trains before it is compared with others: the schedulers of a search, and their epochs.

A scheduler decides from the trials' epochs alone. It starts empty, is given every trial with `place`, and then decides
as it would have without an interruption. Needs no Ray.

To add one: its module, its entry in `SCHEDULERS` and its name in `search.plan.settings.SCHEDULERS`, its test.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from search.plan.asha import Asha
from search.plan.settings import SearchSettings, Settings
from search.plan.spaces import Space, last_epochs
from search.record import TrialRecord, counted


class Scheduler(Protocol):
    """Decides up to which epoch each trial trains, and which trials train on from there."""

    @property
    def name(self) -> str:
        """Its name on the screen; empty where no trial is stopped early."""

    def expected_epochs(self, last_epochs: Sequence[int]) -> int:
        """How many epochs a whole search is expected to take.

        Args:
            last_epochs: of every trial, the epoch after which it ends if it is not stopped.
        """

    def target(self, trial: TrialRecord) -> int:
        """The epoch up to which the trial trains now: the next at which it is compared with others, or its last."""

    def judged_epochs(self, trial: TrialRecord) -> int:
        """How many of the trial's epochs were compared with others; all of them once the trial has ended."""

    def place(self, trial: TrialRecord) -> None:
        """Note how far a trial is: when it is new, has reached its target, has ended, or is known from the log."""

    def promote(self) -> int | None:
        """The number of a waiting trial that trains on now, or `None`; it no longer waits."""

    def close(self) -> None:
        """Know that no further trial will begin, although more were planned."""

    def hasten(self) -> int | None:
        """The waiting trial that gains most by training on before its turn, or `None`; it no longer waits."""

    def drop(self) -> list[int]:
        """The numbers of the waiting trials that can no longer be promoted; they no longer wait."""


class NoScheduler:
    """Trains every trial to its last epoch and compares none."""

    name = ""

    def expected_epochs(self, last_epochs: Sequence[int]) -> int:
        """The last epochs of all trials, added up."""
        return sum(last_epochs)

    def target(self, trial: TrialRecord) -> int:
        """The trial's last epoch."""
        return trial.max_epochs

    def judged_epochs(self, trial: TrialRecord) -> int:
        """None until the trial has ended, then all of them."""
        return len(trial.epochs) if trial.is_final else 0

    def place(self, trial: TrialRecord) -> None:
        """Nothing to note: no trial depends on another."""

    def promote(self) -> int | None:
        """`None`: no trial waits."""
        return None

    def close(self) -> None:
        """Nothing to know: no trial depends on another."""

    def hasten(self) -> int | None:
        """`None`: no trial waits."""
        return None

    def drop(self) -> list[int]:
        """Nothing: no trial waits."""
        return []


# By name in `search.scheduler`; each is built from the search's settings and its number of trials.
SCHEDULERS: Mapping[str, Callable[[SearchSettings, int], Scheduler]] = {
    "asha": Asha,
    "none": lambda search, num_trials: NoScheduler(),
}


def build_scheduler(search: SearchSettings, num_trials: int) -> Scheduler:
    """The scheduler that the settings ask for, without any trial yet.

    Args:
        search: which scheduler, and its settings.
        num_trials: how many trials the search has in all.
    """
    return SCHEDULERS[search.scheduler](search, num_trials)


def expected_epochs(space: Space, settings: Settings) -> int:
    """How many epochs the whole search takes if no trial ends by itself before its last epoch."""
    lasts = last_epochs(space, settings)
    return build_scheduler(settings.search, len(lasts)).expected_epochs(lasts) + _confirming_epochs(lasts, settings)


def epochs_line(space: Space, settings: Settings) -> str:
    """The epochs of the whole search in words, for a dry run."""
    lasts = last_epochs(space, settings)
    scheduler = build_scheduler(settings.search, len(lasts))
    again, search = _confirming_epochs(lasts, settings), settings.search
    best = counted(min(search.confirm, len(lasts) // search.repeats), "best configuration")
    more = f"; up to {again} more confirm the {best}" if again else ""
    if not scheduler.name:
        return f"epochs: {sum(lasts)} at the most, no early stopping{more}"
    expected = scheduler.expected_epochs(lasts)
    return f"epochs: about {expected} expected under {scheduler.name}, of {sum(lasts)}{more}"


def _confirming_epochs(lasts: Sequence[int], settings: Settings) -> int:
    """How many epochs the confirmations take at most: a training of each configuration that is confirmed.

    A list has every configuration once before any is repeated.
    """
    once = sorted(lasts[: len(lasts) // settings.search.repeats])
    return sum(once[-settings.search.confirm :]) if settings.search.confirm else 0
