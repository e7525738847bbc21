import os
import signal
from collections.abc import Iterator

import pytest

from search.driver.signals import sigterm_as_ctrl_c


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a search of another test in this process leaves Tune's
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_interrupts_as_ctrl_c_does_and_only_in_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_interrupts_where_ctrl_c_is_ignored() -> None:
    """A shell starts what a script puts into the background so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_does_what_ctrl_c_does_at_the_moment() -> None:
    heard: list[int] = []
    with sigterm_as_ctrl_c():
        signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGINT]
