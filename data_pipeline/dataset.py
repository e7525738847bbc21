"""From settings to a data set ready for a search: found, decoded, checked and split, in one call."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.classes import AUTO
from data_pipeline.dicom_tags import REASONS
from data_pipeline.findings import TableSettings
from data_pipeline.folders import CLASSES, EXPECTED_LAYOUT, check_classes, scan_folder
from data_pipeline.identity import CACHE, HASHED, Pseudonyms
from data_pipeline.image_file import FileRules
from data_pipeline.looks import MOST_IMAGES, group_looks
from data_pipeline.manifest import (
    MULTICLASS,
    MULTILABEL,
    POOL,
    TASKS,
    TEST,
    VALIDATION,
    BadFile,
    DataError,
    ImageRow,
    Manifest,
)
from data_pipeline.manifest_file import write_bad_files
from data_pipeline.outside import OutsideSet, list_shared
from data_pipeline.preprocess import ImageSettings, PreparedImages, Progress, prepare_images
from data_pipeline.shards import ArraySource, HostDisks, open_images
from data_pipeline.sources import SAMPLE_NOTICE, locate
from data_pipeline.split import Split, SplitSettings, hold_out_test, split_pool
from data_pipeline.tables import is_table, scan_outside_table, scan_table

_SHOWN = 10  # of what a rule sets aside
_MISSING = {  # said of findings, by the part that has no image of them
    "train": "Findings without an image that trains, which are not learned",
    "validation": "Findings without an image in validation, which are left out of its mean scores",
}
TABLE_ADVICE = (
    "The table's rows name images below data.root, and data.classes gives each class findings that rows have: see the "
    "lines above, or python -m data_pipeline.scan FOLDER --labels TABLE."
)


@dataclass
class DataSettings:
    """Which images are used, how they are prepared and divided: the settings `data.*` of a search.

    Attributes:
        source: "sample" or "kaggle"; not looked at when `root` is given.
        root: A folder with images.
        labels: "two_class", "three_class" or "folders", or a table of labels: .csv, .tsv or .parquet.
        task: "multiclass" for images of one class each, or with a table "multilabel" for images of several findings.
        classes: With a table, from a class to the findings that make it, as `scan_table`.
        columns: With a table of no known format, as `data_pipeline.table_formats.read_table`.
        table: What becomes of rows of a table that do not name one class.
        patient: Where an image's path names the patient, as `data_pipeline.patients.read_patients`.
        positive: The positive one of two classes, as `data_pipeline.classes.order_classes`.
        size: Width and height that images are brought to, in pixels.
        channels: As in `ImageSettings`.
        interpolation: As in `ImageSettings`.
        keep_aspect: As in `ImageSettings`.
        split: How validation is drawn from the pool.
        max_bad_fraction: The share of unusable files above which the run stops.
        accept: Kinds of DICOM images that are used and not set aside: names of `data_pipeline.dicom_tags.REASONS`.
        cache: Folder of the prepared images, and of features.
        cache_gb: Of features on disk, and as many of images copied to a host, in GB.
        extra_tests: Outside test sets, from a name to a folder with one folder a class, or to a table of labels in the
            folder of its images.

    Raises:
        DataError: A value breaks its rule.
    """

    source: str = "sample"
    root: str | None = field(default=None, metadata={"reads": "path"})
    labels: str = field(default="two_class", metadata={"reads": "path"})
    task: str = MULTICLASS
    classes: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    table: TableSettings = field(default_factory=TableSettings)
    patient: str | None = field(default=AUTO, metadata={"reads": "text"})
    positive: str | None = field(default=AUTO, metadata={"reads": "text"})
    size: int = 224
    channels: int = 1
    interpolation: str = "area"
    keep_aspect: bool = False
    split: SplitSettings = field(default_factory=SplitSettings)
    max_bad_fraction: float = 0.01
    accept: list[str] = field(default_factory=list)
    cache: str = field(default=CACHE, metadata={"reads": "path"})
    cache_gb: float = 50.0
    extra_tests: dict[str, str] = field(default_factory=dict, metadata={"reads": "paths"})

    def __post_init__(self) -> None:
        _ = self.image  # checks it
        if not 0 <= self.max_bad_fraction <= 1:
            raise DataError(f"data.max_bad_fraction lies between 0 and 1. Received: {self.max_bad_fraction}.")
        if is_table(self.labels) and self.root is None:
            raise DataError(
                f"A table of labels needs the folder of its images. Received: data.labels={self.labels} without "
                "data.root. Add data.root=FOLDER."
            )
        for name in self.accept:
            if name not in REASONS:
                raise DataError(f"data.accept is a list of {', '.join(REASONS)}. Received: {name!r}. Correct it.")

        _check_task(self)

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may show several findings, or none."""
        return self.task == MULTILABEL

    @property
    def image(self) -> ImageSettings:
        """How an image file becomes an array."""
        return ImageSettings(self.size, self.channels, self.interpolation, self.keep_aspect)

    @property
    def file_rules(self) -> FileRules:
        """Which files are used, and what hides their patients."""
        return FileRules(tuple(self.accept), Pseudonyms(self.cache_dir))

    @property
    def cache_dir(self) -> Path:
        """The cache folder with ~ resolved."""
        return Path(self.cache).expanduser()


