"""Preparation of large JPEGs on all cores, against one plain OpenCV loop.

`python -m benchmarks.prepare [--root FOLDER]`; about four minutes. The data set's images are enlarged to 2,000 files of
about 1,300 x 1,000 pixels in a temporary folder (about 0.5 GB), as large as the originals that hospitals deliver.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.machine import timed
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity
from data_pipeline.dataset import list_dataset
from data_pipeline.folders import scan_folder
from data_pipeline.preprocess import ImageSettings, prepare_images
from data_pipeline.settings import DataSettings

FILES, QUICK_FILES = 2000, 40
WIDTH, HEIGHT = 1300, 1000
SIZE_STEP = 10  # pixels by which neighbours differ: no two files are equal
QUALITY = 92


def measure(options: Options, machine: Machine) -> Measurement:
    """Images a second, ours and the loop in turn."""
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as scratch:
        folder = Path(scratch, "images")
        sources = [row.path for row in list_dataset(DataSettings(root=options.root)).rows]
        megapixels = write_enlarged(sources, folder, QUICK_FILES if options.quick else FILES)
        rows = scan_folder(folder, "folders", positive=None).rows
        ours, loop, listed = [], [], []
        for repeat in range(options.repeats):
            cache = Path(scratch, f"cache-{repeat}")
            ours.append(timed(lambda cache=cache: prepare_images(rows, ImageSettings(), cache)))  # type: ignore[misc]
            loop.append(timed(lambda: opencv_loop([row.path for row in rows], ImageSettings().size)))
            listed.append(timed(lambda: scan_folder(folder, "folders", positive=None)))
    return summarize(len(rows), megapixels, ours, loop, listed, machine)


def summarize(
    files: int,
    megapixels: float,
    ours: Sequence[float],
    loop: Sequence[float],
    listed: Sequence[float],
    machine: Machine,
) -> Measurement:
    """The measurement that these seconds make, of preparing, of the loop and of listing the files."""
    possible = machine.cores * machine.decode_megapixels_per_s / megapixels * files
    return Measurement(
        question="How much of all cores does preparing large JPEGs use?",
        setting=f"{files:,} grey JPEGs of about {WIDTH:,} x {HEIGHT:,}, in the system's file cache; ours decodes, "
        "averages down to 224 x 224 and writes one array on disk, the loop does the first two on one thread.",
        comparisons=(beside_loop(files, ours, loop, "one OpenCV loop, one thread", machine),),
        others=(speed("listing and hashing the files, once before", files, listed),),
        limited_by="decoding; resizing is the rest.",
        physical_limit=f"decoding alone, on all cores at the speed of one: {possible:,.0f} images/s.",
    )


def beside_loop(
    files: int, ours: Sequence[float], loop: Sequence[float], loop_name: str, machine: Machine
) -> Comparison:
    """Preparing so many files, in seconds, against a loop on one thread: at least 0.9 of all cores is to be used."""
    return Comparison(
        speed(f"prepare_images, {machine.cores} cores", files, ours),
        speed(loop_name, files, loop),
        Bound(round(0.9 * machine.cores, 2), at_most=False),
    )


def speed(name: str, files: int, seconds: Sequence[float]) -> Quantity:
    """Files a second."""
    return Quantity(name, "images/s", tuple(files / each for each in seconds))


def write_enlarged(sources: Sequence[str], folder: Path, files: int) -> float:
    """Write so many enlarged copies of the images into one folder a class; returns their megapixels in all."""
    import cv2

    pixels = 0
    for place, source in enumerate(itertools.islice(itertools.cycle(sources), files)):
        image: Any = cv2.imread(source, cv2.IMREAD_GRAYSCALE)
        offset = SIZE_STEP * (place % 21 - 10)
        large = cv2.resize(image, (WIDTH + offset, HEIGHT + offset), interpolation=cv2.INTER_CUBIC)
        path = folder / ("even", "odd")[place % 2] / f"{place:04d}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), large, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        pixels += large.size
    return pixels / 1e6


def opencv_loop(paths: Sequence[str], size: int) -> Any:
    """What a script does: uint8 (N, size, size), one image after the other on one thread."""
    import cv2

    cv2.setNumThreads(1)
    images = []
    for path in paths:
        image: Any = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        images.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(images)


if __name__ == "__main__":
    harness.main(measure, __doc__)
