"""The list of a data set's images, to which everything later refers: labelled images, and files set aside."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

POOL = "pool"  # what training and validation are drawn from: Kaggle's train and val together, as in the report
TEST = "test"
TRAIN, VALIDATION = "train", "validation"  # parts of the pool, where a table divides it
# What is asked of an image: which one of the classes it is of, or which of several findings it shows.
TASKS = MULTICLASS, MULTILABEL = ("multiclass", "multilabel")


class DataError(ValueError):
    """A mistake in the data or the data settings that the user can correct."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One labelled image file."""

    image_id: str  # posix path relative to the data set's root: the same on every machine
    path: str
    pool: str  # POOL or TEST
    label: int  # position in Manifest.classes; -1 where an image may show several findings
    group: str  # the patient; an image whose name shows none is a group of its own
    content_hash: str  # sha256 of the file, hexadecimal
    width: int = 0  # pixels of the file, 0 until decoded
    height: int = 0
    index: int = -1  # row in its pool's image array, -1 until prepared
    bits: int = 8  # of a grey value; above 8, only the set tells which value is white; 8 for DICOM, which tells it
    twin: str = ""  # the first of the images of the set that look like it; empty where it is the only one
    view: str = ""  # as data_pipeline.views names it; it, sex and age are empty where neither file nor table says them
    sex: str = ""
    age: float | None = None  # in years
    part: str = ""  # TRAIN or VALIDATION where a table divides the pool
    findings: tuple[int, ...] = ()  # positions in Manifest.classes of all that it shows, where they may be several

    @property
    def names_patient(self) -> bool:
        """Whether its name shows the patient."""
        return self.group != self.image_id

    @property
    def label_text(self) -> str:
        """Its label, or its findings joined by commas: equal for equal labels."""
        return str(self.label) if self.label >= 0 else ",".join(map(str, self.findings))

    @property
    def shown_path(self) -> str:
        """The path as records show it: the image id instead where the path itself names the patient."""
        return self.path if self.path.endswith(self.image_id) else self.image_id


@dataclass(frozen=True, slots=True)
class BadFile:
    """One file set aside."""

    path: str
    reason: str
    by_rule: bool = False  # excluded and not damaged: max_bad_fraction does not count it


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """The same image several times, which matters to a reader of the results; each set as a tuple of image ids."""

    across_pools: tuple[tuple[str, ...], ...]  # in the pool and in the test set
    across_groups: tuple[tuple[str, ...], ...]  # under two patients of one pool


