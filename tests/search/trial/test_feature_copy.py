"""Features on a host that does not see the driver's folder: copied once, in blocks, if there is room."""

import threading
from pathlib import Path

import numpy as np
import pytest

from search.trial import feature_copy
from search.trial.feature_copy import free_for_features, open_features
from search.trial.feature_store import BLOCK, FeatureFiles, FeatureKey

KEY = FeatureKey("vgg16", "w", "all, flatten", "images", "float32", "float32")
COUNT = 2 * BLOCK + 10
FEATURES = np.arange(COUNT * 3, dtype=np.float32).reshape(COUNT, 3)


class Driver:
    """The driver's side: counts the blocks that are asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, block: int) -> np.ndarray:
        self.asked.append(block)
        return FEATURES[block * BLOCK : (block + 1) * BLOCK]


def test_a_host_copies_features_once_for_all_its_processes(tmp_path: Path) -> None:
    driver = Driver()
    found: list[np.ndarray] = []

    def copy() -> None:
        found.append(open_features(KEY, COUNT, str(tmp_path / "cache"), 1e9, driver.read))

    processes = [threading.Thread(target=copy) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert len(found) == 3
    for each in found:
        np.testing.assert_array_equal(each, FEATURES)
    assert driver.asked == [0, 1, 2]


def test_a_copy_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    FeatureFiles(tmp_path, 1e9).write(KEY, 1, FEATURES[BLOCK : 2 * BLOCK], COUNT)
    driver = Driver()
    np.testing.assert_array_equal(open_features(KEY, COUNT, str(tmp_path), 1e9, driver.read), FEATURES)
    assert driver.asked == [0, 2]


def test_the_drivers_own_host_and_those_that_share_its_folder_copy_nothing(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, 1e9)
    for block in range(3):
        files.write(KEY, block, FEATURES[block * BLOCK : (block + 1) * BLOCK], COUNT)
    driver = Driver()
    np.testing.assert_array_equal(open_features(KEY, COUNT, str(tmp_path), 1e9, driver.read), FEATURES)
    assert driver.asked == []


def test_a_host_that_cannot_make_the_folder_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file, where a folder would have to be")
    monkeypatch.setattr(feature_copy.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    found = open_features(KEY, COUNT, str(tmp_path / "home" / "cache"), 1e9, Driver().read)
    np.testing.assert_array_equal(found, FEATURES)
    assert list((tmp_path / "tmp").rglob(f"{KEY.name}.npy"))
    assert free_for_features(str(tmp_path)) > 0


def test_a_host_without_room_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FeatureFiles, "write", full)
    with pytest.raises(OSError, match=r"copied to the disk of each host\. Received: .*No space left.*features=float16"):
        open_features(KEY, COUNT, str(tmp_path), 1e9, Driver().read)
