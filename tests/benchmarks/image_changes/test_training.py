"""Trainings that are kept, on the bundled sample."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.image_changes import training
from benchmarks.image_changes.__main__ import predict_views
from benchmarks.image_changes.changes import AS_THEY_ARE, WAYS
from benchmarks.image_changes.training import Images, build, is_trained, read_pool, train, trained, training_images
from data_pipeline.dataset import prepare_dataset
from search.record import RunFolder


@pytest.fixture(scope="module")
def pool() -> Images:
    images = read_pool(None, quick=True)
    small = {**images.parameters, "filters": 12, "layers": 4}
    return replace(
        images, parameters=small, settings=replace(images.settings, data=replace(images.settings.data, size=32))
    )


def test_the_pool_is_split_as_a_search_splits_it(pool: Images) -> None:
    found = prepare_dataset(read_pool(None).settings.data)
    assert np.array_equal(found.split.validation, pool.dataset.split.validation)


def test_the_copy_that_judges_is_that_of_a_search(pool: Images) -> None:
    data, copies = training_images(pool, AS_THEY_ARE)
    assert data.images.shape == (len(data.labels), 32, 32, 1)
    assert copies.shifted is data.shifted
    assert copies.shifted.shape == copies.shifted_first.shape
    assert not np.array_equal(copies.shifted, copies.shifted_first)


def test_trainings_are_kept_and_not_repeated(pool: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "prepare_process", lambda threads: None)  # another test has set TensorFlow up
    way, store = WAYS[2], RunFolder(str(tmp_path))
    train(pool, (way,), 1, store)
    (kept,) = tmp_path.rglob("*.npz")
    written = kept.stat().st_mtime_ns
    train(pool, (way,), 1, store)
    assert kept.stat().st_mtime_ns == written
    assert is_trained(store, way, 0)
    assert not is_trained(store, way, 1)
    data, copies = training_images(pool, way)
    first, again = (trained(pool, way, 0, data, store) for _ in range(2))
    fresh = build(pool, 0, data)
    said = predict_views(first, copies.shifted)
    assert np.array_equal(said, predict_views(again, copies.shifted))
    assert not np.array_equal(said, predict_views(fresh, copies.shifted))
    assert predict_views(first, copies.shifted, "flips").shape == said.shape == (len(copies.shifted), 2)
