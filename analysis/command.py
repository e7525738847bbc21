"""How every command of the analysis ends."""

import sys
from collections.abc import Callable

from search.record import RecordError


class CommandError(Exception):
    """What was asked cannot be done; the message says why, and what can."""


def exit_code(work: Callable[[], None]) -> int:
    """Do the work and return 0; a run that cannot be read, a file, or a wrong word is one line on stderr and 2."""
    try:
        work()
    except (CommandError, RecordError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0
