"""Draws the pool's rows that train and those that validate, and a test set where the data have none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.manifest import TEST, VALIDATION, DataError, ImageRow, Manifest, count_labels

SPLIT_METHODS = ("patient", "balanced")
# The report's validation images of each class, out of 5,232 in all: 20 %, the same number from every class.
# Source: report, section 2.1.
_REPORT_POOL = 5_232
_REPORT_PER_CLASS = {2: 523, 3: 350}
_DEFAULT_FRACTION = 0.2
_ATTEMPTS = 20  # orders of patients that are tried for the exact number of images


@dataclass
class SplitSettings:
    """How validation images are drawn from the pool.

    Attributes:
        method: "patient" (no patient and no identical image on both sides) or "balanced" (the report's way:
            at random).
        fraction: Validation's share of the pool, the same number from each class; None for the report's own
            shares.
        seed: The same seed draws the same images on every machine.
        redraw: Whether each repeat of a configuration draws its own validation images (`repeat_splits`).
    """

    method: str = "patient"
    fraction: float | None = None
    seed: int = 0
    redraw: bool = False

    def __post_init__(self) -> None:
        if self.method not in SPLIT_METHODS:
            raise DataError(f"The split method is one of {', '.join(SPLIT_METHODS)}. Received: {self.method!r}.")
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise DataError(f"The validation fraction lies between 0 and 1. Received: {self.fraction}.")
        if self.seed < 0:
            raise DataError(f"The split's seed is 0 or more. Received: {self.seed}.")


@dataclass(frozen=True)
class Split:
    """Which rows of the pool train and which validate, as sorted int64 positions in `Manifest.pool_rows`.

    They are also the rows of the pool's image array once the images are prepared.
    """

    train: NDArray[np.int64]  # (n,)
    validation: NDArray[np.int64]  # (m,)

    def counts(self, manifest: Manifest) -> dict[str, tuple[int, ...]]:
        """Images per class, in the order of the manifest's classes, for train, validation and test."""
        labels, class_count = manifest.pool_labels, len(manifest.classes)
        return {
            "train": count_labels(labels[self.train], class_count),
            "validation": count_labels(labels[self.validation], class_count),
            "test": count_labels(manifest.test_labels, class_count),
        }


def split_pool(manifest: Manifest, settings: SplitSettings) -> Split:
    """Draw the validation images from the pool, the same number from each class; those that a table names, as they are.

    "patient" reaches that number exactly if it can and never exceeds it; `Split.counts` gives the number reached.

    Raises:
        DataError: A class has too few images, or too few patients, to be split.
    """
    rows = manifest.pool_rows
    if any(row.part == VALIDATION for row in rows):
        return _stated_split(manifest, settings)
    available = manifest.counts()["pool"]
    wanted = validation_per_class(len(rows), len(manifest.classes), settings.fraction)
    for name, count in zip(manifest.classes, available, strict=True):
        if count <= wanted:
            raise DataError(
                f"Validation takes {wanted} images of each class and must leave some for training. "
                f"Received: {count} images of class {name}. Lower data.split.fraction, or add images."
            )
    by_patient = settings.method == "patient"
    units = _tie_rows(rows) if by_patient else [[position] for position in range(len(rows))]
    validation = _draw(units, manifest.pool_labels, [wanted] * len(manifest.classes), settings.seed)
    split = Split(np.setdiff1d(np.arange(len(rows)), validation), validation)
    for name, count in zip(manifest.classes, split.counts(manifest)["validation"], strict=True):
        if count == 0:
            raise DataError(
                f"Validation takes whole patients, at most {wanted} images of each class. "
                f"Received: no patient of class {name} with {wanted} images or fewer. "
                "Raise data.split.fraction, or choose data.split.method=balanced."
            )
    return split


