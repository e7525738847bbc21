"""Files that are created only where there is none."""

import errno
import os
from pathlib import Path

import pytest

from search.record import RunFolder


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_created_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:  # as on file systems that have none
        monkeypatch.setattr(os, "link", refuse)
    folder = RunFolder(f"{tmp_path}/run")
    assert folder.create(b"first", "driver.json")
    assert not folder.create(b"second", "driver.json")
    assert folder.read("driver.json") == b"first"
    assert folder.names() == ["driver.json"]


def test_a_storage_other_than_a_disk_is_asked_too() -> None:
    folder = RunFolder("memory://created/run")
    assert folder.create(b"first", "driver.json")
    assert not folder.create(b"second", "driver.json")
    assert folder.read("driver.json") == b"first"


def test_a_change_is_dated_by_the_storage(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    folder.write(b"", "file")
    os.utime(tmp_path / "file", (0, 7.5))
    assert folder.changed("file") == 7.5
    with pytest.raises(FileNotFoundError):
        folder.changed("none")