@dataclass(frozen=True)
class Manifest:
    """All images of a data set, sorted by image id, and the files set aside."""

    root: str
    classes: tuple[str, ...]  # the normal one first and, of two, the positive one last: data_pipeline.classes
    rows: tuple[ImageRow, ...]
    bad: tuple[BadFile, ...]
    held_out: bool = False  # whether the test set was drawn from the pool because there is no test folder
    patient_folders: int = 0  # folders inside class folders that are taken as a patient each
    white: int = 0  # the value that is white in files of more than 8 bits, 0 where there are none or nothing is decoded
    cut: int = 0  # test images with values above it
    notes: tuple[str, ...] = ()  # what the user should be told of how the images were found and labelled
    task: str = MULTICLASS  # of TASKS; with MULTILABEL, `classes` are the findings

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may show several of the classes, or none."""
        return self.task == MULTILABEL

    @cached_property
    def pool_rows(self) -> tuple[ImageRow, ...]:
        """The images that training and validation are drawn from."""
        return tuple(row for row in self.rows if row.pool == POOL)

    @cached_property
    def test_rows(self) -> tuple[ImageRow, ...]:
        """The images that only the evaluation after the search may read."""
        return tuple(row for row in self.rows if row.pool == TEST)

    @cached_property
    def unusable(self) -> tuple[BadFile, ...]:
        """The damaged files, without those that a rule sets aside."""
        return tuple(bad for bad in self.bad if not bad.by_rule)

    @property
    def pool_labels(self) -> NDArray[np.int64]:
        """Labels of `pool_rows`, as `labels_of`."""
        return self.labels_of(self.pool_rows)

    @property
    def test_labels(self) -> NDArray[np.int64]:
        """Labels of `test_rows`, as `labels_of`."""
        return self.labels_of(self.test_rows)

    def labels_of(self, rows: Sequence[ImageRow]) -> NDArray[np.int64]:
        """Labels of images: int64 (N,), each a position in `classes`; with several labels an image, 0 or 1, (N, K)."""
        if not self.is_multilabel:
            return np.array([row.label for row in rows], dtype=np.int64)
        labels = np.zeros((len(rows), len(self.classes)), np.int64)
        for place, row in enumerate(rows):
            labels[place, list(row.findings)] = 1
        return labels

    def label_name(self, row: ImageRow) -> str:
        """The name of an image's class, or those of its findings joined by commas; `no finding` without any."""
        if not self.is_multilabel:
            return self.classes[row.label]
        return ", ".join(self.classes[place] for place in row.findings) or "no finding"

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 of every image's id, label, content and pool; equal for equal data."""
        lines = sorted(f"{row.image_id}\t{row.label_text}\t{row.content_hash}\t{row.pool}\n" for row in self.rows)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Images per class, in the order of `classes`, for POOL and TEST."""
        return {
            POOL: count_labels(self.pool_labels, len(self.classes)),
            TEST: count_labels(self.test_labels, len(self.classes)),
        }

    def duplicates(self) -> DuplicateReport:
        """Byte-identical images across pool and test, and across the patients of one pool."""
        by_hash: defaultdict[str, list[ImageRow]] = defaultdict(list)
        for row in self.rows:
            by_hash[row.content_hash].append(row)
        return _report_duplicates(by_hash.values())

    def contradictions(self) -> tuple[tuple[str, ...], ...]:
        """The ids of byte-identical images that have different labels: one of them is wrong."""
        labels: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for row in self.rows:
            labels[row.content_hash].setdefault(row.label_text, row.image_id)
        return tuple(tuple(ids.values()) for ids in labels.values() if len(ids) > 1)

    def look_alikes(self) -> DuplicateReport:
        """As `duplicates`, for images that look alike although not all of them are byte-identical."""
        by_twin: defaultdict[str, list[ImageRow]] = defaultdict(list)
        for row in self.rows:
            if row.twin:
                by_twin[row.twin].append(row)
        return _report_duplicates(rows for rows in by_twin.values() if len({row.content_hash for row in rows}) > 1)

    def shared_patients(self) -> tuple[str, ...]:
        """Patient names that occur both in the pool and in the test set, sorted.

        A name in both need not be one person: Kaggle numbers bacterial and viral patients separately, so that
        `person1_virus` of its test folder and `person1_bacteria` of its train folder share only a number.
        """
        pool = {_patient(row.group) for row in self.pool_rows if row.names_patient}
        test = {_patient(row.group) for row in self.test_rows if row.names_patient}
        return tuple(sorted(pool & test))


def _report_duplicates(sets: Iterable[list[ImageRow]]) -> DuplicateReport:
    across_pools, across_groups = [], []
    for same in sets:
        ids = tuple(row.image_id for row in same)
        if len({row.pool for row in same}) > 1:
            across_pools.append(ids)
        elif len({row.group for row in same}) > 1:
            across_groups.append(ids)
    return DuplicateReport(tuple(across_pools), tuple(across_groups))


def count_labels(labels: NDArray[np.int64], class_count: int) -> tuple[int, ...]:
    """How often each class occurs in `labels`, as `Manifest.labels_of`; one number per class."""
    if labels.ndim == 2:
        return tuple(int(count) for count in labels.sum(axis=0))
    return tuple(int(count) for count in np.bincount(labels, minlength=class_count))


def _patient(group: str) -> str:
    return group.partition("/")[2]  # "test/person1" -> "person1"