def _stated_split(manifest: Manifest, settings: SplitSettings) -> Split:
    """The split that a table states."""
    if settings.redraw:
        raise DataError(
            "data.split.redraw draws validation anew for each repeat, and the table of data.labels states which images "
            "validate. Received: both. Leave data.split.redraw out, or the table's column of splits."
        )
    validates = np.array([row.part == VALIDATION for row in manifest.pool_rows])
    split = Split(np.flatnonzero(~validates), np.flatnonzero(validates))
    for part, counts in split.counts(manifest).items():
        for name, count in zip(manifest.classes, counts, strict=True):
            if count == 0 and part != TEST:
                raise DataError(
                    f"Every class needs images that train and images that validate. Received: a table whose {part} has "
                    f"none of class {name}. Correct its column of splits, or leave it out of data.columns."
                )
    return split


def repeat_splits(manifest: Manifest, settings: SplitSettings, repeats: int) -> tuple[Split, ...]:
    """One split per repeat of a configuration: the first as `split_pool` draws it, each later one with another seed.

    Raises:
        DataError: as `split_pool`.
    """
    return tuple(split_pool(manifest, replace(settings, seed=settings.seed + repeat)) for repeat in range(repeats))


def validation_per_class(pool_size: int, class_count: int, fraction: float | None = None) -> int:
    """How many images of each class validate, at least 1.

    Without a fraction these are the report's shares: 523 (two classes) or 350 (three) of its 5,232 images,
    scaled to this pool; 20 % of the pool in all for other numbers of classes.
    """
    if fraction is None and class_count in _REPORT_PER_CLASS:
        share = _REPORT_PER_CLASS[class_count] / _REPORT_POOL
    else:
        share = (_DEFAULT_FRACTION if fraction is None else fraction) / class_count
    return max(1, round(pool_size * share))


def hold_out_test(manifest: Manifest, fraction: float = 0.2, seed: int = 0) -> Manifest:
    """The manifest with a share of each class's images moved to the test set, whole patients at a time.

    Raises:
        DataError: A class has too few images, or too few patients, to be split.
    """
    if not 0 < fraction < 1:
        raise DataError(f"The held-out fraction must be between 0 and 1. Received: {fraction}. Try 0.2.")
    rows = [row for row in manifest.pool_rows if row.part != VALIDATION]
    labels = np.array([row.label for row in rows], dtype=np.int64)
    wanted = [max(1, round(count * fraction)) for count in count_labels(labels, len(manifest.classes))]
    drawn = {rows[at].image_id for at in _draw(_tie_rows(rows), labels, wanted, seed)}
    moved = tuple(replace(row, pool=TEST) if row.image_id in drawn else row for row in manifest.rows)
    result = replace(manifest, rows=moved, held_out=True)
    for name, *counts in zip(manifest.classes, *result.counts().values(), strict=True):
        if 0 in counts:
            raise DataError(
                "Without a test folder, some patients of each class are held out, and some must remain. "
                f"Received: too few images or patients of class {name}. Add a test folder, or more images."
            )
    return result


def _tie_rows(rows: Sequence[ImageRow]) -> list[list[int]]:
    """The positions of the rows, in the smallest sets that share no patient and no identical image with another set."""
    parent = list(range(len(rows)))  # union-find: sets are connected components

    def find(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    first_with: dict[str, int] = {}
    for position, row in enumerate(rows):
        for key in (f"group {row.group}", f"content {row.content_hash}"):
            parent[find(position)] = find(first_with.setdefault(key, position))
    units: dict[int, list[int]] = {}
    for position in range(len(rows)):
        units.setdefault(find(position), []).append(position)
    return list(units.values())


def _draw(
    units: Sequence[Sequence[int]], labels: NDArray[np.int64], wanted: Sequence[int], seed: int
) -> NDArray[np.int64]:
    """Sorted positions of units drawn at random as a whole: as many of each class as wanted or, failing that, fewer."""
    rng = np.random.default_rng(seed)
    unit_counts = np.array([np.bincount(labels[unit], minlength=len(wanted)) for unit in units])
    best: list[int] = []
    fewest_missing = sum(wanted) + 1
    for _ in range(_ATTEMPTS):
        left = np.array(wanted)
        taken: list[int] = []
        for unit in rng.permutation(len(units)):
            if (unit_counts[unit] <= left).all():
                left -= unit_counts[unit]
                taken.extend(units[unit])
        if left.sum() < fewest_missing:
            fewest_missing, best = int(left.sum()), taken
        if fewest_missing == 0:
            break
    return np.array(sorted(best), dtype=np.int64)
