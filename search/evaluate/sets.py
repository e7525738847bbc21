"""The images that trained weights are scored on: validation, its shifted copy, the test set and outside test sets."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dataset import Dataset, read_images
from data_pipeline.manifest import ImageRow, Manifest
from data_pipeline.outside import OutsideSet
from data_pipeline.shards import ArraySource, HostDisks, open_images
from data_pipeline.shift import shift_ways, shifted_copy, shifted_fingerprint
from data_pipeline.split import Split
from search.record import SHIFTED, TEST, UNKNOWN, VALIDATION
from search.record.subgroups import TRAITS

_FOLDS = 10  # of patients


@dataclass(frozen=True)
class EvaluationSet:
    """Images that trained weights are scored on.

    Attributes:
        name: `VALIDATION`, `SHIFTED`, `TEST`, or the name of an outside test set.
        images: uint8 (N, H, W, C), 0 black to 255 white.
        rows: the images that are scored, int64 (n,).
        labels: theirs, int64 (n,); of several findings an image 0, 1 or UNKNOWN, (n, K).
        image_ids: their n names, as in the manifest.
        patients: a number for the patient of each, int64 (n,), the same in all sets of one pool.
        fingerprint: equal for equal `images`.
        repeat: the repeat of a configuration whose trials are scored on it; None for all trials.
        traits: `age` (years), `sex` and `view`, n values each, None where not said; those that no image says are left
            out.
    """

    name: str
    images: ArraySource
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    image_ids: tuple[str, ...]
    patients: NDArray[np.int64]
    fingerprint: str
    repeat: int | None = None
    traits: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


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
    manifest = dataset.manifest
    sets.append(_test_set(TEST, manifest, OutsideSet(manifest.test_rows, dataset.test), disks))
    return sets + [_test_set(name, manifest, outside, disks) for name, outside in dataset.extra_tests.items()]


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
    rows = [manifest.pool_rows[place] for place in chosen]
    labels, ids, traits = manifest.pool_labels[chosen], tuple(row.image_id for row in rows), _traits(rows)
    patients = number_patients(manifest.pool_rows)[chosen]
    sets = [EvaluationSet(VALIDATION, pool, chosen, labels, ids, patients, fingerprint, repeat, traits)]
    if with_shifted:
        copy, known_as = shifted_copy(pool, chosen), shifted_fingerprint(fingerprint, chosen)
        places = np.arange(len(chosen))
        sets.append(EvaluationSet(SHIFTED, copy, places, labels, ids, patients, known_as, repeat, traits))
    return sets


def _test_set(name: str, manifest: Manifest, test: OutsideSet, disks: HostDisks | None) -> EvaluationSet:
    rows, labels = test.rows, manifest.labels_of(test.rows)
    if test.unknown:
        labels[:, [manifest.classes.index(finding) for finding in test.unknown]] = UNKNOWN
    (images, places), ids = read_images(test.images, rows, disks), tuple(row.image_id for row in rows)
    patients = number_patients(rows)
    return EvaluationSet(name, images, places, labels, ids, patients, test.images.fingerprint, traits=_traits(rows))


def number_patients(rows: Sequence[ImageRow]) -> NDArray[np.int64]:
    """A number for the patient of each image, int64 (n,), by first appearance; it names nobody."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(row.group, len(numbers)) for row in rows], np.int64)


def _traits(rows: Sequence[ImageRow]) -> dict[str, tuple[Any, ...]]:
    """What is known of some images, as `EvaluationSet.traits`."""
    found = {name: tuple(None if (own := getattr(row, name)) == "" else own for row in rows) for name in TRAITS}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}
