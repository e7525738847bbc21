"""Finds the training images that look most like a new one, among the prepared images in the cache."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_pipeline.manifest import POOL, TRAIN
from data_pipeline.manifest_file import read_manifest
from data_pipeline.outliers import thumbnail
from data_pipeline.preprocess import open_prepared
from search.record import RunFolder


@dataclass(frozen=True)
class SimilarImage:
    """A training image beside a new one.

    Attributes:
        image_id: its name in the manifest.
        label: its class's name.
        likeness: the correlation of both images' thumbnails, up to 1.
        pixels: uint8 (size, size, channels).
    """

    image_id: str
    label: str
    likeness: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class TrainingImages:
    """The images that a winner was trained on.

    Attributes:
        images: of the pool, uint8 (M, size, size, channels).
        rows: those of them that train, int64 (N,).
        names: their N names.
        labels: the names of their N classes.
        thumbnails: theirs, float64 (N, 256), each of length 1.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    names: Sequence[str]
    labels: Sequence[str]
    thumbnails: NDArray[np.float64]

    def similar(self, image: NDArray[np.uint8], most: int) -> list[SimilarImage]:
        """The training images with the most similar thumbnails, the most similar first."""
        likeness = self.thumbnails @ thumbnail(image)
        return [
            SimilarImage(self.names[at], self.labels[at], float(likeness[at]), self.images[self.rows[at]])
            for at in np.argsort(-likeness, kind="stable")[:most]
        ]


def open_training_images(run: RunFolder, fingerprint: str, cache_dir: Path) -> TrainingImages | None:
    """The training images of a run; None where the cache does not hold them.

    Args:
        run: its folder.
        fingerprint: of its prepared images, as `Signature.training_images`.
        cache_dir: the user's cache folder.

    Raises:
        DataError: the prepared images or the run's manifest are damaged.
    """
    prepared = open_prepared(cache_dir, fingerprint)
    if prepared is None or not run.exists("manifest.parquet"):
        return None
    manifest, splits = read_manifest(io.BytesIO(run.read("manifest.parquet")))
    chosen = [row for row, split in zip(manifest.rows, splits, strict=True) if row.pool == POOL and split == TRAIN]
    images = prepared.open()
    return TrainingImages(
        images,
        np.array([row.index for row in chosen], np.int64),
        [row.image_id for row in chosen],
        [manifest.label_name(row) for row in chosen],
        np.stack([thumbnail(images[row.index]) for row in chosen]),
    )
