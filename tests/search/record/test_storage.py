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
