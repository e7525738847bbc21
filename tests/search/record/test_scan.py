"""What is read of the runs of a storage where some of them are damaged."""

from pathlib import Path

import pytest

from search.record import RecordError, RunFolder, readable, scan_runs


def test_runs_that_cannot_be_read_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        RunFolder(f"{tmp_path}/{name}").write(b"{}", "run.json")
    (tmp_path / "no run").mkdir()
    errors = {"b": PermissionError(13, "Permission denied"), "c": KeyError("seed"), "d": RecordError("of schema 99")}

    def read(folder: RunFolder) -> str:
        if folder.name in errors:
            raise errors[folder.name]
        return folder.url

    scan = scan_runs(f"{tmp_path}/", read)
    assert scan.found == {"a": f"{tmp_path}/a"}
    assert scan.unreadable["d"] == "of schema 99"
    for name, reason in (("b", "PermissionError: [Errno 13] Permission denied"), ("c", "KeyError: 'seed'")):
        assert f"Received: {tmp_path}/{name}, where they cannot be read ({reason})" in scan.unreadable[name]


@pytest.mark.parametrize("content", ["[" * 100_000, '{"name": ', "[]", "null", '{"created": 1e999}', "\0" * 99])
def test_a_damaged_record_is_no_error_of_the_reader(content: str, tmp_path: Path) -> None:
    folder = RunFolder(f"{tmp_path}/a")
    folder.write(content.encode(), "run.json")
    scan = scan_runs(str(tmp_path), RunFolder.read_run)
    assert scan.unreadable.keys() == {"a"}
    with pytest.raises(RecordError), readable(folder.url):
        raise OverflowError("cannot convert float infinity to integer")


def test_a_storage_that_is_not_there_holds_no_run(tmp_path: Path) -> None:
    scan = scan_runs(f"{tmp_path}/none", RunFolder.read_run)
    assert (scan.found, scan.unreadable) == ({}, {})


def test_an_interruption_is_no_property_of_a_run() -> None:
    with pytest.raises(KeyboardInterrupt), readable("runs/one"):
        raise KeyboardInterrupt
