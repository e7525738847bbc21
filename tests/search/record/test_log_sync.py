"""A log on a disk is confirmed by it where order matters, if its file system can."""

import errno
import os
from pathlib import Path

import pytest

from search.record import EventLog, RunFolder


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(RunFolder(str(tmp_path)))


def test_the_disk_has_confirmed_a_suggestion_and_an_end_before_what_follows(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: done.append("synced"))
    log.flush()
    assert done == []  # nothing was written
    log.append("suggested", 0)
    log.flush(wait=False)
    log.append("ended", 0)
    log.after(lambda: done.append("removed"))
    log.close()
    assert done == ["synced", "synced", "removed"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_confirm_is_no_error(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    log.append("suggested", 0)
    log.flush()
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
    with pytest.raises(OSError, match="input/output"):
        log.flush()
    log.close()
