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


def hold(folder: RunFolder, age: float = 0.0, **changes: object) -> None:
    """What another driver left so many seconds ago."""
    holder = {"host": "elsewhere", "process": 7, "token": "other", **changes}
    folder.write(json.dumps(holder).encode(), lease.FILE)
    written = folder.changed(lease.FILE) - age
    os.utime(folder.child(lease.FILE), (written, written))


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
    hold(folder, age=61)
    with drive(folder):
        assert [name for name in folder.names() if name.startswith("driver")] == ["driver-2.json"]
    assert folder.names() == []


def test_the_clock_of_no_host_plays_a_part(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(folder, time=0.0)  # an older version wrote when it was, by a clock that is wrong
    monkeypatch.setattr(time, "time", lambda: 1e12)
    with pytest.raises(RecordError, match="process 7 on elsewhere"), drive(folder):
        pass


def test_of_two_that_begin_at_once_one_is_refused(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked before either has written; with and without a lost driver's lease."""
    for age in (None, 61.0):
        if age is not None:
            hold(folder, age)
        seen = lease._numbers(folder)
        with drive(folder), monkeypatch.context() as patch:
            patch.setattr(lease, "_numbers", lambda folder, seen=seen: seen)
            if seen:
                patch.setattr(lease, "_refuse_if_driven", lambda folder, number: None)
            with pytest.raises(RecordError, match=f"process {os.getpid()} on "), drive(folder):
                pass


@pytest.mark.parametrize("other", [{"boot": "another"}, {"namespace": "pid:[1]"}])
def test_a_process_number_of_another_boot_or_container_says_nothing(folder: RunFolder, other: dict[str, str]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    hold(folder, **{**lease._machine(), "process": gone.pid, **other})
    with pytest.raises(RecordError, match=f"process {gone.pid}"), drive(folder):
        pass
    hold(folder, **{**lease._machine(), "process": gone.pid})
    with drive(folder):
        pass


def test_a_lease_is_renewed(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.01)
    with drive(folder):
        first = folder.changed(lease.FILE)
        wait_until(lambda: folder.changed(lease.FILE) > first, "a renewal")


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


def test_a_bucket_decides_who_creates_a_lease(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(f"{bucket}/leased")
    with drive(folder):
        with pytest.raises(RecordError, match=f"process {os.getpid()} on "), drive(folder):
            pass
        monkeypatch.setattr(lease, "_numbers", lambda folder: [])
        with pytest.raises(RecordError, match=f"process {os.getpid()} on "), drive(folder):
            pass
    assert folder.names() == []
