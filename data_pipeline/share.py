"""Training data in Ray's object store: put there once per run, read by every trial without a copy.

Pixels that do not fit it are read from each host's own disk (`data_pipeline.shards`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dataset import Dataset
from data_pipeline.shards import ArraySource, HostDisks, open_images
from data_pipeline.shift import shifted_copy
from data_pipeline.split import Split

if TYPE_CHECKING:
    from ray import ObjectRef


@dataclass(frozen=True)
class TrainingData:
    """All that a trial may see of the data; there is no field for a test image.

    Attributes:
        images: Every image of the pool, uint8 (N, height, width, channels), 0 to 255.
        labels: Their labels, int64 (N,), positions in `classes`; with several findings an image, 0 or 1, (N, K).
        train: Rows of `images` that train, int64 (n,).
        validation: Rows of `images` that validate, int64 (m,).
        classes: Class names.
        fingerprint: Equal for equal `images`.
        shifted: A copy of the validation images as another hospital might have made them, uint8 (m, height,
            width, channels); None where it is not used.
        repeats: The split of each repeat of a configuration, the first that of `train` and `validation`; empty where
            all repeats share one split.
    """

    images: ArraySource
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    classes: tuple[str, ...]
    fingerprint: str
    shifted: ArraySource | None = None
    repeats: tuple[Split, ...] = ()

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may show several of the classes, or none."""
        return self.labels.ndim == 2

    def of_repeat(self, repeat: int) -> "TrainingData":
        """The same images with the split of that repeat."""
        if repeat == 0 or not self.repeats:
            return self
        split = self.repeats[repeat]
        copy = None if self.shifted is None else shifted_copy(self.images, split.validation)
        return replace(self, train=split.train, validation=split.validation, shifted=copy)


def training_data(
    dataset: Dataset, with_shifted: bool = False, repeats: Sequence[Split] = (), disks: HostDisks | None = None
) -> TrainingData:
    """The pool of a prepared data set; `images` are on disk still, and of them only validation is read here.

    Args:
        dataset: The data set.
        with_shifted: Whether the shifted copy of validation is made.
        repeats: As in `TrainingData`.
        disks: As `data_pipeline.shards.open_images`.
    """
    images = open_images(dataset.pool, disks)
    return TrainingData(
        images=images,
        labels=dataset.manifest.pool_labels,
        train=dataset.split.train,
        validation=dataset.split.validation,
        classes=dataset.manifest.classes,
        fingerprint=dataset.pool.fingerprint,
        shifted=shifted_copy(images, dataset.split.validation) if with_shifted else None,
        repeats=tuple(repeats),
    )


def put_training_data(data: TrainingData) -> "ObjectRef[TrainingData]":
    """Writes the data to the object store, pixels once, or where they are; returns a reference."""
    import ray

    return ray.put(data)


def get_training_data(reference: "ObjectRef[TrainingData]") -> TrainingData:
    """The data of a reference; its arrays are read-only views of the object store's shared memory."""
    import ray

    data: TrainingData = ray.get(reference)
    return data
