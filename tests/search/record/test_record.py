import json
from pathlib import Path

import pytest

from search import record
from search.record import EventLog, RecordError, RunFolder, fold, rank, read_event, to_json
from tests.conftest import make_epoch


def suggested(number: int) -> dict:
    return {"event": "suggested", "trial": number, "time": 1.0, "parameters": {"a": 1}, "seed": 3, "max_epochs": 5}


def epoch(trial: int, number: int, val_loss: float) -> dict:
    metrics = json.loads(to_json(make_epoch(number, val_loss)))
    return {"event": "epoch", "trial": trial, "time": 2.0, "metrics": metrics, "host": "a", "process": 7}


def test_a_log_adds_up_to_trials() -> None:
    events = [
        suggested(0),
        {"event": "started", "trial": 0, "time": 1.5},
        epoch(0, 1, 0.6),
        epoch(0, 1, 0.9),  # repeated after a restart: the first counts
        {"event": "retried", "trial": 0, "time": 2.0, "reason": "killed"},
        epoch(0, 2, 0.4),
        {"event": "ended", "trial": 0, "time": 9.0, "status": "finished", "reason": ""},
        epoch(5, 1, 0.1),  # of a trial whose beginning is lost
    ]
    trials = fold(events)
    assert list(trials) == [0]
    assert [e.val_loss for e in trials[0].epochs] == [0.6, 0.4]
    assert (trials[0].status, trials[0].retries, trials[0].host, trials[0].ended) == ("finished", 1, "a", 9.0)


def test_a_line_cut_short_is_passed_over_and_the_next_session_is_read(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    first = EventLog(folder)
    first.append("suggested", 0, **{k: v for k, v in suggested(0).items() if k in ("parameters", "seed", "max_epochs")})
    first.append("started", 0)
    first.close()
    file = next((tmp_path / "run" / "log").iterdir())
    file.write_bytes(file.read_bytes() + b'{"event":"epoch","tri')
    second = EventLog(folder)
    second.append("ended", 0, status="failed", reason="x")
    second.close()
    assert folder.read_trials()[0].status == "failed"
    assert len(list(folder.read_events())) == 3


def test_an_object_store_gets_numbered_parts(tmp_path: Path) -> None:
    folder = RunFolder("memory://bucket/run")
    log = EventLog(folder)
    log.append("suggested", 0, parameters={}, seed=0, max_epochs=1)
    assert not folder.read_trials()
    log.flush()
    log.append("ended", 0, status="stopped")
    log.close()
    assert folder.read_trials()[0].status == "stopped"
    assert len(folder.names("log")) == 2


def test_json_has_no_nan() -> None:
    assert json.loads(to_json({"a": [float("nan"), 1.0], "b": float("inf")})) == {"a": [None, 1.0], "b": None}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(str(tmp_path))
    folder.write(b"old", "a", "file")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        folder.write(b"new", "a", "file")
    assert folder.read("a", "file") == b"old"
    assert folder.names("a") == ["file"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"has none\. Give the folder of one run"):
        RunFolder(str(tmp_path)).read_run()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(RecordError, match="schema 99"):
        RunFolder(str(tmp_path)).read_run()


def test_ranking_is_by_the_epoch_that_is_judged() -> None:
    trials = fold([suggested(0), epoch(0, 1, 0.2), epoch(0, 2, 0.9), suggested(1), epoch(1, 1, 0.5), suggested(2)])
    assert [trial.number for trial in rank(trials.values(), "val_loss")] == [0, 1]
    assert [trial.number for trial in rank(trials.values(), "val_loss", "last")] == [1, 0]
    assert trials[0].best_epoch("val_loss").epoch == 1


def test_a_line_that_was_cut_short_or_changed_is_found(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    log = EventLog(folder)
    for number in range(3):
        log.append("started", number)
    log.close()
    (name,) = folder.names("log")
    content = folder.read("log", name)
    assert [event["trial"] for event in folder.read_events()] == [0, 1, 2]
    assert folder.damaged_lines() == {}
    second = content.splitlines()[1]
    for damaged in (second.replace(b'"trial":1', b'"trial":7'), second[:20], second[:-2] + b"}", b"[1]"):
        folder.write(content.replace(second, damaged), "log", name)
        assert [event["trial"] for event in folder.read_events()] == [0, 2]
        assert folder.damaged_lines() == {name: 1}


def test_lines_of_an_older_version_are_read() -> None:
    assert read_event(b'{"event":"started","trial":1}') == {"event": "started", "trial": 1}
