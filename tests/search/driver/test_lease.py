import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.driver import lease
from search.driver.lease import drive
from search.record import RecordError, RunFolder
from tests.waiting import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def hold(folder: RunFolder, **changes: object) -> None:
    """What another driver left."""
    holder = {"host": "elsewhere", "process": 7, "token": "other", "time": time.time(), **changes}
    folder.write(json.dumps(holder).encode(), lease.FILE)


def test_a_second_driver_is_refused_and_told_by_whom(folder: RunFolder) -> None:
    with drive(folder), pytest.raises(RecordError, match=f"process {os.getpid()} on "), drive(folder):
        pass
    hold(folder)
    with pytest.raises(RecordError, match="process 7 on elsewhere"), drive(folder):
        pass


def test_a_run_is_free_when_its_driver_is_done_or_failed(folder: RunFolder) -> None:
    with pytest.raises(ZeroDivisionError), drive(folder):
        raise ZeroDivisionError
    with drive(folder):
        assert folder.exists(lease.FILE)
    assert not folder.exists(lease.FILE)


def test_a_driver_that_was_killed_here_is_forgotten_at_once(folder: RunFolder) -> None:
    program = (
        "import os, sys; from search.driver.lease import *; "
        "d = drive(RunFolder(sys.argv[1])); d.__enter__(); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, folder.url], check=False)
    assert killed.returncode == 9
    assert folder.exists(lease.FILE)
    with drive(folder):
        pass


def test_a_driver_whose_host_was_lost_is_forgotten_after_a_minute(folder: RunFolder) -> None:
    hold(folder, time=time.time() - 61)
    with drive(folder):
        pass


def test_a_lease_is_renewed(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.01)
    with drive(folder):
        first = json.loads(folder.read(lease.FILE))["time"]
        wait_until(lambda: json.loads(folder.read(lease.FILE))["time"] > first, "a renewal")


def test_a_driver_that_slept_while_another_took_over_is_interrupted(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.01)

    def stop(number: int, frame: object) -> None:
        raise InterruptedError

    def sleep() -> None:
        with drive(folder):
            wait_until(lambda: hold(folder), "the signal")  # again and again: a renewal may have been under way

    earlier = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(InterruptedError):
            sleep()
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert json.loads(folder.read(lease.FILE))["token"] == "other"


def test_a_damaged_lease_keeps_nobody_out(folder: RunFolder) -> None:
    folder.write(b'{"host": "els', lease.FILE)
    with drive(folder):
        pass
