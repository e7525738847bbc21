"""The store without Ray: its work and what it hands out. Sharing through Ray is in test_backbones."""

import dataclasses
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from data_pipeline.array_files import ArrayFiles
from data_pipeline.augment import POLICIES, Policy
from search.trial import feature_store
from search.trial.feature_store import BLOCK, FeatureKey, FeatureStore, Work

KEY = FeatureKey("vgg16", "w", "all, average", "images", "float32", "float32")
COUNT = 2 * BLOCK + 10
FEATURES = np.arange(COUNT * 3, dtype=np.float32).reshape(COUNT, 3)


def block(number: int) -> np.ndarray:
    return FEATURES[number * BLOCK : (number + 1) * BLOCK]


def fill(files: ArrayFiles, key: FeatureKey = KEY) -> None:
    for number in range(3):
        files.write(key, number, block(number), COUNT)


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
        fill(ArrayFiles(folder, 1e9, BLOCK), key)
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
