"""Memory that the data set takes on one node with 1, 2 and 4 trial processes: shared, and loaded by each.

`python -m benchmarks.data_memory [--root FOLDER]` prints proportional set sizes (PSS: a page that n processes
share counts 1/n in each), summed over the processes, above what they held before they touched the data. The
peer is what a plain Ray Tune function does: every trial loads the images for itself.
"""

import argparse
import json
from pathlib import Path
from typing import Any


class Reader:
    """A process that gets the images in one of two ways and touches every pixel."""

    def pss_mib(self) -> float:
        """The process's proportional set size."""
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def read_shared(self, reference: list[Any]) -> int:
        """Take the images from the object store."""
        from data_pipeline.share import get_training_data

        self.data = get_training_data(reference[0])
        return int(self.data.images.max())

    def load_own(self, settings: Any) -> int:
        """Load the images, as a trial without sharing does."""
        import numpy as np

        from data_pipeline.dataset import prepare_dataset

        self.images = np.array(prepare_dataset(settings).pool.open())
        return int(self.images.max())


def measure(root: str | None) -> dict[str, Any]:
    """MiB by way and number of processes, and the size of the images themselves."""
    import ray

    from data_pipeline.dataset import DataSettings, prepare_dataset
    from data_pipeline.share import put_training_data, training_data

    settings = DataSettings(root=root)
    data = training_data(prepare_dataset(settings))
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=4)
    reference = put_training_data(data)
    found: dict[str, Any] = {"images_mib": data.images.nbytes / 2**20}
    for way, work in (("shared", [reference]), ("own", settings)):
        for count in (1, 2, 4):
            readers = [ray.remote(num_cpus=1)(Reader).remote() for _ in range(count)]
            before = sum(ray.get([reader.pss_mib.remote() for reader in readers]))
            method = "read_shared" if way == "shared" else "load_own"
            ray.get([getattr(reader, method).remote(work) for reader in readers])
            after = sum(ray.get([reader.pss_mib.remote() for reader in readers]))
            found[f"{way}_{count}"] = after - before
            for reader in readers:
                ray.kill(reader)
    ray.shutdown()
    return found


def main() -> None:
    """Print the measurement as a table, then as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of images (default: the shipped sample)")
    found = measure(parser.parse_args().root)
    print(f"the images are {found['images_mib']:.0f} MiB")
    print("processes   shared through the object store   loaded by each   (MiB in all)")
    for count in (1, 2, 4):
        print(f"{count:9}   {found[f'shared_{count}']:31.0f}   {found[f'own_{count}']:14.0f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
