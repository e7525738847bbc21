"""Decides which hosts a search no longer uses: those on which trial after trial meets an error of the system."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection

from search.record import counted

MOST_FAULTS = 3  # of a host in a row, without an epoch between them


class BadHosts:
    """Counts the faults of hosts; a host is a node of Ray, by its id.

    Args:
        usable: gives the hosts that are there and have room for a trial.

    Attributes:
        excluded: the hosts that no trial uses any more, in this session.
    """

    def __init__(self, usable: Callable[[], Collection[str]]) -> None:
        self.excluded: set[str] = set()
        self._usable = usable
        self._in_a_row: Counter[str] = Counter()
        self._met: defaultdict[int, set[str]] = defaultdict(set)  # by trial, the hosts whose faults stopped it

    def note_fault(self, trial: int, host: str) -> bool:
        """Count an error that a trial met on a host; whether the host is excluded because of it."""
        self._in_a_row[host] += 1
        self._met[trial].add(host)
        is_news = self._in_a_row[host] >= MOST_FAULTS and host not in self.excluded
        if is_news:
            self.excluded.add(host)
        return is_news

    def note_epoch(self, host: str) -> None:
        """Note that a trial has trained and saved an epoch on a host."""
        self._in_a_row.pop(host, None)

    @property
    def reasons(self) -> list[str]:
        """Why trials may have no host although some are there, a phrase each."""
        there = len(self.excluded & set(self._usable()))
        return [f"{counted(there, 'host')} with room no longer used after errors"] if there else []

    @property
    def is_any_left(self) -> bool:
        """Whether a host that is there is still used."""
        return not set(self._usable()) <= self.excluded

    def avoided_by(self, trial: int) -> tuple[str, ...]:
        """The hosts that must not get the trial: the excluded ones, and those that stopped it, if there are others."""
        if not self._met:
            return ()
        avoided = self.excluded | self._met[trial]
        return tuple(sorted(self.excluded if set(self._usable()) <= avoided else avoided))

    def is_stranded(self, trial: int, avoided: Collection[str]) -> bool:
        """Whether a trial that waits for a host other than these waits in vain, though it may now use one of them."""
        return set(self._usable()) <= set(avoided) and not set(avoided) <= set(self.avoided_by(trial))
