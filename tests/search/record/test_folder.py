import json
from pathlib import Path
from typing import Any

import pytest

from search.record import Evaluation, RecordError, RunFolder, RunRecord, Winner, seal, to_json

EVALUATION = Evaluation(7, "test", "best", 0, 4, 0.5, 0.75, 0.75, None, 0.5, 1.0, [[2, 0], [1, 1]])


@pytest.fixture(params=["disk", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    """An empty run folder of each kind of storage."""
    return RunFolder(str(tmp_path / "run") if request.param == "disk" else f"memory://bucket/{tmp_path.name}/run")


def test_records_are_read_as_they_were_written(folder: RunFolder) -> None:
    run = RunRecord(
        "run", 1.5, "-m search.run", "val_loss", ("a", "b"), {"data": {"size": 32}}, {}, {"fingerprint": "f"}
    )
    folder.write_run(run)
    assert folder.read_run() == run
    assert folder.read_evaluations() == []
    assert folder.read_winner() is None
    folder.write(f"{to_json(EVALUATION)}\n".encode(), "evaluation.jsonl")
    assert folder.read_evaluations() == [EVALUATION]
    winner = Winner((7, 3), "validation", 0.8, (0.0, 1e-05), (EVALUATION,), (0.5, 0.25))
    folder.write_winner(winner)
    assert folder.read_winner() == winner


def test_a_winner_of_an_older_or_a_newer_version_is_read(folder: RunFolder) -> None:
    folder.write_winner(Winner((7,), "", 1.0, (0.0, 0.0), (EVALUATION,)))
    content = json.loads(folder.read("winner", "winner.json"))
    del content["held_out_losses"]
    content |= {"temperature": 2.0}
    folder.write(json.dumps(content).encode(), "winner", "winner.json")
    assert folder.read_winner() == Winner((7,), "", 1.0, (0.0, 0.0), (EVALUATION,))


def test_files_of_the_log_are_read_in_their_order_and_damaged_lines_are_counted(folder: RunFolder) -> None:
    lines = [seal(to_json({"event": "started", "trial": number})) for number in range(4)]
    folder.write(f"{lines[2]}\n{lines[3]}\n".encode(), "log", "2.jsonl")
    folder.write(f"{lines[0]}\n{lines[1]}\n{lines[2][:20]}".encode(), "log", "1.jsonl")
    folder.write(b"not of the log", "log", "notes.txt")
    assert [event["trial"] for event in folder.read_events()] == [0, 1, 2, 3]
    assert folder.read_log().damaged == {"1.jsonl": 1}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"has none\. Give the folder of one run"):
        RunFolder(str(tmp_path)).read_run()


def test_a_run_record_that_is_no_json_or_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1')
    with pytest.raises(RecordError, match=r"A run\.json is JSON\. Received: .*Restore it"):
        RunFolder(str(tmp_path)).read_run()
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(RecordError, match="schema 99"):
        RunFolder(str(tmp_path)).read_run()


@pytest.mark.parametrize("content", [b"{cut short", b"\xff\xfe", b"[1, 2]", b'{"schema": 1, "name": "x"}'])
def test_a_damaged_run_is_named_whoever_reads_it(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(str(tmp_path / "one"))
    folder.write(content, "run.json")
    with pytest.raises(RecordError, match="one"):
        folder.read_run()


def test_a_log_of_many_parts_is_listed_once_and_read_at_once(tmp_path: Path) -> None:
    """One object after the other, a log of thousands would take minutes in a bucket."""
    folder, asked = RunFolder(f"memory://bucket/{tmp_path.name}/run"), list[str]()
    for part in range(20):
        folder.write(b'{"event": "started", "time": 1.0, "trial": 0}\n', "log", f"{part:06d}.jsonl")

    class Asked:
        """The file system, which notes what it is asked."""

        def __getattr__(self, name: str, fs: Any = folder.fs) -> Any:
            asked.append(name)
            return getattr(fs, name)

    folder.fs = Asked()
    assert len(folder.read_log().events) == 20
    assert asked == ["invalidate_cache", "ls", "cat_ranges"]
