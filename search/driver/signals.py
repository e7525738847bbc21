"""Lets SIGTERM end a command as Ctrl-C does: batch systems, spot hosts and a lost lease end a process with it."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """A block in which SIGTERM interrupts as Ctrl-C does; needs the main thread, like all signal handlers."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
