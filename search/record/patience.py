"""Waits for a storage that fails for a while (a full disk, a bucket out of reach) before a search gives up."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 10.0  # between two tries: the first pause, doubled up to the longest
# Errors that no waiting fixes.
_LASTING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


def patiently(work: Callable[[], T], seconds: float, say: Callable[[str], None]) -> T:
    """What `work` returns; after a failure it is tried again, for at most so many seconds.

    Args:
        work: reads or writes, and does no harm when it is done twice.
        seconds: how long to try again; 0 to try once.
        say: called with a line when the wait begins and when it ends well.

    Raises:
        OSError: the error of the last try.
    """
    began, pause = time.monotonic(), _FIRST_SECONDS
    waited = False

    def answers() -> None:
        if waited:
            say(f"The storage works again, after {time.monotonic() - began:.0f} s.")

    while True:
        try:
            result = work()
        except _LASTING:  # an answer too: of a storage that works, without the file
            answers()
            raise
        except OSError as error:
            left = seconds - (time.monotonic() - began)
            if left <= 0:
                raise
            if not waited:
                say(f"The storage fails ({error}); tried again for {seconds:.0f} s (run.patience).")
            waited = True
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_SECONDS)
        else:
            answers()
            return result
