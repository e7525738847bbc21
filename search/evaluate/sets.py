"""The images that trained weights are scored on: validation, its shifted copy, the test set and outside test sets."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dataset import Dataset, read_images
from data_pipeline.manifest import ImageRow
from data_pipeline.preprocess import PreparedImages
from data_pipeline.shards import ArraySource, HostDisks, open_images
from data_pipeline.shift import shift_ways, shifted_copy, shifted_fingerprint
from data_pipeline.split import Split
from search.record import SHIFTED, TEST, VALIDATION

_FOLDS = 10  # of patients


@dataclass(frozen=True)
class EvaluationSet:
    """Images that trained weights are scored on.

    Attributes:
        name: `VALIDATION`, `SHIFTED`, `TEST`, or the name of an outside test set.
        images: uint8 (N, H, W, C), 0 black to 255 white.
        rows: the images that are scored, int64 (n,).
        labels: theirs, int64 (n,).
        image_ids: their n names, as in the manifest.
        fingerprint: equal for equal `images`.
        repeat: the repeat of a configuration whose trials are scored on it; None for all trials.
    """

    name: str
    images: ArraySource
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    image_ids: tuple[str, ...]
    fingerprint: str
    repeat: int | None = None


def evaluation_sets(
    dataset: Dataset, with_shifted: bool, repeats: Sequence[Split] = (), disks: HostDisks | None = None
) -> list[EvaluationSet]:
    """Validation (and its shifted copy), the test set and the outside test sets, decoded.

    Args:
        dataset: of the run.
        with_shifted: whether trials were judged by the shifted copy.
        repeats: the splits of every repeat of a configuration, where each has its own.
        disks: as `data_pipeline.shards.open_images`.
    """
    splits: list[tuple[int | None, Split]] = [*enumerate(repeats)] or [(None, dataset.split)]
    pool = open_images(dataset.pool, disks)  # once: the sets of all repeats share it in the object store
    sets = [each for repeat, split in splits for each in _validation_sets(dataset, pool, split, with_shifted, repeat)]
    sets.append(_test_set(TEST, dataset.manifest.test_rows, dataset.test, disks))
    return sets + [_test_set(name, rows, images, disks) for name, (rows, images) in dataset.extra_tests.items()]


def calibration_groups(dataset: Dataset, with_shifted: bool) -> dict[str, str]:
    """The group of each image of the pool, by its name; a calibration is tested on groups that it was not fitted on.

    Args:
        dataset: of the run.
        with_shifted: whether trials were judged by the shifted copy. If so, a group is one way of change of the copy,
            otherwise one of ten folds of patients: all images of a patient are in the same fold.
    """
    rows = dataset.manifest.pool_rows
    if with_shifted:
        names = [row.image_id for row in rows]
        return dict(zip(names, shift_ways(np.arange(len(names))), strict=True))
    return {row.image_id: str(zlib.crc32(row.group.encode()) % _FOLDS) for row in rows}


def _validation_sets(
    dataset: Dataset, pool: ArraySource, split: Split, with_shifted: bool, repeat: int | None
) -> list[EvaluationSet]:
    manifest, chosen, fingerprint = dataset.manifest, split.validation, dataset.pool.fingerprint
    labels, ids = manifest.pool_labels[chosen], tuple(manifest.pool_rows[place].image_id for place in chosen)
    sets = [EvaluationSet(VALIDATION, pool, chosen, labels, ids, fingerprint, repeat)]
    if with_shifted:
        copy, known_as = shifted_copy(pool, chosen), shifted_fingerprint(fingerprint, chosen)
        sets.append(EvaluationSet(SHIFTED, copy, np.arange(len(chosen)), labels, ids, known_as, repeat))
    return sets


def _test_set(name: str, rows: Sequence[ImageRow], prepared: PreparedImages, disks: HostDisks | None) -> EvaluationSet:
    labels = np.array([row.label for row in rows], np.int64)
    (images, places), ids = read_images(prepared, rows, disks), tuple(row.image_id for row in rows)
    return EvaluationSet(name, images, places, labels, ids, prepared.fingerprint)
