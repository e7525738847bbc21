import itertools
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from search.record import EventLog, RunFolder, log
from tests.waiting import LIMIT


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
    assert folder.read_log().damaged == {file.name: 1}


def test_a_line_that_was_cut_short_or_changed_is_found(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    write_session(folder, "suggested", "started", "ended")
    (name,) = folder.names("log")
    content = folder.read("log", name)
    assert folder.read_log().damaged == {}
    second = content.splitlines()[1]
    for damaged in (second.replace(b'"trial":0', b'"trial":7'), second[:20], second[:-2] + b"}", b"[1]"):
        folder.write(content.replace(second, damaged), "log", name)
        assert events_of(folder) == ["suggested", "ended"]
        assert folder.read_log().damaged == {name: 1}


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
    assert folder.read_log().damaged == {}


@pytest.fixture
def bucket_folder(tmp_path: Path) -> RunFolder:
    return RunFolder(f"memory://bucket/{tmp_path.name}/run")


def test_an_object_store_gets_few_objects_that_grow(bucket_folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_PART_BYTES", 250)
    session = EventLog(bucket_folder)
    sizes = []
    for number in range(12):
        session.append("suggested", number)
        if number == 0:
            assert events_of(bucket_folder) == []
        session.flush()
        session.flush()  # nothing new: no request
        assert len(events_of(bucket_folder)) == number + 1
        sizes.append(bucket_folder.sizes("log"))
    session.close()
    assert [event["trial"] for event in bucket_folder.read_events()] == list(range(12))
    assert [name.rpartition("-")[2] for name in sizes[-1]] == [f"{part:06d}.jsonl" for part in range(len(sizes[-1]))]
    assert 2 <= len(sizes[-1]) <= 4
    for before, after in itertools.pairwise(sizes):  # a reader that knows a part's beginning need not read it again
        assert all(after[name] >= size for name, size in before.items())


def stored(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act, and wait until the log has been stored once."""
    done, write = threading.Event(), folder.write

    def note(content: bytes, *parts: str) -> None:
        write(content, *parts)
        done.set()

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write", note)
        act()
        assert done.wait(LIMIT)


def test_a_log_is_stored_when_the_last_time_is_some_seconds_ago(
    bucket_folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: now, time=time.time, time_ns=time.time_ns))
    session = EventLog(bucket_folder)
    session.append("suggested", 0)
    now = 4.0
    session.append("started", 0)
    assert events_of(bucket_folder) == []
    now = 6.0
    stored(bucket_folder, monkeypatch, lambda: session.append("ended", 0))
    assert events_of(bucket_folder) == ["suggested", "started", "ended"]
    assert len(bucket_folder.names("log")) == 1
    session.close()


def test_nobody_waits_for_an_object_store(bucket_folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events go on while a request hangs; they are stored together afterwards, then what waited for them is done."""
    begun, may_end, order, write = threading.Event(), threading.Event(), [], bucket_folder.write

    def slow(content: bytes, *parts: str) -> None:
        begun.set()
        assert may_end.wait(LIMIT)
        write(content, *parts)
        order.append(content.count(b"\n"))

    monkeypatch.setattr(bucket_folder, "write", slow)
    session = EventLog(bucket_folder)
    session.append("suggested", 0)
    session.flush(wait=False)
    assert begun.wait(LIMIT)
    for number in range(1, 100):
        session.append("suggested", number)
        session.flush(wait=False)
    session.after(lambda: order.append("after"))
    assert order == []
    may_end.set()
    session.close()
    assert order == [1, 100, "after"]
    assert len(events_of(bucket_folder)) == 100


def test_events_that_an_object_store_did_not_take_are_kept_for_the_next_try(
    bucket_folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = EventLog(bucket_folder)
    session.append("suggested", 0)

    def unreachable(*given: object) -> None:
        raise RuntimeError("EndpointConnectionError")

    with monkeypatch.context() as patch:
        patch.setattr(bucket_folder.fs, "pipe_file", unreachable)
        with pytest.raises(OSError, match="EndpointConnectionError"):
            session.flush()
    session.append("started", 0)
    session.close()
    assert events_of(bucket_folder) == ["suggested", "started"]


def test_a_failure_in_the_thread_is_raised_by_the_next_event(bucket_folder: RunFolder) -> None:
    session = EventLog(bucket_folder)

    def fail() -> None:
        raise OSError("the bucket is gone")

    def append_on() -> None:
        while True:
            session.append("suggested", 0)

    session.after(fail)
    with pytest.raises(OSError, match="the bucket is gone"):
        append_on()
    session.append("started", 0)
    session.close()
    assert set(events_of(bucket_folder)[:-1]) == {"suggested"}
    assert events_of(bucket_folder)[-1] == "started"


def test_on_a_disk_what_waits_for_events_is_done_at_once(tmp_path: Path) -> None:
    session, done = EventLog(RunFolder(str(tmp_path))), []
    session.after(lambda: done.append(1))
    assert done == [1]