def _check_task(data: DataSettings) -> None:
    """Raise DataError unless the task is known and the other settings fit it."""
    if data.task not in TASKS:
        raise DataError(f"data.task is one of {', '.join(TASKS)}. Received: {data.task!r}. Correct it.")
    if not data.is_multilabel:
        return
    method = data.split.method
    for is_wrong, rule, received, step in (
        (
            not is_table(data.labels),
            "takes its labels from a table",
            f"data.labels={data.labels}",
            "Write data.labels=FILE.csv",
        ),
        (
            data.positive != AUTO,
            "has no positive class: every finding is one",
            f"data.positive={data.positive}",
            "Leave it out",
        ),
        (
            method != "stratified",
            "draws validation by finding (stratified)",
            f"data.split.method={method}",
            "Add data.split.method=stratified",  # a space may have set the other
        ),
    ):
        if is_wrong:
            raise DataError(f"data.task=multilabel {rule}. Received: {received}. {step}, or leave data.task out.")


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


def outside_notices(dataset: Dataset, settings: DataSettings) -> Iterator[str]:
    """What a user should be told of outside test sets, a line each: what they share with the pool comes last."""
    by_pattern = settings.patient not in (None, AUTO)
    for name, outside in dataset.extra_tests.items():
        yield from outside.notes
        yield from list_shared(name, outside, dataset.manifest, dataset.pool, by_pattern)


def list_notices(manifest: Manifest, split: Split, settings: DataSettings) -> tuple[str, ...]:
    """What a user should be told of the images, a line each."""
    notices = [SAMPLE_NOTICE] if settings.root is None and settings.source == "sample" else []
    if manifest.held_out:
        notices.append(f"There is no test folder: {len(manifest.test_rows)} images were held out as the test set.")
    notices += manifest.notes
    if manifest.unusable:
        first = manifest.unusable[0].reason
        notices.append(f"Files set aside: {len(manifest.unusable)}, the first because: {first}.")
    notices += _list_rules(manifest.bad)
    notices += _meaning_notices(manifest, settings)
    notices += _duplicate_notices(manifest, split, settings)
    notices += _patient_notices(manifest, settings)
    notices += _share_notices(manifest, split, settings.split)
    return tuple(notices)


def _meaning_notices(manifest: Manifest, settings: DataSettings) -> Iterator[str]:
    """Which class is the positive one, and which value is white, where the settings do not say."""
    classes = manifest.classes
    if (
        not manifest.is_multilabel
        and settings.labels not in CLASSES
        and settings.positive == AUTO
        and len(classes) == 2
    ):
        yield f"Positive class: {classes[1]}; {classes[0]} reads as normal. data.positive=NAME names another."
    if manifest.white:
        bits = manifest.white.bit_length()
        yield (
            f"White is {manifest.white:,} in all files of more than 8 bits a value: no value of the set needs more "
            f"than {bits} bits."
        )
    if manifest.cut:
        yield f"Test images with values above the pool's white, which are cut to it: {manifest.cut}."


