"""Waits for events: tests never wait for seconds. Only what hangs reaches the one limit, however slow the machine."""

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

LIMIT = 1500.0  # seconds; below the timeout of a test in pyproject.toml, so that what hangs is named
_LOOK_SECONDS = 0.05  # between two looks

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    what: str,
    process: "subprocess.Popen[Any] | None" = None,
    *,
    told: Callable[[], str] = str,
    every: float = _LOOK_SECONDS,
) -> T:
    """The first answer of `condition` that is true.

    Args:
        condition: asked again and again.
        what: is waited for, for the message.
        process: what is to bring it about; once it has ended, nothing more is waited for.
        told: gives what else is known if it does not come, such as a log.
        every: seconds between two looks, for a look that costs something.

    Raises:
        AssertionError: the process ended before, with what it printed; or the limit is reached.
    """
    end = time.monotonic() + LIMIT
    while True:
        has_ended = process is not None and process.poll() is not None
        if found := condition():
            return found
        if process is not None and has_ended:
            code, printed = process.returncode, _printed(process)
            raise AssertionError(f"The process ended with {code} before: {what}\n{printed}{told()}")
        if time.monotonic() > end:
            raise AssertionError(f"It took more than {LIMIT:.0f} s: {what}\n{told()}")
        time.sleep(every)


def _printed(process: "subprocess.Popen[Any]") -> str:
    """What an ended process printed and nobody has read."""
    return str(process.stdout.read()) if process.stdout is not None and not process.stdout.closed else ""
