"""From settings to a data set ready for a search: found, decoded, checked and split, in one call."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_pipeline.classes import AUTO
from data_pipeline.folders import EXPECTED_LAYOUT, check_classes, scan_folder
from data_pipeline.looks import group_looks
from data_pipeline.manifest import POOL, TEST, BadFile, DataError, ImageRow, Manifest
from data_pipeline.manifest_file import write_bad_files
from data_pipeline.outside import OutsideSet
from data_pipeline.preprocess import PreparedImages, Progress, prepare_images
from data_pipeline.settings import DataSettings
from data_pipeline.shards import ArraySource, HostDisks, open_images
from data_pipeline.sources import locate
from data_pipeline.split import Split, hold_out_test, split_pool
from data_pipeline.tables import is_table, scan_outside_table, scan_table

TABLE_ADVICE = (
    "The table's rows name images below data.root, and data.classes gives each class findings that rows have: see the "
    "lines above, or python -m data_pipeline.scan FOLDER --labels TABLE."
)


@dataclass(frozen=True)
class Dataset:
    """A data set ready for a search.

    Attributes:
        manifest: Labelled images with size and row in their pool's array, and the files that were set aside.
        split: Rows of `pool` that train and that validate.
        pool: The images training and validation are drawn from.
        test: The test images: prepared, so that bad files show before the search, but opened only by the
            evaluation.
        extra_tests: The outside test sets by name; prepared and opened likewise.
    """

    manifest: Manifest
    split: Split
    pool: PreparedImages
    test: PreparedImages
    extra_tests: Mapping[str, OutsideSet]

    @property
    def all_images(self) -> tuple[PreparedImages, ...]:
        """The pool, the test set and the outside test sets."""
        return (self.pool, self.test, *(outside.images for outside in self.extra_tests.values()))


def list_dataset(settings: DataSettings) -> Manifest:
    """The manifest without decoding an image, as a dry run needs it; a missing test set is held out.

    Raises:
        DataError: The folder does not exist, nothing was found, or a class is missing.
    """
    root, rules = locate(settings.source, settings.root), settings.file_rules
    if is_table(settings.labels):
        file = Path(settings.labels).expanduser()
        manifest = scan_table(
            root,
            file,
            settings.classes,
            settings.columns,
            settings.table,
            settings.patient,
            settings.positive,
            rules,
            settings.task,
        )
        check_classes(manifest, TABLE_ADVICE)
    else:
        manifest = scan_folder(root, settings.labels, settings.patient, settings.positive, rules)
    return manifest if manifest.test_rows else hold_out_test(manifest)


def prepare_dataset(settings: DataSettings, progress: Progress | None = None) -> Dataset:
    """Find, decode (or take from the cache), check and split the images.

    Args:
        settings: The data settings.
        progress: Called with the images done and all images of the pool, then of the test set and of outside test
            sets, while they are decoded.

    Raises:
        DataError: Nothing was found, a class is missing, too many files are bad, the images cannot be split, an outside
        test set cannot be labelled with these classes, or the cache cannot be written.
    """
    manifest, pool, test = read_dataset(settings, progress)
    extra_tests = {
        name: prepare_extra_test(name, given, manifest.classes, settings, progress)
        for name, given in settings.extra_tests.items()
    }
    return Dataset(manifest, split_pool(manifest, settings.split), pool, test, extra_tests)


def read_dataset(
    settings: DataSettings, progress: Progress | None = None
) -> tuple[Manifest, PreparedImages, PreparedImages]:
    """The images, decoded and checked, of the pool and of the test set; nothing is split yet.

    Args:
        settings: As `prepare_dataset`.
        progress: As there.

    Raises:
        DataError: As there, but for splits and outside test sets.
    """
    listed = list_dataset(settings)
    pool, test = _prepare_pools(listed, settings, progress)
    if settings.split.method == "stratified" and listed.held_out:  # only now is it known which images look alike
        marked = _mark_twins(listed, pool, test)
        if marked.look_alikes().across_pools:
            whole = replace(marked, rows=tuple(replace(row, pool=POOL) for row in marked.rows))
            listed = hold_out_test(whole, by_looks=True)
            pool, test = _prepare_pools(listed, settings, progress)
    pool_rows, pool_bad = _apply_facts(listed.pool_rows, pool)
    test_rows, test_bad = _apply_facts(listed.test_rows, test)
    rows = sorted(pool_rows + test_rows, key=lambda row: row.image_id)
    bad = sorted([*listed.bad, *pool_bad, *test_bad], key=lambda each: each.path)
    checked = replace(listed, rows=tuple(rows), bad=tuple(bad), white=pool.white or test.white, cut=test.cut)
    manifest = _mark_twins(checked, pool, test)
    _check_bad(manifest, settings)
    check_classes(manifest, TABLE_ADVICE if is_table(settings.labels) else EXPECTED_LAYOUT)
    return manifest, pool, test


def _prepare_pools(
    listed: Manifest, settings: DataSettings, progress: Progress | None
) -> tuple[PreparedImages, PreparedImages]:
    """The images of the pool and of the test set, grey values of both by one rule, which the pool decides."""
    pool = prepare_images(listed.pool_rows, settings.image, settings.cache_dir, progress)
    return pool, prepare_images(listed.test_rows, settings.image, settings.cache_dir, progress, pool.white)


def _mark_twins(manifest: Manifest, pool: PreparedImages, test: PreparedImages) -> Manifest:
    """The manifest with the images that look alike marked, by the looks of the prepared ones."""
    readable = [
        (row.image_id, look)
        for rows, prepared in ((manifest.pool_rows, pool), (manifest.test_rows, test))
        for row, look in zip(_readable(rows, prepared), prepared.looks, strict=True)
    ]
    if not readable:
        return manifest
    readable.sort(key=lambda entry: entry[0])
    names = [name for name, _ in readable]
    firsts = group_looks(np.stack([look for _, look in readable])).tolist()
    shared = {first for first, count in Counter(firsts).items() if count > 1}
    twins = {name: names[first] for name, first in zip(names, firsts, strict=True) if first in shared}
    return replace(manifest, rows=tuple(replace(row, twin=twins.get(row.image_id, "")) for row in manifest.rows))


def _readable(rows: Sequence[ImageRow], prepared: PreparedImages) -> list[ImageRow]:
    """The rows whose images are in the array: all of them, or those without an error."""
    if len(rows) == prepared.count:
        return list(rows)
    return [row for row, fact in zip(rows, prepared.facts, strict=True) if not fact.error]


def prepare_extra_test(
    name: str, given: str, classes: Sequence[str], settings: DataSettings, progress: Progress | None = None
) -> OutsideSet:
    """An outside test set, prepared and labelled with the run's own classes.

    Args:
        name: What the test set is called in the results, for the messages.
        given: A folder with one folder a class, such as NORMAL and PNEUMONIA, or a table of labels in the folder of its
            images. If these are divided into train and test, the set is its test images.
        classes: The classes of the run, in the order of its labels.
        settings: The run's data settings.
        progress: As in `prepare_dataset`.

    Raises:
        DataError: The folder or table does not exist, its images cannot be labelled with these classes, or too many
        are bad.
    """
    path = Path(given).expanduser()
    if not (path.is_file() if is_table(given) else path.is_dir()):
        raise DataError(
            f"The outside test set {name!r} is an existing folder, or a table of labels. Received: {given!r}. Check "
            "the path."
        )
    try:
        listed, unknown = _list_outside(path, classes, settings)
    except DataError as error:
        raise DataError(
            f"The outside test set {name!r} ({given}) must be labelled with the run's classes "
            f"{', '.join(classes)} (data.labels={settings.labels}). {error}"
        ) from error
    prepared = prepare_images(listed.rows, settings.image, settings.cache_dir, progress)
    rows, bad = _apply_facts(listed.rows, prepared)
    checked = replace(listed, rows=tuple(replace(row, pool=TEST) for row in rows), bad=(*listed.bad, *bad))
    _check_bad(checked, settings)
    return OutsideSet(checked.rows, prepared, unknown, checked.notes, checked.bad)


def _list_outside(path: Path, classes: Sequence[str], settings: DataSettings) -> tuple[Manifest, tuple[str, ...]]:
    """The images of an outside test set with these classes, and the findings of which its labels say nothing."""
    rules, unknown = settings.file_rules, tuple[str, ...]()
    if is_table(path.name):
        about = settings.classes, settings.columns, settings.table, settings.patient, rules, settings.task
        listed, unknown = scan_outside_table(path, classes, *about)
    elif settings.is_multilabel:
        raise DataError("Folders name one class an image. Give a table: .csv, .tsv or .parquet.")
    else:
        scheme = "folders" if is_table(settings.labels) else settings.labels
        patient = settings.patient or AUTO
        found = scan_folder(path.resolve(), scheme, patient, positive=None, rules=rules, is_other=True)
        listed = _in_order(found, classes)
        if listed.classes != tuple(classes):
            raise DataError(f"It has the classes {', '.join(listed.classes)}.")
    candidates = replace(listed, rows=listed.test_rows or listed.pool_rows)
    if not (candidates.rows and settings.is_multilabel):
        check_classes(replace(candidates, rows=tuple(replace(row, pool=POOL) for row in candidates.rows)), TABLE_ADVICE)
    return candidates, unknown


def _in_order(manifest: Manifest, classes: Sequence[str]) -> Manifest:
    """The manifest with its classes in this order, whatever the case of their names; as it is if they are others."""
    place = {name.casefold(): label for label, name in enumerate(classes)}
    if sorted(place) != sorted(name.casefold() for name in manifest.classes):
        return manifest
    rows = tuple(replace(row, label=place[manifest.classes[row.label].casefold()]) for row in manifest.rows)
    return replace(manifest, classes=tuple(classes), rows=rows)


def read_images(
    prepared: PreparedImages, rows: Sequence[ImageRow], disks: HostDisks | None = None
) -> tuple[ArraySource, NDArray[np.int64]]:
    """Images, uint8 (N, size, size, channels), and where those of `rows` are among them, int64 (n,).

    Args:
        prepared: The images.
        rows: Some of them.
        disks: As `data_pipeline.shards.open_images`.
    """
    return open_images(prepared, disks), np.array([row.index for row in rows], np.int64)


def _apply_facts(rows: Sequence[ImageRow], prepared: PreparedImages) -> tuple[list[ImageRow], list[BadFile]]:
    """The readable rows with their size and their row in the array, and the others as bad files."""
    readable: list[ImageRow] = []
    bad: list[BadFile] = []
    for row, fact in zip(rows, prepared.facts, strict=True):
        if fact.error:
            bad.append(BadFile(row.shown_path, fact.error))
        else:
            readable.append(replace(row, width=fact.width, height=fact.height, index=len(readable)))
    return readable, bad


def _check_bad(manifest: Manifest, settings: DataSettings) -> None:
    unusable = manifest.unusable
    found = len(unusable) + len(manifest.rows)
    if len(unusable) <= settings.max_bad_fraction * found:
        return
    examples = "".join(f"\n    {bad.path}: {bad.reason}" for bad in unusable[:5])
    raise DataError(
        f"{len(unusable)} of {found} files cannot be used, more than data.max_bad_fraction="
        f"{settings.max_bad_fraction:g} allows:{examples}\n{_save_listing(manifest, settings)}"
        "Repair or remove them, or raise data.max_bad_fraction."
    )


def _save_listing(manifest: Manifest, settings: DataSettings) -> str:
    """Where all bad files are listed, as a sentence; nothing if the cache cannot be written."""
    listing = settings.cache_dir / "bad_files.csv"
    try:
        with listing.open("wb") as file:
            write_bad_files(manifest.bad, file)
    except OSError:
        return ""
    return f"All of them are listed in {listing}. "
