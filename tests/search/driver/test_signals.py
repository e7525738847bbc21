import os
import signal

import pytest

from search.driver.signals import sigterm_as_ctrl_c


def test_sigterm_interrupts_as_ctrl_c_does_and_only_in_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