def _duplicate_notices(manifest: Manifest, split: Split, settings: DataSettings) -> Iterator[str]:
    is_stated = any(row.part == VALIDATION for row in manifest.pool_rows)
    identical, alike = manifest.duplicates(), manifest.look_alikes()
    if identical.across_pools:
        yield f"Images that are byte-identical in the pool and in the test set: {len(identical.across_pools)}."
    if alike.across_pools:
        yield (
            f"Images that look alike in the pool and in the test set: {len(alike.across_pools)}, such as "
            f"{' and '.join(alike.across_pools[0][:2])}. Test scores are too good by them."
        )
    if identical.across_groups:
        yield f"Images that are byte-identical under several patients: {len(identical.across_groups)}."
    if alike.across_groups:
        stay = ", which stay on one side of the split" if settings.split.by_looks and not is_stated else ""
        yield (
            f"Images that look alike under several patients: {len(alike.across_groups)}{stay}, such as "
            f"{' and '.join(alike.across_groups[0][:2])}."
        )
    trains, validates = ({manifest.pool_rows[at].twin: at for at in side} for side in (split.train, split.validation))
    both = sorted(trains.keys() & validates.keys() - {""})
    if both and is_stated:
        pair = " and ".join(manifest.pool_rows[at].image_id for at in (trains[both[0]], validates[both[0]]))
        yield (
            f"Images that the table has validate, and that look like images that train: {len(both)}, such as {pair}. "
            "Validation scores are too good by them."
        )
    if len(manifest.rows) > MOST_IMAGES:
        yield f"Images that look alike are not searched for: there are more than {MOST_IMAGES:,}."


def _patient_notices(manifest: Manifest, settings: DataSettings) -> Iterator[str]:
    if manifest.patient_folders:
        yield (
            f"Folders inside class folders are a patient each: {manifest.patient_folders}. "
            "data.patient=REGEX names patients otherwise."
        )
    nameless = sum(not row.names_patient for row in manifest.rows)
    if nameless:
        yield (
            f"Images whose name does not tell the patient, and which may stand on both sides of a split: {nameless} of "
            f"{len(manifest.rows)}. data.patient=REGEX tells where a name has it."
        )
    # Kaggle's numbers may begin anew in its test folder; a pattern, a folder, a table and DICOM name one person each
    tells = settings.patient not in (None, AUTO) or manifest.patient_folders
    shared = [name for name in manifest.shared_patients() if tells or name.startswith(HASHED)]
    if shared:
        yield f"Patients in the pool and in the test set as well: {len(shared)}."


def _share_notices(manifest: Manifest, split: Split, settings: SplitSettings) -> Iterator[str]:
    """What validation takes of a class where that is not what was asked for, or much."""
    if settings.folds is not None:
        return
    if settings.method == "stratified" and settings.fraction is not None and settings.fraction > 1 / 3:
        yield f"Validation takes a third of each class and not data.split.fraction={settings.fraction:g} of it."
    whole, counts = manifest.counts()[POOL], split.counts(manifest)["validation"]
    if manifest.is_multilabel:
        for part in ("train", "validation"):
            missing = [
                name for name, each in zip(manifest.classes, split.counts(manifest)[part], strict=True) if not each
            ]
            if missing:
                yield f"{_MISSING[part]}: {', '.join(missing)}."
        always = [name for name, each in zip(manifest.classes, counts, strict=True) if each == len(split.validation)]
        if always:
            yield f"Findings of each image in validation, which are left out of its mean AUC: {', '.join(always)}."
        return
    for name, validating, all_of_it in zip(manifest.classes, counts, whole, strict=True):
        if 2 * validating > all_of_it:
            yield (
                f"More than half of class {name} validates and does not train: {validating} of {all_of_it} images. "
                "data.split.fraction lowers it; data.split.method=stratified takes a third at most."
            )


def _list_rules(bad: Sequence[BadFile]) -> Iterator[str]:
    """What was set aside by a rule, a line for each rule with the first ten."""
    by_reason: dict[str, list[str]] = {}
    for each in bad:
        if each.by_rule:
            by_reason.setdefault(each.reason, []).append(Path(each.path).name)
    for reason, names in by_reason.items():
        first = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        yield f"Set aside, {len(names)}: {reason} ({first})."


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
    notes = [*listed.notes, *_list_rules(checked.bad)]
    if unknown:
        notes.append(f"No row of its table has {', '.join(unknown)}: these are not scored there.")
    return OutsideSet(checked.rows, prepared, unknown, tuple(f"Outside set {name}: {note}" for note in notes))


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
