"""Images on the hosts' disks: the same images the same way out, mixed over shards, fetched once a host."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import shards
from data_pipeline.dataset import Dataset
from data_pipeline.shards import DiskImages, HostDisks, open_images, read_shard, shuffled_shards
from data_pipeline.share import training_data
from data_pipeline.shift import shifted
from data_pipeline.split import SplitSettings, repeat_splits

SHARD = 40  # images: 12 shards of the pool of 480


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", SHARD * 32 * 32)


@pytest.fixture
def disks(tmp_path: Path) -> HostDisks:
    return HostDisks("no node", str(tmp_path / "copies"), 1e9)


class Driver:
    """The driver's host: counts the shards that are asked for."""

    def __init__(self, file: Path) -> None:
        self.asked: list[int] = []
        self._file = file

    def read(self, shard: int) -> np.ndarray:
        self.asked.append(shard)
        return read_shard(str(self._file), shard)


@pytest.fixture
def driver(small_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Fetches from this driver in place of Ray."""
    found = Driver(small_dataset.pool.path / "images.npy")
    monkeypatch.setattr(DiskImages, "_shards_of_driver", lambda images: found.read)
    return found


def unseen(dataset: Dataset, disks: HostDisks) -> DiskImages:
    """The pool on a host that does not see the driver's cache."""
    return replace(DiskImages.of(dataset.pool, (32, 32, 1), disks), file="/no/such/cache/images.npy")


def test_images_are_read_by_rows_as_from_an_array(small_dataset: Dataset, disks: HostDisks) -> None:
    array, images = open_images(small_dataset.pool), open_images(small_dataset.pool, disks)
    assert isinstance(array, np.ndarray)
    assert isinstance(images, DiskImages)
    assert (images.shape, images.dtype, len(images)) == (array.shape, array.dtype, len(array))
    rows = np.random.default_rng(0).permutation(len(array))
    for batch in np.split(rows, 10):
        np.testing.assert_array_equal(images[batch], array[batch])
    assert images.missing == 0
    assert not list(Path(disks.folder).parent.rglob("*.npy"))  # of the driver's cache itself


def test_images_travel_as_their_name(small_dataset: Dataset, disks: HostDisks) -> None:
    images = open_images(small_dataset.pool, disks)
    images[np.arange(3)]
    data = pickle.dumps(images)
    assert len(data) < 1_000
    np.testing.assert_array_equal(pickle.loads(data)[np.arange(3)], images[np.arange(3)])


def test_a_host_fetches_images_once_for_all_its_processes(
    small_dataset: Dataset, disks: HostDisks, driver: Driver
) -> None:
    pool, rows = small_dataset.pool.open(), np.arange(480)[::-7]
    assert unseen(small_dataset, disks).missing == pool.nbytes
    with ThreadPoolExecutor(4) as processes:
        found = list(processes.map(lambda images: images[rows], [unseen(small_dataset, disks) for _ in range(4)]))
    assert len(found) == 4
    for each in found:
        np.testing.assert_array_equal(each, pool[rows])
    assert driver.asked == list(range(12))
    later = unseen(small_dataset, disks)  # another run
    assert later.missing == 0
    np.testing.assert_array_equal(later[rows], pool[rows])
    assert len(driver.asked) == 12


def test_a_copy_that_was_interrupted_goes_on(small_dataset: Dataset, disks: HostDisks, driver: Driver) -> None:
    images, read = unseen(small_dataset, disks), driver.read

    def cut(shard: int) -> np.ndarray:
        if shard == 5:
            raise OSError("the cable is unplugged")
        return read(shard)

    driver.read = cut  # type: ignore[method-assign]
    with pytest.raises(OSError, match=r"copied to the disk of each host\. Received: the cable .*Free some, or set"):
        images[np.arange(3)]
    assert images.missing == 7 / 12 * 480 * 32 * 32
    driver.read = read  # type: ignore[method-assign]
    np.testing.assert_array_equal(images[np.arange(480)], small_dataset.pool.open())
    assert driver.asked == list(range(12))


def test_a_shard_is_read_at_once_and_not_again(small_dataset: Dataset, disks: HostDisks) -> None:
    images = DiskImages.of(small_dataset.pool, (32, 32, 1), disks)
    images[np.array([1, 85, 2])]
    assert list(images._reader._read) == [0, 2]
    images[np.array([0, 119, 479])]
    assert list(images._reader._read) == [0, 2, 11]
    single = replace(images, disks=replace(disks, whole_shards=False))  # for an order in which any image may come next
    np.testing.assert_array_equal(single[np.array([479, 0])], images[np.array([479, 0])])
    assert not single._reader._read


def test_every_image_comes_once_a_pass_and_the_order_follows_from_the_draws() -> None:
    rows = np.sort(np.random.default_rng(1).permutation(100_000)[:80_000])
    order = shuffled_shards(rows, SHARD, np.random.default_rng([5, 1]))
    assert sorted(order) == list(range(80_000))
    np.testing.assert_array_equal(order, shuffled_shards(rows, SHARD, np.random.default_rng([5, 1])))
    assert (order != shuffled_shards(rows, SHARD, np.random.default_rng([5, 2]))).mean() > 0.99
    # The order of a seed and a pass is a promise to runs that are resumed.
    tiny = shuffled_shards(np.arange(12), 3, np.random.default_rng([5, 1]))
    assert tiny.tolist() == [10, 4, 3, 11, 9, 5, 2, 1, 0, 7, 8, 6]


def test_what_is_read_at_a_time_lies_in_a_window_of_shards() -> None:
    rows = np.arange(100_000)
    order = shuffled_shards(rows, SHARD, np.random.default_rng(0)) // SHARD  # the shard of each image in turn
    first, last = (np.full(2_500, -1), np.full(2_500, -1))
    first[order[::-1]] = np.arange(100_000)[::-1]
    last[order] = np.arange(100_000)
    open_shards = np.cumsum(np.bincount(first, minlength=100_000) - np.bincount(last, minlength=100_000))
    assert 0.8 * shards.WINDOW < np.median(open_shards) <= open_shards.max() <= shards.WINDOW + 1


def test_classes_of_a_sorted_pool_are_mixed_in_every_part_of_a_pass() -> None:
    rows = np.arange(100_000)
    labels = (rows >= 30_000).astype(int)
    order = shuffled_shards(rows, 79, np.random.default_rng(0))
    shares = labels[order][: 100_000 // 1_024 * 1_024].reshape(-1, 1_024).mean(axis=1)
    assert np.abs(shares - 0.7).max() < 0.25


def test_trials_get_the_same_from_disk(small_dataset: Dataset, disks: HostDisks) -> None:
    splits = repeat_splits(small_dataset.manifest, SplitSettings(), 2)
    memory = training_data(small_dataset, with_shifted=True, repeats=splits)
    disk = training_data(small_dataset, with_shifted=True, repeats=splits, disks=disks)
    for one, other in ((memory, disk), (memory.of_repeat(1), disk.of_repeat(1))):
        assert one.shifted is not None
        assert other.shifted is not None
        np.testing.assert_array_equal(one.images[one.train[:50]], other.images[other.train[:50]])
        places = np.arange(len(one.validation))
        assert (one.shifted.shape, one.shifted.dtype) == (other.shifted.shape, other.shifted.dtype)
        assert len(one.shifted) == len(other.shifted)
        np.testing.assert_array_equal(one.shifted[places], other.shifted[places])
        np.testing.assert_array_equal(other.shifted[places], shifted(one.images, one.validation))
