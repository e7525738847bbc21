"""Exit codes and error messages of every command of the analysis."""

import sys
from collections.abc import Callable

from search.record import RecordError, error_words


class CommandError(Exception):
    """A command cannot do what it was asked; the message gives the rule, what was received and the next step."""


def exit_code(work: Callable[[], None]) -> int:
    """Do the work and return 0; return 2 where a run, a file or an argument is wrong, and print one line on stderr."""
    try:
        work()
    except (CommandError, RecordError, OSError) as error:
        print(f"Error: {error_words(error)}", file=sys.stderr)
        return 2
    return 0
