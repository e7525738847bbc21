"""Draws the pool's rows that train and those that validate, and a test set where the data have none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.folds import deal_findings, deal_folds
from data_pipeline.manifest import POOL, TEST, VALIDATION, DataError, ImageRow, Manifest, count_labels

SPLIT_METHODS = ("stratified", "patient", "balanced")
# The report's validation images of each class, out of 5,232 in all: 20 %, the same number from every class.
# Source: report, section 2.1.
_REPORT_POOL = 5_232
_REPORT_PER_CLASS = {2: 523, 3: 350}
_DEFAULT_FRACTION = 0.2
_MOST_OF_CLASS = 3  # validation takes at most one image in this many of a class
_ATTEMPTS = 20  # orders of patients that are tried for the exact number of images


@dataclass
class SplitSettings:
    """How validation images are drawn from the pool.

    Attributes:
        method: "stratified": the same share of each class, a third at most; no patient, no identical image and no two
            images that look alike on both sides. "patient": the same number of each class; no patient and no
            identical image on both sides. "balanced": the report's way, the same number of each class at random.
        fraction: Validation's share of the pool; None for a fifth, or with equal numbers for the report's own
            shares.
        seed: The same seed draws the same images on every machine.
        redraw: Whether each repeat of a configuration draws its own validation images (`repeat_splits`).
        folds: Into how many folds the pool is divided, one for each repeat to validate on; None: it is not. Whatever
            the method, they are of whole patients and of all images that look alike, each class at its own share.
    """

    method: str = "stratified"
    fraction: float | None = None
    seed: int = 0
    redraw: bool = False
    folds: int | None = None

    def __post_init__(self) -> None:
        if self.method not in SPLIT_METHODS:
            raise DataError(f"The split method is one of {', '.join(SPLIT_METHODS)}. Received: {self.method!r}.")
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise DataError(f"The validation fraction lies between 0 and 1. Received: {self.fraction}.")
        if self.seed < 0:
            raise DataError(f"The split's seed is 0 or more. Received: {self.seed}.")
        if self.folds is not None:
            self._check_folds(self.folds)

    def _check_folds(self, folds: int) -> None:
        if folds < 2:
            raise DataError(f"data.split.folds is 2 or more, or null. Received: {folds}.")
        if self.redraw:
            raise DataError(
                "data.split.folds and data.split.redraw each give every repeat its own validation images. "
                "Received: both. Leave one of them out."
            )
        if self.fraction is not None:
            raise DataError(
                "Each fold validates once, whatever its share of the pool. Received: "
                f"data.split.fraction={self.fraction:g} with data.split.folds={folds}. Set data.split.fraction=null."
            )

    @property
    def by_repeat(self) -> bool:
        """Whether each repeat of a configuration has validation images of its own."""
        return self.redraw or self.folds is not None

    @property
    def by_looks(self) -> bool:
        """Whether images that look alike stay on one side."""
        return self.method == "stratified" or self.folds is not None


@dataclass(frozen=True)
class Split:
    """Which rows of the pool train and which validate, as sorted int64 positions in `Manifest.pool_rows`.

    They are also the rows of the pool's image array once the images are prepared.
    """

    train: NDArray[np.int64]  # (n,)
    validation: NDArray[np.int64]  # (m,)

    def sizes(self, manifest: Manifest) -> dict[str, int]:
        """Images in train, validation and test; with several labels an image, `counts` do not add up to them."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(manifest.test_rows)}

    def counts(self, manifest: Manifest) -> dict[str, tuple[int, ...]]:
        """Images per class, in the order of the manifest's classes, for train, validation and test."""
        labels, class_count = manifest.pool_labels, len(manifest.classes)
        return {
            "train": count_labels(labels[self.train], class_count),
            "validation": count_labels(labels[self.validation], class_count),
            "test": count_labels(manifest.test_labels, class_count),
        }


