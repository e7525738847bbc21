"""The store without Ray: its files, its work and what it hands out. Sharing through Ray is in test_backbones."""

import dataclasses
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from data_pipeline.augment import POLICIES, Policy
from search.trial import feature_store
from search.trial.feature_store import BLOCK, FeatureFiles, FeatureKey, FeatureStore, Work

KEY = FeatureKey("vgg16", "w", "all, average", "images", "float32", "float32")
COUNT = 2 * BLOCK + 10
FEATURES = np.arange(COUNT * 3, dtype=np.float32).reshape(COUNT, 3)


def block(number: int) -> np.ndarray:
    return FEATURES[number * BLOCK : (number + 1) * BLOCK]


def fill(files: FeatureFiles, key: FeatureKey = KEY) -> None:
    for number in range(3):
        files.write(key, number, block(number), COUNT)


@pytest.fixture
def files(tmp_path: Path) -> FeatureFiles:
    return FeatureFiles(tmp_path, 1e9)


def test_equal_keys_have_equal_names_and_every_field_counts() -> None:
    changed = [
        dataclasses.replace(KEY, **{field.name: "other" if isinstance(getattr(KEY, field.name), str) else 7})
        for field in dataclasses.fields(KEY)
        if field.name != "policy"
    ]
    names = {key.name for key in (*changed, dataclasses.replace(KEY, policy="report"))}
    assert len(names) == len(dataclasses.fields(KEY))
    assert KEY.name not in names
    assert dataclasses.replace(KEY).name == KEY.name


def test_a_policy_changed_under_its_name_has_other_features(monkeypatch: pytest.MonkeyPatch) -> None:
    key = dataclasses.replace(KEY, policy="report")
    before = key.name
    monkeypatch.setitem(POLICIES, "report", Policy(rotation=1.0))
    assert key.name != before


def test_blocks_in_any_order_become_one_array(files: FeatureFiles) -> None:
    for number in (2, 0):
        files.write(KEY, number, block(number), COUNT)
        assert files.open(KEY, COUNT) is None
    files.write(KEY, 1, block(1), COUNT)
    found = files.open(KEY, COUNT)
    assert found is not None
    np.testing.assert_array_equal(found, FEATURES)
    assert not found.flags.writeable
    assert files.open(KEY, COUNT + 1) is None


def test_an_interrupted_run_leaves_its_blocks_to_the_next(tmp_path: Path) -> None:
    FeatureFiles(tmp_path, 1e9).write(KEY, 1, block(1), COUNT)
    files = FeatureFiles(tmp_path, 1e9)
    assert files.done(KEY) == {1}
    files.write(KEY, 0, block(0), COUNT)
    files.write(KEY, 2, block(2), COUNT)
    np.testing.assert_array_equal(files.open(KEY, COUNT), FEATURES)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_two_runs_at_a_time_share_the_work(tmp_path: Path) -> None:
    one, other = FeatureFiles(tmp_path, 1e9), FeatureFiles(tmp_path, 1e9)
    one.write(KEY, 0, block(0), COUNT)
    other.write(KEY, 1, block(1), COUNT)
    one.write(KEY, 2, block(2), COUNT)
    other.write(KEY, 2, np.zeros_like(block(2)), COUNT)  # too late: it is complete already
    np.testing.assert_array_equal(other.open(KEY, COUNT), FEATURES)


def test_a_run_killed_before_the_last_rename_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FeatureFiles(tmp_path, 1e9)
    with monkeypatch.context() as patched:
        patched.setattr(files, "finish", lambda key, count: None)
        fill(files)
    assert files.open(KEY, COUNT) is None
    files.finish(KEY, COUNT)
    np.testing.assert_array_equal(files.open(KEY, COUNT), FEATURES)


def test_the_oldest_features_make_room_but_none_of_this_run(tmp_path: Path) -> None:
    keys = [dataclasses.replace(KEY, images=name) for name in "abc"]
    for age, key in enumerate(keys):
        fill(FeatureFiles(tmp_path, 1e9), key)
        os.utime(tmp_path / f"{key.name}.npy", (age, age))
    np.save(tmp_path / "mine.npy", FEATURES)  # somebody's own array, older than all features
    os.utime(tmp_path / "mine.npy", (0, 0))
    files = FeatureFiles(tmp_path, 3.5 * FEATURES.nbytes)
    assert files.open(keys[0], COUNT) is not None
    fill(files)
    left = {path.stem for path in tmp_path.glob("*.npy")}
    assert left == {keys[0].name, keys[2].name, KEY.name, "mine"}


