import errno
import os
from pathlib import Path

import pytest

from search.record import RecordError, Storage


@pytest.fixture(params=["disk", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty folder of each kind of storage."""
    return Storage(str(tmp_path / "run") if request.param == "disk" else f"memory://bucket/{tmp_path.name}/run")


def test_files_are_written_listed_read_and_removed(folder: Storage) -> None:
    assert folder.name == "run"
    assert folder.names("winner") == []
    folder.write(b"b", "winner", "b.txt")
    folder.write(b"first", "winner", "a.txt")
    folder.write(b"second", "winner", "a.txt")
    folder.write(b"", "winner", "gallery", "0.png")
    assert folder.names("winner") == ["a.txt", "b.txt", "gallery"]
    assert folder.read("winner", "a.txt") == b"second"
    folder.remove("winner", "a.txt")
    folder.remove("winner", "a.txt")
    assert not folder.exists("winner", "a.txt")
    with pytest.raises(FileNotFoundError):
        folder.read("winner", "a.txt")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Storage(str(tmp_path))
    folder.write(b"old", "a", "file")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("search.record.storage.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        folder.write(b"new", "a", "file")
    assert folder.read("a", "file") == b"old"
    assert folder.names("a") == ["file"]


def test_a_packed_run_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK")
    for name in ("cut.zip", "missing.zip"):
        with pytest.raises(RecordError, match=rf"search\.pack wrote\. Received: .*{name}"):
            Storage(str(tmp_path / name))


def test_a_kind_of_storage_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecordError, match=r"Received: nowhere://bucket/run .*Check the URL"):
        Storage("nowhere://bucket/run")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_created_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:  # as on file systems that have none
        monkeypatch.setattr(os, "link", refuse)
    folder = Storage(f"{tmp_path}/run")
    assert folder.create(b"first", "driver.json")
    assert not folder.create(b"second", "driver.json")
    assert folder.read("driver.json") == b"first"
    assert folder.names() == ["driver.json"]


def test_a_storage_other_than_a_disk_is_asked_too() -> None:
    folder = Storage("memory://created/run")
    assert folder.create(b"first", "driver.json")
    assert not folder.create(b"second", "driver.json")
    assert folder.read("driver.json") == b"first"


def test_a_change_is_dated_by_the_storage(tmp_path: Path) -> None:
    folder = Storage(str(tmp_path))
    folder.write(b"", "file")
    os.utime(tmp_path / "file", (0, 7.5))
    assert folder.changed("file") == 7.5
    with pytest.raises(FileNotFoundError):
        folder.changed("none")


def test_nothing_is_written_or_removed_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    """As in a stranger's run, whose `trials/0000` may be a link to any folder of this user."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "letter").write_text("mine")
    Storage(f"{tmp_path}/far").write(b"1", "run.json")
    (tmp_path / "run").symlink_to(tmp_path / "far", target_is_directory=True)  # a folder that itself is a link is fine
    run = Storage(f"{tmp_path}/run")
    run.write(b"1", "log", "1.jsonl")
    (tmp_path / "far" / "trials").mkdir()
    (tmp_path / "far" / "trials" / "0000").symlink_to(own, target_is_directory=True)
    (tmp_path / "far" / "inner").symlink_to(tmp_path / "far" / "log", target_is_directory=True)
    run.write(b"2", "inner", "2.jsonl")
    for act in (lambda: run.write(b"x", "trials", "0000", "x"), lambda: run.create(b"x", "trials", "0000", "x")):
        with pytest.raises(OSError, match=r"in the run's own folder\. Received: .*trials/0000, which leads to .*own\."):
            act()
    with pytest.raises(OSError, match="Put the folder itself in the link's place"):
        run.remove("trials", "0000", "letter")
    assert [each.name for each in own.iterdir()] == ["letter"]
    assert run.names("log") == ["1.jsonl", "2.jsonl"]