def split_pool(manifest: Manifest, settings: SplitSettings) -> Split:
    """Draw the validation images from the pool, the same share or number of each class, or take those a table names.

    With whole patients that number is reached exactly if it can be and never exceeded but for one case: where every
    patient of a class has more images than its share, "stratified" takes up to a third of it. `Split.counts` gives the
    number reached. With folds it is the first of them.

    Of several findings an image, about the same share of each validates (`deal_findings`), a third at most.

    Raises:
        DataError: A class has too few images, or too few patients, to be split.
    """
    if settings.folds is not None:
        return _fold_splits(manifest, settings.folds, settings.seed)[0]
    rows, labels = manifest.pool_rows, manifest.pool_labels
    if _is_stated(manifest):
        return _stated_split(manifest, settings)
    if manifest.is_multilabel:
        share = min(_DEFAULT_FRACTION if settings.fraction is None else settings.fraction, 1 / _MOST_OF_CLASS)
        drawn = _draw_findings(tie_rows(rows, by_looks=True), labels, share, settings.seed)
        return _checked_findings(Split(np.setdiff1d(np.arange(len(rows)), drawn), drawn), manifest)
    stratified = settings.method == "stratified"
    wanted = _stratified_numbers(manifest, settings.fraction) if stratified else _equal_numbers(manifest, settings)
    whole_patients = settings.method != "balanced"
    units = tie_rows(rows, by_looks=stratified) if whole_patients else [[position] for position in range(len(rows))]
    validation = _draw(units, labels, wanted, settings.seed)
    if stratified and (missing := np.bincount(labels[validation], minlength=len(wanted)) == 0).any():
        most = [count // _MOST_OF_CLASS for count in manifest.counts()[POOL]]
        raised = np.where(missing, most, wanted).tolist()
        validation = _draw(units, labels, raised, settings.seed)
        wanted = raised
    split = Split(np.setdiff1d(np.arange(len(rows)), validation), validation)
    for name, count, most_of_it in zip(manifest.classes, split.counts(manifest)["validation"], wanted, strict=True):
        if count == 0:
            raise DataError(
                f"Validation takes whole patients, at most {most_of_it} images of each class. "
                f"Received: no patient of class {name} with {most_of_it} images or fewer. "
                + ("Add patients" if stratified else "Raise data.split.fraction")
                + ", or choose data.split.method=balanced."
            )
    return split


def _stratified_numbers(manifest: Manifest, fraction: float | None) -> list[int]:
    """How many images of each class validate: its share, at least 1 and at most a third.

    Raises:
        DataError: A class has fewer than three images.
    """
    wanted = []
    for name, count in zip(manifest.classes, manifest.counts()[POOL], strict=True):
        if count < _MOST_OF_CLASS:
            raise DataError(
                f"Validation takes at most a third of each class, which needs {_MOST_OF_CLASS} images. "
                f"Received: {count} images of class {name}. Add images."
            )
        share = _DEFAULT_FRACTION if fraction is None else fraction
        wanted.append(min(max(1, round(count * share)), count // _MOST_OF_CLASS))
    return wanted


def _equal_numbers(manifest: Manifest, settings: SplitSettings) -> list[int]:
    """How many images of each class validate: the same number of all.

    Raises:
        DataError: A class has too few images.
    """
    wanted = validation_per_class(len(manifest.pool_rows), len(manifest.classes), settings.fraction)
    for name, count in zip(manifest.classes, manifest.counts()[POOL], strict=True):
        if count <= wanted:
            raise DataError(
                f"Validation takes {wanted} images of each class and must leave some for training. "
                f"Received: {count} images of class {name}. Lower data.split.fraction, add images, or choose "
                "data.split.method=stratified."
            )
    return [wanted] * len(manifest.classes)


def _is_stated(manifest: Manifest) -> bool:
    return any(row.part == VALIDATION for row in manifest.pool_rows)


def _stated_already(setting: str, off: str) -> DataError:
    return DataError(
        f"data.split.{setting} gives each repeat its own validation images, and the table of data.labels states which "
        f"images validate. Received: both. Set data.split.{setting}={off}, or leave out the table's column of splits."
    )


def _stated_split(manifest: Manifest, settings: SplitSettings) -> Split:
    """The split that a table states."""
    if settings.redraw:
        raise _stated_already("redraw", "false")
    validates = np.array([row.part == VALIDATION for row in manifest.pool_rows])
    split = Split(np.flatnonzero(~validates), np.flatnonzero(validates))
    if manifest.is_multilabel:
        return _checked_findings(split, manifest)
    for part, counts in split.counts(manifest).items():
        for name, count in zip(manifest.classes, counts, strict=True):
            if count == 0 and part != TEST:
                raise DataError(
                    f"Every class needs images that train and images that validate. Received: a table whose {part} has "
                    f"none of class {name}. Correct its column of splits, or leave it out of data.columns."
                )
    return split


def _checked_findings(split: Split, manifest: Manifest) -> Split:
    """The same split of images of several findings.

    Raises:
        DataError: No finding has images with it and without it in validation, and images that train.
    """
    counts = split.counts(manifest)
    judged = (
        train and 0 < validation < len(split.validation)
        for train, validation in zip(counts["train"], counts["validation"], strict=True)
    )
    if not any(judged):
        raise DataError(
            "Trials are judged by findings that train, and that validation has images with and without. Received: "
            f"{len(split.train)} images that train and {len(split.validation)} that validate, and no such finding. "
            "Add images, or correct the table's column of splits."
        )
    return split


def repeat_splits(manifest: Manifest, settings: SplitSettings, repeats: int) -> tuple[Split, ...]:
    """One split per repeat of a configuration, the first that of `split_pool`.

    With folds there is one for each, whatever `repeats`; without, each later one is drawn with another seed.

    Raises:
        DataError: as `split_pool`.
    """
    if settings.folds is not None:
        return _fold_splits(manifest, settings.folds, settings.seed)
    return tuple(split_pool(manifest, replace(settings, seed=settings.seed + repeat)) for repeat in range(repeats))


def _fold_splits(manifest: Manifest, folds: int, seed: int) -> tuple[Split, ...]:
    """The splits by which each fold of the pool validates once.

    Raises:
        DataError: A fold has no image of a class, or with several findings an image of any, or a table states the
            split.
    """
    if _is_stated(manifest):
        raise _stated_already("folds", "null")
    units, labels = tie_rows(manifest.pool_rows, by_looks=True), manifest.pool_labels
    if manifest.is_multilabel:
        fold_of_unit = deal_findings(units, labels, (1 / folds,) * folds, seed)
        return tuple(_checked_findings(split, manifest) for split in _splits_of(units, fold_of_unit, folds))
    unit_counts = _count_units(units, labels, len(manifest.classes))
    splits = _splits_of(units, deal_folds(unit_counts, folds, seed), folds)
    for label, name in enumerate(manifest.classes):
        if any(split.counts(manifest)["validation"][label] == 0 for split in splits):
            raise DataError(
                f"Each of {folds} folds takes whole patients of every class. Received: "
                f"{np.count_nonzero(unit_counts[:, label])} patients with images of class {name}, those whose images "
                "look alike counted as one. Lower data.split.folds, or add patients."
            )
    return splits


def _splits_of(units: Sequence[Sequence[int]], fold_of_unit: NDArray[np.int64], folds: int) -> tuple[Split, ...]:
    """The splits by which each fold validates once."""
    fold_of = np.empty(sum(map(len, units)), np.int64)
    for unit, fold in zip(units, fold_of_unit, strict=True):
        fold_of[unit] = fold
    return tuple(Split(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(folds))


def _count_units(units: Sequence[Sequence[int]], labels: NDArray[np.int64], class_count: int) -> NDArray[np.int64]:
    """Images of each class in each unit, int64 (U, K)."""
    return np.array([np.bincount(labels[unit], minlength=class_count) for unit in units], np.int64)


def validation_per_class(pool_size: int, class_count: int, fraction: float | None = None) -> int:
    """How many images of each class validate where it is the same number of all, at least 1.

    Without a fraction these are the report's shares: 523 (two classes) or 350 (three) of its 5,232 images,
    scaled to this pool; 20 % of the pool in all for other numbers of classes.
    """
    if fraction is None and class_count in _REPORT_PER_CLASS:
        share = _REPORT_PER_CLASS[class_count] / _REPORT_POOL
    else:
        share = (_DEFAULT_FRACTION if fraction is None else fraction) / class_count
    return max(1, round(pool_size * share))


def hold_out_test(manifest: Manifest, fraction: float = 0.2, seed: int = 0, by_looks: bool = False) -> Manifest:
    """The manifest with a share of each class's images moved to the test set, whole patients at a time.

    Args:
        manifest: Without test images.
        fraction: Of each class.
        seed: Of the draw.
        by_looks: Whether images that look alike stay together too.

    Raises:
        DataError: A class has too few images, or too few patients, to be split.
    """
    if not 0 < fraction < 1:
        raise DataError(f"The held-out fraction must be between 0 and 1. Received: {fraction}. Try 0.2.")
    rows, labels = manifest.pool_rows, manifest.pool_labels
    stays = np.array([row.part == VALIDATION for row in rows])
    wanted = [max(1, round(count * fraction)) for count in count_labels(labels[~stays], len(manifest.classes))]
    # what belongs to an image that a table has validate stays with it
    units = [unit for unit in tie_rows(rows, by_looks) if not stays[unit].any()]
    multilabel = manifest.is_multilabel
    places = _draw_findings(units, labels, fraction, seed) if multilabel else _draw(units, labels, wanted, seed)
    drawn = {rows[at].image_id for at in places}
    moved = tuple(replace(row, pool=TEST) if row.image_id in drawn else row for row in manifest.rows)
    result = replace(manifest, rows=moved, held_out=True)
    for name, *counts in zip(manifest.classes, *result.counts().values(), strict=True):
        if 0 in counts and not multilabel:
            raise DataError(
                "Without a test folder, some patients of each class are held out, and some must remain. "
                f"Received: too few images or patients of class {name}. Add a test folder, or more images."
            )
    return result


def tie_rows(rows: Sequence[ImageRow], by_looks: bool = False) -> list[list[int]]:
    """The positions of the rows, in the smallest sets that share no patient and no identical image with another set.

    Args:
        rows: Of the pool.
        by_looks: Whether the sets share no two images that look alike (`ImageRow.twin`) either.
    """
    parent = list(range(len(rows)))  # union-find: sets are connected components

    def find(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    first_with: dict[str, int] = {}
    for position, row in enumerate(rows):
        keys = [f"group {row.group}", f"content {row.content_hash}"]
        if by_looks and row.twin:
            keys.append(f"twin {row.twin}")
        for key in keys:
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
    unit_counts = _count_units(units, labels, len(wanted))
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


def _draw_findings(
    units: Sequence[Sequence[int]], labels: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.int64]:
    """Sorted positions of units drawn at random as a whole, about the same share of the images of each finding."""
    drawn = np.flatnonzero(deal_findings(units, labels, (1 - share, share), seed) == 1)
    return np.array(sorted(at for unit in drawn.tolist() for at in units[unit]), np.int64)
