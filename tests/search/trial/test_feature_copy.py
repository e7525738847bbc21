"""Features on a host that does not see the driver's folder: a copy in blocks, if there is room."""

from pathlib import Path

import numpy as np
import pytest

from data_pipeline.array_files import ArrayFiles
from search.trial.feature_copy import open_features
from search.trial.feature_store import BLOCK, FeatureKey

KEY = FeatureKey("vgg16", "w", "all, flatten", "images", "float32", "float32")
COUNT = 2 * BLOCK + 10
FEATURES = np.arange(COUNT * 3, dtype=np.float32).reshape(COUNT, 3)


def read(block: int) -> np.ndarray:
    return FEATURES[block * BLOCK : (block + 1) * BLOCK]


def test_a_host_without_the_file_copies_it(tmp_path: Path) -> None:
    found = open_features(KEY, COUNT, str(tmp_path / "cache"), 1e9, read)
    np.testing.assert_array_equal(found, FEATURES)
    assert list(tmp_path.rglob(f"{KEY.name}.npy"))


def test_a_host_without_room_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArrayFiles, "write", full)
    with pytest.raises(OSError, match=r"copied to the disk of each host\. Received: .*No space left.*features=float16"):
        open_features(KEY, COUNT, str(tmp_path), 1e9, read)
