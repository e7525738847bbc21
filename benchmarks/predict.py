"""Answers about 1,000 large JPEGs, beside a plain Keras predict loop over the same files.

`python -m benchmarks.predict [--root FOLDER]`; about three minutes. The data set's images are enlarged to files of
about 1,300 x 1,000 pixels in a temporary folder (about 0.3 GB). The network is that of `cnn2`, untrained, which is as
fast.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.checkout import ROOT
from benchmarks.machine import timed
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity
from benchmarks.prepare import opencv_loop, speed, write_enlarged
from data_pipeline.dataset import Dataset, list_dataset, prepare_dataset
from data_pipeline.settings import DataSettings
from models.cnn import CnnConfig
from models.registry import build_model
from search.evaluate.answers import Predictor
from search.evaluate.exported import MODEL, open_winner
from search.evaluate.signature import SIGNATURE, make_signature

if TYPE_CHECKING:
    import keras

FILES, QUICK_FILES = 1000, 70
SIZE = 96
NET = CnnConfig(
    layers=5, filters=16, growth=1.5, padding="same", normalize=True, batch_norm="block", pooling="average", dense=(64,)
)
BATCH = 32  # of the loop: Keras' default


def measure(options: Options, machine: Machine) -> Measurement:
    """Images a second, ours and the loop in turn; then the whole command for one image."""
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as scratch:
        data = DataSettings(root=options.root, size=SIZE, cache=f"{scratch}/cache")
        winner = write_winner(Path(scratch, "winner"), prepare_dataset(data), data)
        sources = [row.path for row in list_dataset(data).rows]
        write_enlarged(sources, Path(scratch, "images"), QUICK_FILES if options.quick else FILES)
        files = sorted(map(str, Path(scratch, "images").rglob("*.jpeg")))
        opened = open_winner(str(winner))
        predictor = Predictor(opened.load_model(), opened.signature, opened.point)
        model = opened.load_model()
        ours, loop, one = [], [], []
        for _ in range(options.repeats):
            ours.append(timed(lambda: list(predictor.answers(files))))
            loop.append(timed(lambda: keras_loop(files, model)))
            one.append(timed(lambda: _command(winner, files[0])))
    return summarize(len(files), ours, loop, one)


def summarize(files: int, ours: Sequence[float], loop: Sequence[float], one: Sequence[float]) -> Measurement:
    """The measurement that these seconds make, of the answers, of the loop and of the command for one image."""
    return Measurement(
        question="How fast are a winner's answers about new images?",
        setting=f"{files:,} grey JPEGs of about 1,300 x 1,000, in the system's file cache; both average down to "
        f"{SIZE} x {SIZE} and run the network of cnn2. The loop reads one image after the other with OpenCV, then "
        f"calls model.predict with batches of {BATCH}. Ours also checks each file and its likeness to the training "
        "images. Both begin with the model loaded, and their first repeat includes the tracing of its graph.",
        comparisons=(
            Comparison(
                speed("search.predict, its answers", files, ours),
                speed("OpenCV and model.predict", files, loop),
                Bound(1.0, at_most=False),
            ),
        ),
        others=(Quantity("python -m search.predict with one image, from start to end", "s", tuple(one)),),
        limited_by="decoding the files; with one image, importing TensorFlow.",
        physical_limit="decoding and the network's arithmetic on all cores; not measured.",
    )


def write_winner(folder: Path, dataset: Dataset, data: DataSettings) -> Path:
    """A winner's folder with an untrained network of `cnn2`; returns the folder."""
    folder.mkdir()
    build_model(NET, data.image.shape, len(dataset.manifest.classes), None, seed=0).save(folder / MODEL)
    shares = (1 / len(dataset.manifest.classes),) * len(dataset.manifest.classes)
    (folder / SIGNATURE).write_text(make_signature(dataset, data, shares).to_json())
    return folder


def keras_loop(files: Sequence[str], model: "keras.Model") -> NDArray[np.float32]:
    """What a script does: the outputs of the model, float32 (N, 1 or K)."""
    images = opencv_loop(files, SIZE)[..., None] / np.float32(255)
    return np.asarray(model.predict(images, batch_size=BATCH, verbose=0), np.float32)


def _command(winner: Path, file: str) -> None:
    words = [sys.executable, "-m", "search.predict", str(winner), file]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    harness.main(measure, __doc__)
