import resource
import signal
from pathlib import Path

import pytest

from search.record import EventLog, RunFolder, log


def write_session(folder: RunFolder, *events: str) -> None:
    session = EventLog(folder)
    for event in events:
        session.append(event, 0)
    session.close()


def events_of(folder: RunFolder) -> list[str]:
    return [event["event"] for event in folder.read_events()]


def test_an_event_is_on_the_disk_at_once_as_it_was_returned(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    session = EventLog(folder)
    written = session.append("suggested", 3, parameters={"rate": 1e-05}, loss=float("nan"))
    assert list(folder.read_events()) == [written]
    assert (written["trial"], written["parameters"], written["loss"]) == (3, {"rate": 1e-05}, None)
    assert "trial" not in session.append("features", backbone="vgg16")
    session.close()
    session.close()


def test_a_line_cut_short_is_skipped_and_the_next_session_is_read(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    write_session(folder, "suggested", "started")
    (file,) = (tmp_path / "run" / "log").iterdir()
    file.write_bytes(file.read_bytes() + b'{"event":"epoch","tri')
    write_session(folder, "ended")
    assert events_of(folder) == ["suggested", "started", "ended"]
    assert folder.damaged_lines() == {file.name: 1}


def test_a_line_that_was_cut_short_or_changed_is_found(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    write_session(folder, "suggested", "started", "ended")
    (name,) = folder.names("log")
    content = folder.read("log", name)
    assert folder.damaged_lines() == {}
    second = content.splitlines()[1]
    for damaged in (second.replace(b'"trial":0', b'"trial":7'), second[:20], second[:-2] + b"}", b"[1]"):
        folder.write(content.replace(second, damaged), "log", name)
        assert events_of(folder) == ["suggested", "ended"]
        assert folder.damaged_lines() == {name: 1}


def test_a_line_that_did_not_fit_on_the_disk_leaves_no_part_of_itself(tmp_path: Path) -> None:
    """The limit on a file's size stands for the full disk: a write takes what fits, the next one fails."""
    folder = RunFolder(str(tmp_path))
    session = EventLog(folder)
    session.append("first", note="x" * 50)
    (file,) = tmp_path.glob("log/*.jsonl")
    room = file.stat().st_size + 40
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            session.append("second", note="y" * 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    session.append("third")
    session.close()
    assert events_of(folder) == ["first", "third"]
    assert folder.damaged_lines() == {}


def test_an_object_store_gets_numbered_parts(tmp_path: Path) -> None:
    folder = RunFolder(f"memory://bucket/{tmp_path.name}/run")
    session = EventLog(folder)
    session.append("suggested", 0)
    assert not events_of(folder)
    session.flush()
    session.flush()  # nothing new: no part
    session.append("ended", 0)
    session.close()
    assert events_of(folder) == ["suggested", "ended"]
    assert [name.rpartition("-")[2] for name in folder.names("log")] == ["000000.jsonl", "000001.jsonl"]


def test_a_part_is_written_when_the_last_one_is_some_seconds_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    folder = RunFolder(f"memory://bucket/{tmp_path.name}/run")
    session = EventLog(folder)
    session.append("suggested", 0)
    now = 4.0
    session.append("started", 0)
    assert events_of(folder) == []
    now = 6.0
    session.append("ended", 0)
    assert events_of(folder) == ["suggested", "started", "ended"]
    assert len(folder.names("log")) == 1


def test_events_that_an_object_store_did_not_take_are_kept_for_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(f"memory://bucket/{tmp_path.name}/run")
    session = EventLog(folder)
    session.append("suggested", 0)

    def unreachable(*given: object) -> None:
        raise RuntimeError("EndpointConnectionError")

    with monkeypatch.context() as patch:
        patch.setattr(folder.fs, "pipe_file", unreachable)
        with pytest.raises(OSError, match="EndpointConnectionError"):
            session.flush()
    session.append("started", 0)
    session.close()
    assert events_of(folder) == ["suggested", "started"]
