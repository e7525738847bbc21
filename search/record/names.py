"""Checks the names that come from a storage or a packed run: none leads out of the folder that it is meant for.

A bucket's keys are any text. One with `..` between slashes would be read, written or removed beside the run's folder,
or copied beside the folder that a command fills.
"""

import re

from search.record.schema import RecordError

_SEPARATOR = re.compile(r"[/\\]")
_NO_NAMES = ("", ".", "..")


def is_inside(name: str) -> bool:
    """Whether a name, of one part or of several joined by slashes, stays inside the folder that it is put into."""
    return "\0" not in name and not any(part in _NO_NAMES for part in _SEPARATOR.split(name))


def inside(*parts: str) -> str:
    """The parts joined by slashes; together they name something inside a folder.

    Raises:
        RecordError: they are absolute, empty or lead out of the folder.
    """
    name = "/".join(parts)
    if not is_inside(name):
        raise RecordError(
            f"What belongs to a run is named inside the run's folder. Received: {name!r}, which leads out of it. "
            "Remove it from the storage or the packed run, and do not trust who put it there."
        )
    return name
