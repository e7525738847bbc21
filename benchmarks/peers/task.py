"""The task of a peer, and the parts that all peers share: images, batches, models.

The images are decoded by one OpenCV loop, kept as an array, and fed by tf.data as its guide advises: shuffle, batch,
parallel map, prefetch. The models are ours, of Keras' own layers alone.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import Options
from data_pipeline.dataset import Dataset, prepare_dataset
from data_pipeline.settings import DataSettings

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Task:
    """Trials to train on given images.

    Attributes:
        paths: image files.
        labels: of each, 0 or 1.
        train: places in `paths` that train, and `validation` those that validate.
        size: width and height that images are brought to, in pixels.
        grid: parameters with the values that each takes; the trials are all combinations.
        fixed: parameters that are the same in all trials.
        epochs: of each trial.
        weights: of a pretrained backbone: a file, "imagenet" or "none".
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    size: int
    grid: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]
    epochs: int
    weights: str = "none"

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The parameters of each trial."""
        combinations = itertools.product(*self.grid.values())
        return [{**self.fixed, **dict(zip(self.grid, values, strict=True))} for values in combinations]


@dataclass(frozen=True)
class Outcome:
    """What a peer reports when it has finished.

    Attributes:
        ended: when its last trial ended, seconds since 1970.
        trials: the parameters of each trial and the seconds that it took.
    """

    ended: float
    trials: tuple[tuple[dict[str, Any], float], ...]


@dataclass(frozen=True)
class Images:
    """The images of a task: uint8 (N, size, size, 1) and float32 labels (N, 1), to train on and to validate."""

    train: NDArray[np.uint8]
    train_labels: NDArray[np.float32]
    validation: NDArray[np.uint8]
    validation_labels: NDArray[np.float32]


def make_task(
    options: Options,
    folder: Path,
    grid: Mapping[str, Sequence[Any]],
    fixed: Mapping[str, Any],
    epochs: int,
    size: int,
    weights: str = "none",
) -> Task:
    """These trials on the images of the options, with the split that our search will make of them.

    Args:
        options: of the benchmark.
        folder: for what is prepared while the images are listed.
        grid: as in `Task`, like all that follow.
        fixed: as there.
        epochs: as there.
        size: as there.
        weights: as there.
    """
    dataset = prepare_dataset(DataSettings(root=options.root, size=size, cache=str(folder / "listing")))
    return Task(**listing(dataset), size=size, grid=grid, fixed=fixed, epochs=epochs, weights=weights)


def listing(dataset: Dataset) -> dict[str, Any]:
    """The files of a data set's pool, their labels and their split: the first fields of a task."""
    rows, split = dataset.manifest.pool_rows, dataset.split
    return {
        "paths": tuple(row.path for row in rows),
        "labels": tuple(row.label for row in rows),
        "train": tuple(map(int, split.train)),
        "validation": tuple(map(int, split.validation)),
    }


def write_task(task: Task, path: Path) -> None:
    """Write a task for a peer's process."""
    path.write_text(json.dumps(asdict(task)))


def read_task(path: str) -> Task:
    """The task that `write_task` wrote."""
    return Task(**json.loads(Path(path).read_text()))


def read_outcome(printed: str) -> Outcome:
    """What a peer printed as its last line."""
    content = json.loads(printed.strip().splitlines()[-1])
    return Outcome(content["ended"], tuple((parameters, seconds) for parameters, seconds in content["trials"]))


def print_outcome(outcome: Outcome) -> None:
    """Print it as the process's last line."""
    print(json.dumps(asdict(outcome)), flush=True)


def load_images(task: Task) -> Images:
    """All images of a task, decoded one after the other."""
    import cv2

    files = (cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in task.paths)
    sides = (task.size, task.size)
    images = np.stack([cv2.resize(image, sides, interpolation=cv2.INTER_AREA) for image in files])[..., None]
    labels = np.array(task.labels, np.float32)[:, None]
    train, validation = list(task.train), list(task.validation)
    return Images(images[train], labels[train], images[validation], labels[validation])


def batches(images: Images, batch_size: int) -> tuple[Any, Any]:
    """tf.data of training and validation: float32 images (B, size, size, 1) in [0, 1], labels (B, 1)."""
    import tensorflow as tf

    def scale(pixels: Any, label: Any) -> tuple[Any, Any]:
        return tf.cast(pixels, tf.float32) / 255.0, label

    with tf.device("CPU"):
        train = tf.data.Dataset.from_tensor_slices((images.train, images.train_labels))
        validation = tf.data.Dataset.from_tensor_slices((images.validation, images.validation_labels))
    train = train.shuffle(len(images.train_labels), seed=0).batch(batch_size)
    return (
        train.map(scale, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE),
        validation.batch(batch_size).map(scale, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE),
    )


def build(parameters: Mapping[str, Any], size: int, backbone_weights: Any = None) -> "keras.Model":
    """The compiled model of a trial."""
    import keras

    from models.registry import build_model
    from search.plan.spaces import model_settings

    model = build_model(model_settings(parameters), (size, size, 1), 2, backbone_weights)
    optimizer = keras.optimizers.Adam(parameters["learning_rate"])
    model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    return model
