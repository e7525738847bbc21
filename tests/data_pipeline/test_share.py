from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import Dataset, prepare_dataset
from data_pipeline.settings import DataSettings
from data_pipeline.shards import DiskImages, HostDisks
from data_pipeline.share import TrainingData, get_training_data, put_training_data, training_data
from data_pipeline.shift import shifted
from data_pipeline.split import SplitSettings, repeat_splits
from tests.own_ray import own_ray


@pytest.fixture(scope="module")
def dataset(image_cache: Path) -> Dataset:
    return prepare_dataset(DataSettings(cache=str(image_cache)))


@pytest.fixture(scope="module")
def ray_session() -> Iterator[None]:
    with own_ray():
        yield


def test_training_data_hold_the_pool_alone(dataset: Dataset) -> None:
    data = training_data(dataset)
    assert {field.name for field in fields(TrainingData)} == {
        "images",
        "labels",
        "train",
        "validation",
        "classes",
        "fingerprint",
        "shifted",  # a copy of the validation images: see test_shift.py
        "repeats",  # rows of the pool, as train and validation
    }
    assert data.images.shape == (480, 224, 224, 1)
    assert data.labels.tolist() == [row.label for row in dataset.manifest.pool_rows]
    assert len(data.train) + len(data.validation) == 480


def test_no_test_image_is_among_the_training_data(dataset: Dataset) -> None:
    pool = {image.tobytes() for image in training_data(dataset).images}
    test = {image.tobytes() for image in dataset.test.open()}
    assert len(test) == 120
    assert not pool & test


def test_images_are_the_memory_map_itself(dataset: Dataset) -> None:
    images = training_data(dataset).images
    assert type(images) is np.ndarray
    assert isinstance(images.base, np.memmap)


def test_store_gives_the_same_data_without_a_copy(dataset: Dataset, ray_session: None) -> None:
    data = training_data(dataset)
    reference = put_training_data(data)
    first, second = get_training_data(reference), get_training_data(reference)
    np.testing.assert_array_equal(first.images, data.images)
    np.testing.assert_array_equal(first.train, data.train)
    assert first.classes == data.classes
    assert not first.images.flags.writeable
    assert not first.labels.flags.writeable
    # both views lie at one address in shared memory
    assert first.images.ctypes.data == second.images.ctypes.data
    mapped = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if "plasma" in line or "/dev/shm" in line
    ]
    address = first.images.ctypes.data
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in mapped]
    assert any(start <= address < end for start, end in ranges)


def test_a_host_that_does_not_see_the_cache_fetches_through_ray(
    small_dataset: Dataset, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's process sees the driver's cache; this one is made not to."""
    import ray

    disks = HostDisks(ray.get_runtime_context().get_node_id(), str(tmp_path / "copies"), 1e9)
    data = get_training_data(put_training_data(training_data(small_dataset, disks=disks)))
    assert isinstance(data.images, DiskImages)
    hidden = small_dataset.pool.path / "images.npy"
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != hidden and exists(path))
    np.testing.assert_array_equal(data.images[data.train], small_dataset.pool.open()[data.train])
    assert (tmp_path / "copies" / f"{small_dataset.pool.fingerprint}.npy").exists()


def test_each_repeat_may_have_its_own_validation_images(small_dataset: Dataset) -> None:
    splits = repeat_splits(small_dataset.manifest, SplitSettings(), 3)
    data = training_data(small_dataset, with_shifted=True, repeats=splits)
    first, third = data.of_repeat(0), data.of_repeat(2)
    np.testing.assert_array_equal(first.validation, small_dataset.split.validation)
    np.testing.assert_array_equal(first.shifted, data.shifted)
    assert set(first.validation) != set(third.validation)
    assert sorted([*third.train, *third.validation]) == list(range(480))
    np.testing.assert_array_equal(third.shifted, shifted(data.images, third.validation))
    groups = [small_dataset.manifest.pool_rows[place].group for place in third.validation]
    assert not set(groups) & {small_dataset.manifest.pool_rows[place].group for place in third.train}


def test_without_splits_of_their_own_repeats_share_one(small_data: TrainingData) -> None:
    assert small_data.of_repeat(2) is small_data
