"""Images a second and memory of a trial whose images do not fit the object store, against the in-memory way.

`python -m benchmarks.large_data`; 100,000 images of 224 px, about half an hour on 2 cores; it takes 5 GB of disk and
5 GB of memory. The images are the sample's, flipped, moved and dimmed, sorted by class as a real pool is.

In turn, a process trains on images in the object store, in any order, and another on images on disk, in the order of
shards. Before each of them, the file leaves the system's cache, so that the disk is read.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.data_feed import FeedModel
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity
from data_pipeline.dataset import prepare_dataset
from data_pipeline.preprocess import ImageFacts, PreparedImages
from data_pipeline.settings import DataSettings
from data_pipeline.shards import HostDisks, open_images
from data_pipeline.share import TrainingData, get_training_data, put_training_data
from models.cnn import CnnConfig
from search.plan.settings import ALL, SHARDS, TrainSettings
from search.trial.feed import image_inputs
from search.trial.process import prepare_process
from search.trial.training import TrialConfig

IMAGES, SIZE = 100_000, 224
QUICK_IMAGES, QUICK_SIZE = 960, 32
MODEL = CnnConfig(1, 8, dense=(16,))
LEAST = Bound(0.9, at_most=False)
_MIB = 2**20


@dataclass(frozen=True)
class Reading:
    """What one process measured.

    Attributes:
        images_per_second: over a whole pass of training.
        memory_mib: that the way takes and cannot give back: of the object store, and of the process alone.
    """

    images_per_second: float
    memory_mib: float


class LargeModel(FeedModel):
    """A trial whose graphs are traced before it reads an image."""

    def trace(self) -> None:
        """Train on two batches of nothing, of the feed's own shapes."""
        import tensorflow as tf

        count, shape = 2 * self.config.train.batch_size, self.data.images.shape[1:]
        nothing = np.zeros((count, *shape), np.float32), np.zeros((count, 1), np.float32), np.ones(count, np.float32)
        self.fit_seconds(tf.data.Dataset.from_tensor_slices(nothing).batch(self.config.train.batch_size))
        self._begin_epoch(1)


class Trainer:
    """A process that trains one pass."""

    def train(self, shared: list[Any], shuffle: str, stored: int) -> Reading:
        """Train on shared data in that order; `stored` bytes of it lie in the object store."""
        prepare_process(1)
        data = get_training_data(shared[0])
        train = TrainSettings(shuffle=shuffle, precision="float32")
        model = LargeModel(TrialConfig(MODEL, train, max_epochs=2, seed=0), data, image_inputs(data))
        model.trace()
        speed = len(data.train) / model.fit_seconds()
        return Reading(speed, stored / _MIB + _anonymous_mib())


def measure(options: Options, machine: Machine) -> Measurement:
    """Both ways in turn, for each repeat."""
    count, size = (QUICK_IMAGES, QUICK_SIZE) if options.quick else (IMAGES, SIZE)
    with tempfile.TemporaryDirectory(prefix="xray-bench-", dir=Path.home()) as folder:
        memory, disk = compare(Path(folder), count, size, options.repeats)
    return summarize(count, size, memory, disk)


def compare(folder: Path, count: int, size: int, repeats: int) -> tuple[list[Reading], list[Reading]]:
    """Readings from the object store and from disk.

    Args:
        folder: where the images are made, on the disk that is measured.
        count: of the images.
        size: their height and width.
        repeats: of each way.
    """
    import ray

    prepared, labels = make_images(folder, count, size)
    bytes_of_images = count * size * size
    readings: dict[str, list[Reading]] = {ALL: [], SHARDS: []}
    for _ in range(repeats):
        for shuffle, found in readings.items():
            store = bytes_of_images if shuffle == ALL else 0
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                num_cpus=1,
                object_store_memory=store + 200 * _MIB,
            )
            try:
                disks = HostDisks(ray.get_runtime_context().get_node_id(), str(folder / "copies"), 0.0)
                data = training_data_of(prepared, labels, None if store else disks)
                shared = [put_training_data(data)]
                evict(prepared.path / "images.npy")
                found.append(ray.get(ray.remote(Trainer).remote().train.remote(shared, shuffle, store)))
            finally:
                ray.shutdown()
    return readings[ALL], readings[SHARDS]


def summarize(count: int, size: int, memory: Sequence[Reading], disk: Sequence[Reading]) -> Measurement:
    """The measurement that these readings make."""
    return Measurement(
        question="Does a trial train as fast on images that do not fit the object store?",
        setting=f"{count:,} images of {size} x {size}, {count * size * size / 1e9:.1f} GB, one pass of a CNN of one "
        "layer and 8 filters in batches of 32 on one thread, its graphs traced before. The peer reads from the object "
        "store, in any order; ours from a file that has left the system's cache, in the order of shards. Memory is "
        "what a way cannot give back: what lies in the object store, and the process's own.",
        comparisons=(
            Comparison(
                Quantity("from disk, in shards", "images/s", tuple(each.images_per_second for each in disk)),
                Quantity("from the object store", "images/s", tuple(each.images_per_second for each in memory)),
                LEAST,
            ),
            Comparison(
                Quantity("memory, from disk", "MiB", tuple(each.memory_mib for each in disk)),
                Quantity("memory, from the object store", "MiB", tuple(each.memory_mib for each in memory)),
                Bound(1.0),
            ),
        ),
        limited_by="the training step; the feed's thread reads shards meanwhile.",
        physical_limit="the disk's speed for reads of 4 MB, where it is below that of the training step.",
    )


def make_images(folder: Path, count: int, size: int) -> tuple[PreparedImages, np.ndarray[Any, np.dtype[np.int64]]]:
    """A prepared array of the sample's images, changed a little each, and their labels, int64 (count,)."""
    sample = prepare_dataset(DataSettings(size=size))
    pool, sources = sample.pool.open(), np.arange(count) * sample.pool.count // count
    entry = folder / f"{count:016x}{size:016x}"
    entry.mkdir()
    images = np.lib.format.open_memmap(entry / "images.npy", "w+", np.uint8, (count, *pool.shape[1:]))
    draws = np.random.default_rng(0)
    for place, source in enumerate(sources):
        moved = np.roll(pool[source], draws.integers(-4, 5, 2), axis=(0, 1))
        images[place] = moved[:, :: draws.choice((-1, 1))] - (moved >> draws.integers(3, 7))
    images.flush()
    return PreparedImages(entry, (ImageFacts(size, size),) * count), sample.manifest.pool_labels[sources]


def training_data_of(prepared: PreparedImages, labels: Any, disks: HostDisks | None) -> TrainingData:
    """Data whose images all train but for a batch."""
    rows = np.arange(prepared.count)
    images = open_images(prepared, disks)
    return TrainingData(images, labels, rows[64:], rows[:64], ("normal", "pneumonia"), prepared.fingerprint)


def evict(file: Path) -> None:
    """Take a file out of the system's cache."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _anonymous_mib() -> float:
    """Memory of this process that is neither a file's nor shared."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")) / 1024


if __name__ == "__main__":
    harness.main(measure, __doc__)
