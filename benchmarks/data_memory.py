"""Memory that the data set takes on one node with 1, 2 and 4 trial processes: shared, and loaded by each.

`python -m benchmarks.data_memory [--root FOLDER]`; about a minute on the full set. Figures are proportional set sizes
(PSS: a page that n processes share counts 1/n in each), summed over the processes, above what they held before they
touched the data. The peer is what a plain Ray Tune function does: every trial loads the images for itself.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity, Target

COUNTS = (1, 2, 4)
ONE_COPY = 1.1  # labels, split and page tables come to the images; a second copy would make it 2


class Reader:
    """A process that gets the images in one of two ways and touches every pixel."""

    def __init__(self) -> None:
        # What both ways import belongs to neither: it is in memory before the first measurement.
        import data_pipeline.dataset
        import data_pipeline.share  # noqa: F401

    def pss_mib(self) -> float:
        """The process's proportional set size."""
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def read_shared(self, reference: list[Any]) -> int:
        """Take the images from the object store."""
        from data_pipeline.share import get_training_data

        self.data = get_training_data(reference[0])
        return int(np.asarray(self.data.images).max())

    def load_own(self, settings: Any) -> int:
        """Load the images, as a trial without sharing does."""
        from data_pipeline.dataset import prepare_dataset

        self.images = np.array(prepare_dataset(settings).pool.open())
        return int(self.images.max())


def measure(options: Options, machine: Machine) -> Measurement:
    """MiB with each number of processes, both ways."""
    import ray

    from data_pipeline.dataset import prepare_dataset
    from data_pipeline.settings import DataSettings
    from data_pipeline.share import put_training_data, training_data

    settings = DataSettings(root=options.root)
    data = training_data(prepare_dataset(settings))
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=max(COUNTS))
    try:
        reference = put_training_data(data)
        shared = {count: _repeat("read_shared", [reference], count, options.repeats) for count in COUNTS}
        own = {count: _repeat("load_own", settings, count, options.repeats) for count in COUNTS}
    finally:
        ray.shutdown()
    images = np.asarray(data.images).nbytes / 2**20
    return summarize(images, shared, own)


def summarize(images: float, shared: dict[int, list[float]], own: dict[int, list[float]]) -> Measurement:
    """The measurement that these figures make.

    Args:
        images: size of the images, MiB.
        shared: MiB taken in all by so many processes that read the object store, a value for each repeat.
        own: the same where each loads the images.
    """
    most = max(COUNTS)
    comparisons = [
        Comparison(
            Quantity(f"object store, {count} processes", "MiB", tuple(shared[count])),
            Quantity(f"loaded by each, {count} processes", "MiB", tuple(own[count])),
            Bound(1.0),
        )
        for count in COUNTS
    ]
    copies = Quantity(f"copies of the images with {most} processes", "", tuple(mib / images for mib in shared[most]))
    return Measurement(
        question="Does the node hold one copy of the images, whatever the number of trials?",
        setting=f"Processes that read every pixel of {images:.0f} MiB of images; memory is summed over them. The store "
        "maps the images too, so that its share is missing from the sum with few processes.",
        comparisons=tuple(comparisons),
        targets=(Target(copies, Bound(ONE_COPY)),),
        limited_by="the one copy in the object store, and what each process needs to read it.",
        physical_limit=f"one copy, {images:.0f} MiB.",
    )


def _repeat(method: str, argument: Any, count: int, repeats: int) -> list[float]:
    return [_memory(method, argument, count) for _ in range(repeats)]


def _memory(method: str, argument: Any, count: int) -> float:
    """MiB that so many processes take in all to hold the images."""
    import ray

    readers = [ray.remote(num_cpus=1)(Reader).remote() for _ in range(count)]
    before = sum(ray.get([reader.pss_mib.remote() for reader in readers]))
    ray.get([getattr(reader, method).remote(argument) for reader in readers])
    after = sum(ray.get([reader.pss_mib.remote() for reader in readers]))
    for reader in readers:
        ray.kill(reader)
    return float(after - before)


if __name__ == "__main__":
    harness.main(measure, __doc__)