def test_a_truncated_file_is_computed_again(files: FeatureFiles) -> None:
    fill(files)
    os.truncate(files.path(KEY), 200)
    assert files.open(KEY, COUNT) is None


def test_a_cache_that_cannot_be_written_is_reported(files: FeatureFiles, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(OSError, match="No such file"):
        files.write(KEY, 0, block(0), COUNT)


def test_blocks_are_handed_out_once_until_their_process_seems_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(feature_store.time, "monotonic", lambda: now)
    work = Work(COUNT)
    assert [work.take(set()) for _ in range(4)] == [0, 1, 2, None]
    now += 50
    work.finish(0)
    assert work.take({0}) is None
    now += 11  # block 1 and 2 were taken 61 s ago, but a block is known to take 50 s
    assert work.take({0}) is None
    now += 500
    assert work.take({0}) == 1


def test_the_store_hands_out_blocks_and_then_a_file_where_memory_has_no_room(tmp_path: Path) -> None:
    store = FeatureStore(str(tmp_path), 1e9, memory=0)
    claims = [store.claim(KEY, COUNT) for _ in range(4)]
    assert [claim.block for claim in claims] == [0, 1, 2, None]
    assert store.news() == ([], [f"features of {KEY}: 0 of {COUNT} images"])
    for number in range(3):
        store.add(KEY, number, block(number))
    (cost,) = store.costs()
    assert (cost.backbone, cost.images) == (KEY.backbone, COUNT)
    assert cost.seconds > 0
    claim = store.claim(KEY, COUNT)
    np.testing.assert_array_equal(np.load(claim.file), FEATURES)
    completed, computing = store.news()
    assert not computing
    assert completed[0].startswith(f"features of {KEY}: {COUNT} images, 0.0 MB, computed in ")
    assert (store.claim(KEY, COUNT), store.news()) == (claim, ([], []))  # told once, however many ask
    store.add(KEY, 0, np.zeros_like(block(0)))  # from a process that was thought lost
    again = FeatureStore(str(tmp_path), 1e9, memory=0)
    assert again.claim(KEY, COUNT).file == claim.file
    assert again.news()[0][0].endswith("from the cache")
    assert again.costs() == []


class Shelf:
    """Stands for Ray's object store: counts what is put into it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.puts = 0
        module = ModuleType("ray")
        module.__dict__["put"] = self.put
        monkeypatch.setitem(sys.modules, "ray", module)

    def put(self, features: np.ndarray) -> str:
        self.puts += 1
        return f"reference {self.puts}"


def store_of(folder: Path, views: int, room: float) -> tuple[FeatureStore, list[FeatureKey]]:
    """A store with complete views of an augmentation, of which so many have room in memory."""
    keys = [dataclasses.replace(KEY, policy="report", view=view) for view in range(views)]
    for key in keys:
        fill(FeatureFiles(folder, 1e9), key)
    return FeatureStore(str(folder), 1e9, memory=room * FEATURES.nbytes), keys


def test_views_that_are_asked_for_in_turn_are_kept_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving up the one asked for longest ago would put one back for every claim: 100 for 100."""
    shelf = Shelf(monkeypatch)
    store, keys = store_of(tmp_path, views=4, room=2.5)
    claims = [store.claim(keys[number % 4], COUNT) for number in range(100)]
    assert shelf.puts == 2
    assert [bool(claim.reference) for claim in claims] == [True, True, False, False] * 25
    assert {claim.file for claim in claims[2:4]} == {str(tmp_path / f"{key.name}.npy") for key in keys[2:]}
    np.testing.assert_array_equal(store.read(keys[3], COUNT, 1), block(1))


def test_features_that_are_no_longer_asked_for_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(monkeypatch)
    store, (old, other, new) = store_of(tmp_path, views=3, room=2.5)
    for _ in range(10):
        store.claim(old, COUNT)
        store.claim(other, COUNT)
    later = [store.claim(key, COUNT) for _ in range(40) for key in (new, other)]
    assert not later[0].reference
    assert later[-2].reference
    assert later[-1].reference
    assert shelf.puts == 3  # the one still asked for stayed


def test_the_store_has_no_block_of_features_whose_file_is_gone(tmp_path: Path) -> None:
    store, keys = store_of(tmp_path, views=1, room=0)
    store.claim(keys[0], COUNT)
    (tmp_path / f"{keys[0].name}.npy").unlink()
    with pytest.raises(FileNotFoundError, match="no longer in"):
        store.read(keys[0], COUNT, 0)
