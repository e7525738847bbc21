"""Arrays on a host's disk: written in blocks, kept within a limit, copied once for all processes of a host."""

import dataclasses
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import array_files
from data_pipeline.array_files import ArrayFiles, free_bytes, own_folder, room_bytes


@dataclasses.dataclass(frozen=True)
class Key:
    name: str = "0123456789abcdef" * 2


KEY = Key()
BLOCK = 8
COUNT = 2 * BLOCK + 3
ROWS = np.arange(COUNT * 100, dtype=np.float32).reshape(COUNT, 100)


def block(number: int) -> np.ndarray:
    return ROWS[number * BLOCK : (number + 1) * BLOCK]


def fill(files: ArrayFiles, key: Key = KEY) -> None:
    for number in range(3):
        files.write(key, number, block(number), COUNT)


@pytest.fixture
def files(tmp_path: Path) -> ArrayFiles:
    return ArrayFiles(tmp_path, 1e9, BLOCK)


def test_blocks_in_any_order_become_one_array(files: ArrayFiles) -> None:
    for number in (2, 0):
        files.write(KEY, number, block(number), COUNT)
        assert files.open(KEY, COUNT) is None
    files.write(KEY, 1, block(1), COUNT)
    found = files.open(KEY, COUNT)
    assert found is not None
    np.testing.assert_array_equal(found, ROWS)
    assert not found.flags.writeable
    assert files.open(KEY, COUNT + 1) is None


def test_an_interrupted_run_leaves_its_blocks_to_the_next(tmp_path: Path) -> None:
    ArrayFiles(tmp_path, 1e9, BLOCK).write(KEY, 1, block(1), COUNT)
    files = ArrayFiles(tmp_path, 1e9, BLOCK)
    assert files.done(KEY) == {1}
    files.write(KEY, 0, block(0), COUNT)
    files.write(KEY, 2, block(2), COUNT)
    np.testing.assert_array_equal(files.open(KEY, COUNT), ROWS)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_two_runs_at_a_time_share_the_work(tmp_path: Path) -> None:
    one, other = ArrayFiles(tmp_path, 1e9, BLOCK), ArrayFiles(tmp_path, 1e9, BLOCK)
    one.write(KEY, 0, block(0), COUNT)
    other.write(KEY, 1, block(1), COUNT)
    one.write(KEY, 2, block(2), COUNT)
    other.write(KEY, 2, np.zeros_like(block(2)), COUNT)  # too late: it is complete already
    np.testing.assert_array_equal(other.open(KEY, COUNT), ROWS)


def test_a_run_killed_before_the_last_rename_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ArrayFiles(tmp_path, 1e9, BLOCK)
    with monkeypatch.context() as patched:
        patched.setattr(files, "finish", lambda key, count: None)
        fill(files)
    assert files.open(KEY, COUNT) is None
    files.finish(KEY, COUNT)
    np.testing.assert_array_equal(files.open(KEY, COUNT), ROWS)


def test_the_oldest_arrays_make_room_but_none_of_this_run(tmp_path: Path) -> None:
    keys = [dataclasses.replace(KEY, name=name * 32) for name in "abc"]
    for age, key in enumerate(keys):
        fill(ArrayFiles(tmp_path, 1e9, BLOCK), key)
        os.utime(tmp_path / f"{key.name}.npy", (age, age))
    np.save(tmp_path / "mine.npy", ROWS)  # somebody's own array, older than all of ours
    os.utime(tmp_path / "mine.npy", (0, 0))
    files = ArrayFiles(tmp_path, 3.5 * ROWS.nbytes, BLOCK)
    assert files.open(keys[0], COUNT) is not None
    fill(files)
    left = {path.stem for path in tmp_path.glob("*.npy")}
    assert left == {keys[0].name, keys[2].name, KEY.name, "mine"}


def test_older_arrays_make_room_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = dataclasses.replace(KEY, name="a" * 32)
    fill(ArrayFiles(tmp_path, 1e9, BLOCK), key)
    held = (tmp_path / f"{key.name}.npy").stat().st_size
    assert room_bytes(tmp_path) == pytest.approx(free_bytes(tmp_path) + held, abs=2**20)  # others write meanwhile
    files = ArrayFiles(tmp_path, 1e9, BLOCK)
    monkeypatch.setattr(ArrayFiles, "free", ROWS.nbytes)
    fill(files, dataclasses.replace(KEY, name="b" * 32))
    assert {path.stem for path in tmp_path.glob("*.npy")} == {"a" * 32, "b" * 32}  # it had just room
    monkeypatch.setattr(ArrayFiles, "free", ROWS.nbytes - 1)
    fill(files)
    assert {path.stem for path in tmp_path.glob("*.npy")} == {"b" * 32, KEY.name}


def test_a_truncated_file_is_computed_again(files: ArrayFiles) -> None:
    fill(files)
    os.truncate(files.path(KEY), 200)
    assert files.open(KEY, COUNT) is None


def test_a_cache_that_cannot_be_written_is_reported(files: ArrayFiles, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(OSError, match="No such file"):
        files.write(KEY, 0, block(0), COUNT)


class Driver:
    """The driver's side: counts the blocks that are asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, number: int) -> np.ndarray:
        self.asked.append(number)
        return block(number)


def test_a_host_copies_an_array_once_for_all_its_processes(tmp_path: Path) -> None:
    driver, found = Driver(), list[np.ndarray]()

    def copy() -> None:
        found.append(ArrayFiles(tmp_path, 1e9, BLOCK).copy(KEY, COUNT, driver.read))

    processes = [threading.Thread(target=copy) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert len(found) == 3
    for each in found:
        np.testing.assert_array_equal(each, ROWS)
    assert driver.asked == [0, 1, 2]


def test_a_copy_that_was_interrupted_goes_on(files: ArrayFiles) -> None:
    files.write(KEY, 1, block(1), COUNT)
    driver = Driver()
    np.testing.assert_array_equal(files.copy(KEY, COUNT, driver.read), ROWS)
    assert driver.asked == [0, 2]


def test_a_host_that_has_the_array_copies_nothing(files: ArrayFiles) -> None:
    fill(files)
    driver = Driver()
    np.testing.assert_array_equal(files.copy(KEY, COUNT, driver.read), ROWS)
    assert driver.asked == []


def test_a_host_that_cannot_make_the_folder_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file, where a folder would have to be")
    monkeypatch.setattr(array_files.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    own = own_folder(tmp_path / "home" / "cache")
    assert own.is_relative_to(tmp_path / "tmp")
    assert own.name == "cache"
    assert free_bytes(tmp_path / "home" / "cache") > 0
    assert own_folder(tmp_path / "made") == tmp_path / "made"


def test_the_temporary_folder_of_a_stranger_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file, where a folder would have to be")
    monkeypatch.setattr(array_files.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    own = tmp_path / "tmp" / f"xray-search-{os.getuid()}"
    own.parent.mkdir()
    (tmp_path / "private").mkdir()
    own.symlink_to(tmp_path / "private", target_is_directory=True)
    with pytest.raises(OSError, match=r"of this account alone\. Received: .*a link or another account's\. Remove it"):
        own_folder(tmp_path / "home" / "cache")
    own.unlink()
    own_folder(tmp_path / "home" / "cache")
    another = os.getuid() + 1
    monkeypatch.setattr(array_files.os, "getuid", lambda: another)
    own.rename(own.with_name(f"xray-search-{another}"))
    with pytest.raises(OSError, match="another account's"):
        own_folder(tmp_path / "home" / "cache")
