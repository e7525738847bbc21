"""Reads the runs of a storage one by one: a run that cannot be read is named, and all others are read nevertheless."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from search.record.folder import RunFolder
from search.record.schema import RecordError
from search.record.storage import Storage

T = TypeVar("T")

# What reading raises where files are out of reach, damaged, or of another version's making.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,  # a number out of all bounds
    RecursionError,  # brackets in brackets
    NotImplementedError,  # Arrow's, of what later versions of Parquet have
)


@dataclass(frozen=True)
class Scan(Generic[T]):
    """What the runs of a storage gave.

    Attributes:
        found: what was read of each run, by its folder's name.
        unreadable: why the other runs cannot be read, a sentence each, by their folders' names.
    """

    found: dict[str, T]
    unreadable: dict[str, str]


def run_names(storage: str) -> list[str]:
    """The names of the folders in a storage that hold a run.json."""
    parent = Storage(storage)
    return [name for name in parent.names() if parent.exists(name, "run.json")]


def scan_runs(storage: str, read: Callable[[RunFolder], T]) -> Scan[T]:
    """What `read` makes of every run in a storage (a folder or a URL), by the names of their folders."""
    scan: Scan[T] = Scan({}, {})
    for name in run_names(storage):
        url = f"{storage.rstrip('/')}/{name}"
        try:
            with readable(url):
                scan.found[name] = read(RunFolder(url))
        except RecordError as error:
            scan.unreadable[name] = str(error)
    return scan


@contextlib.contextmanager
def readable(url: str) -> Iterator[None]:
    """A block that reads the run at `url`; its errors are raised as what they say of the run.

    Raises:
        RecordError: a file of the run is out of reach, damaged, or not as this version writes it.
    """
    try:
        yield
    except RecordError:
        raise
    except _UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), "")
        raise RecordError(
            f"A run's files hold its records. Received: {url}, where they cannot be read ({type(error).__name__}: "
            f"{reason}). Restore it, or leave this run out."
        ) from error
