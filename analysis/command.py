"""How every command of the analysis ends."""

import sys
from collections.abc import Callable

from search.record import RecordError


def exit_code(work: Callable[[], None]) -> int:
    """Do the work and return 0; a run that cannot be read, or a file, is one line on stderr and 2."""
    try:
        work()
    except (RecordError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0
