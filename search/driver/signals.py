"""Lets SIGTERM end a command as Ctrl-C does: batch systems, spot hosts and a lost lease end a process with it."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """A block in which SIGTERM interrupts as Ctrl-C does; needs the main thread, like all signal handlers."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does at the moment, which Tune changes; also where a script's background ignores Ctrl-C."""
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(on_ctrl_c):
        raise KeyboardInterrupt
    on_ctrl_c(signal.SIGINT, frame)
