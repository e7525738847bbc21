"""Labels images by a table: finds each image by its name below a folder, and gives it its row's labels.

An image has one class, or as many of several findings as it shows (MULTILABEL).

Every row without an image, every file without a row and every row without one class is set aside by a rule that a
setting changes; all of them are counted.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_pipeline.findings import (
    Classes,
    TableSettings,
    finding_key,
    findings_of,
    label_of,
    outside_classes,
    read_classes,
    read_findings,
)
from data_pipeline.folders import walk_files
from data_pipeline.image_file import FileRules, ImageFile, printable, read_image_files, with_facts
from data_pipeline.manifest import (
    MULTICLASS,
    MULTILABEL,
    POOL,
    TEST,
    TRAIN,
    VALIDATION,
    BadFile,
    DataError,
    ImageRow,
    Manifest,
)
from data_pipeline.patients import read_patients
from data_pipeline.table_formats import LabelRow, LabelTable, read_table
from data_pipeline.views import is_frontal

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".webp")
_NO_IMAGES = (*TABLE_SUFFIXES, ".txt", ".md", ".json", ".html", ".pdf", ".zip", ".gz")
_RADIOGRAPHS = ("", "x-ray", "xray", "xr", "cr", "dx", "rg")
_SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


def is_table(labels: str) -> bool:
    """Whether data.labels names a table and no scheme of folders."""
    return labels.lower().endswith(TABLE_SUFFIXES)


def scan_table(
    root: Path,
    file: Path,
    classes: Mapping[str, Any],
    columns: Mapping[str, str],
    settings: TableSettings,
    patient: str | None,
    positive: str | None,
    rules: FileRules,
    task: str = MULTICLASS,
) -> Manifest:
    """The manifest of the images below `root` that a table labels, sorted by image id.

    Args:
        root: The folder below which images are looked for by name.
        file: The table, as `read_table`.
        classes: From a class to its findings; empty: each finding is a class, if no image has several. With several
            labels an image, the classes are what is told of each image, and the table's findings where empty.
        columns: As `read_table`.
        settings: What becomes of rows that do not name one class.
        patient: Where an image's path names the patient whom its row does not name, as
            `data_pipeline.patients.read_patients`.
        positive: The positive one of two classes, as `data_pipeline.classes.order_classes`.
        rules: Which DICOM images are used, and what hides patients.
        task: MULTICLASS, or MULTILABEL for images that may show several findings, or none.

    Raises:
        DataError: The table cannot be read, data.classes does not fit it, or no image is found.
    """
    table = read_table(file, columns)
    is_multilabel = task == MULTILABEL
    known = read_findings(table, classes) if is_multilabel else read_classes(table, classes, positive)
    return _label_images(root, file, table, known, settings, patient, rules, task)


def scan_outside_table(
    file: Path,
    names: Sequence[str],
    classes: Mapping[str, Any],
    columns: Mapping[str, str],
    settings: TableSettings,
    patient: str | None,
    rules: FileRules,
    task: str = MULTICLASS,
) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest of an outside set: the images below a table's own folder, labelled with the classes of a run.

    Args:
        file: The table, as `read_table`.
        names: The run's classes or findings, in the order of its labels.
        classes: From these to the findings that make them, as in `scan_table`; one that is not there is made of the
            finding of its name, and a class that reads as normal of all such findings (No Finding).
        columns: Of the run's own table; another one is read by those of them that it has, or recognised.
        settings: As the other arguments, those of `scan_table`.
        patient: As there.
        rules: As there.
        task: As there.

    Returns:
        The manifest, and the findings that no row of the table has: which images show them is not known.

    Raises:
        DataError: The table cannot be read, or lacks the findings of a class; of several findings an image, of each.
    """
    table = read_table(file, columns, is_other=True)
    known, unknown = outside_classes(table, names, classes, task)
    root = file.parent.resolve()
    return _label_images(root, file, table, known, settings, patient, rules, task, of_run=True), unknown


def _label_images(
    root: Path,
    file: Path,
    table: LabelTable,
    known: Classes,
    settings: TableSettings,
    patient: str | None,
    rules: FileRules,
    task: str,
    of_run: bool = False,
) -> Manifest:
    """The manifest of the images below `root` that a table labels.

    Args:
        root: As the other arguments, those of `scan_table`.
        file: As there.
        table: As it was read.
        known: Which findings make which class.
        settings: As there.
        patient: As there.
        rules: As there.
        task: As there.
        of_run: Whether the classes are those of a run; otherwise findings that no image of the pool shows are left out.

    Raises:
        DataError: Rows or images are unmatched, and that is to stop.
    """
    is_multilabel = task == MULTILABEL
    rules = replace(rules, keeps_names=table.is_public)
    patients = read_patients(patient, ())
    matched, bad = _match(table, root, rules)
    if settings.unmatched == "stop" and bad:
        raise DataError(
            f"With data.table.unmatched=stop every row has an image and every image a row. Received: {len(bad)} that "
            f"do not, such as {bad[0].path} ({bad[0].reason}). Complete them, or leave data.table.unmatched out."
        )
    divided = {_SPLITS.get(row.split) for row, _ in matched}
    labelled: list[tuple[LabelRow, str, frozenset[int]]] = []
    read_labels = findings_of if is_multilabel else label_of
    for row, path in matched:
        label = _why_not(row, divided != {None}, rules) or read_labels(row, known, settings)
        if isinstance(label, str):
            bad.append(BadFile(_shown(path, row, rules), label, by_rule=True))
        else:
            labelled.append((row, path, label if isinstance(label, frozenset) else frozenset({label})))
    missing: tuple[str, ...] = ()
    if is_multilabel and not of_run:
        known, labelled, missing = _shown_only(known, labelled)
    rows = []
    reads = read_image_files(((str(root / path), path) for _, path, _ in labelled), rules)
    for (row, path, labels), read in zip(labelled, reads, strict=True):
        if isinstance(read, BadFile):
            bad.append(replace(read, path=_shown(read.path, row, rules)))
        else:
            image = _image_row(row, root, path, read, VALIDATION in divided, rules)
            if is_multilabel:
                image = replace(image, findings=tuple(sorted(labels)))
            else:
                image = replace(image, label=min(labels))
            if not row.patient:
                image = replace(image, group=patients.group_of(image.image_id, image.pool))
            rows.append(with_facts(image, read, rules, bool(row.patient) or patients.is_told))
    rows.sort(key=lambda row: row.image_id)
    notes = _notes(table, file, known, len(matched), rows, is_multilabel)
    words = sorted({row.split for row, _ in matched if row.split})
    if words and divided == {None}:
        notes += (f"The table's splits are not obeyed, as none is train, validation or test: {', '.join(words[:5])}.",)
    if is_multilabel and not of_run:
        notes += _finding_notes(known, missing)
    bad.sort(key=lambda each: each.path)
    return Manifest(str(root), known.names, tuple(rows), tuple(bad), notes=notes, task=task)


def _shown_only(
    classes: Classes, labelled: Sequence[tuple[LabelRow, str, frozenset[int]]]
) -> tuple[Classes, list[tuple[LabelRow, str, frozenset[int]]], tuple[str, ...]]:
    """The findings that some image of the pool shows, the images labelled by these, and the names of those left out."""
    of_pool = (labels for row, _, labels in labelled if _SPLITS.get(row.split) != TEST)
    kept = sorted(frozenset[int]().union(*of_pool))
    place = {label: at for at, label in enumerate(kept)}
    shown = Classes(
        names=tuple(classes.names[label] for label in kept),
        by_finding={finding: place[label] for finding, label in classes.by_finding.items() if label in place},
        listed=tuple(place[label] for label in classes.listed if label in place),
        rest=None if classes.rest is None else place.get(classes.rest),
    )
    rows = [(row, path, frozenset(place[each] for each in labels if each in place)) for row, path, labels in labelled]
    return shown, rows, tuple(name for label, name in enumerate(classes.names) if label not in place)


def _finding_notes(classes: Classes, missing: Sequence[str]) -> tuple[str, ...]:
    """What is said of the findings on the screen."""
    told = f"Several labels an image: each of {len(classes.names)} findings is predicted by itself."
    left_out = f"Findings of no image that could train, which are left out: {', '.join(missing)}."
    return (told, left_out) if missing else (told,)


def _why_not(row: LabelRow, is_divided: bool, rules: FileRules) -> str | None:
    """Why an image is not used, whatever its label."""
    if not is_frontal(row.view) and "view" not in rules.accept:
        return f"the view {row.view} is not frontal"
    if row.modality.lower() not in _RADIOGRAPHS and "modality" not in rules.accept:
        return f"modality {row.modality} is no radiograph"
    if is_divided and row.split not in _SPLITS:
        return f"the split {row.split!r} is not train, validation or test"
    return None


def _match(table: LabelTable, root: Path, rules: FileRules) -> tuple[list[tuple[LabelRow, str]], list[BadFile]]:
    """Each row with the path of its image below `root`, and the rows and files that stay alone."""
    files: dict[str, list[str]] = {}
    paths, bad = _list_files(root)
    for path in paths:
        files.setdefault(_stem(path.rpartition("/")[2]), []).append(path)
    matched: dict[str, LabelRow] = {}
    for row in table.rows:
        found = _find(row.image, files)
        if len(found) == 1 and found[0] not in matched:
            matched[found[0]] = row
            continue
        reason = "a row without an image below data.root"
        if found:
            reason = "a row whose name several images have" if len(found) > 1 else "a second row for one image"
        bad.append(BadFile(_shown(row.image, row, rules), reason, by_rule=True))
    alone = (path for paths in files.values() for path in paths if path not in matched)
    bad += [BadFile(printable(path), "an image without a row in the table", by_rule=True) for path in alone]
    return [(row, path) for path, row in matched.items()], bad


def _list_files(root: Path) -> tuple[list[str], list[BadFile]]:
    """Paths below `root` of all files that may be images, sorted, and the folders that cannot be read."""
    paths: list[str] = []
    bad: list[BadFile] = []
    for found in walk_files(root):
        if isinstance(found, BadFile):
            bad.append(found)
        elif not found.lower().endswith(_NO_IMAGES):
            paths.append(Path(found).relative_to(root).as_posix())
    return sorted(paths), bad


def _find(reference: str, files: Mapping[str, Sequence[str]]) -> list[str]:
    """The files that a row means: of those of its name, with any suffix, the ones in the most folders that it names."""
    *folders, name = reference.split("/")
    candidates = files.get(_stem(name), ())

    def fit(path: str) -> tuple[int, bool]:
        *own, last = path.split("/")
        pairs = zip(reversed(own), reversed(folders), strict=False)
        common = next(
            (place for place, (mine, theirs) in enumerate(pairs) if mine != theirs), min(len(own), len(folders))
        )
        return common, last == name

    best = max(map(fit, candidates), default=None)
    return [path for path in candidates if fit(path) == best]


def _stem(name: str) -> str:
    """A file's name without the suffix of an image; an identifier may hold dots."""
    suffix = os.path.splitext(name)[1]
    return name[: -len(suffix)] if suffix.lower() in _IMAGE_SUFFIXES else name


def _shown(path: str, row: LabelRow, rules: FileRules) -> str:
    """A path or name without the patient that the row names, unless the set is public."""
    return printable(path if rules.keeps_names else rules.pseudonyms.conceal(path, [row.patient]))


def _image_row(row: LabelRow, root: Path, path: str, read: ImageFile, is_split: bool, rules: FileRules) -> ImageRow:
    """An image without its labels."""
    part = _SPLITS.get(row.split)
    pool = TEST if part == TEST else POOL
    image_id = _shown(path, row, rules)
    return ImageRow(
        image_id=image_id,
        path=str(root / path),
        pool=pool,
        label=-1,
        group=f"{pool}/{rules.pseudonyms.patient(row.patient)}" if row.patient else image_id,
        content_hash=read.content_hash,
        bits=read.bits,
        view=row.view,
        sex=row.sex,
        age=row.age,
        part=part or "" if is_split and pool == POOL else "",
    )


def _notes(
    table: LabelTable, file: Path, classes: Classes, matched: int, rows: Sequence[ImageRow], is_multilabel: bool
) -> tuple[str, ...]:
    """What is said of the table on the screen."""
    findings: dict[int, list[str]] = {label: [] for label in range(len(classes.names))}
    for finding, label in classes.by_finding.items():
        findings[label].append(finding)
    if classes.rest is not None:
        findings[classes.rest].append("all others")
    made_of = "; ".join(
        name if findings[label] == [finding_key(name)] else f"{name}: {', '.join(findings[label])}"
        for label, name in enumerate(classes.names)
    )
    present = {finding_key(finding) for row in table.rows for finding in row.present | row.uncertain}
    missing = sorted(classes.by_finding.keys() - present)
    notes = [
        f"Labels of {file.name} ({table.format}): {len(table.rows):,} images in the table, {matched:,} of them here, "
        f"{len(rows):,} used.",
        *table.notes,
        f"{'Findings' if is_multilabel else 'Classes'}, {made_of}.",
        *([f"Findings of data.classes that no row has: {', '.join(missing)}."] if missing else []),
    ]
    parts = Counter(row.part or row.pool for row in rows)
    if parts[VALIDATION] or parts[TEST]:
        patients = {
            part: {row.group for row in rows if row.part == part and row.names_patient} for part in (TRAIN, VALIDATION)
        }
        both = len(patients[TRAIN] & patients[VALIDATION])
        notes.append(
            f"The table divides the images: {', '.join(f'{part} {count:,}' for part, count in sorted(parts.items()))}"
            f"{f'; patients in both train and validation: {both}' if both else ''}."
        )
    return tuple(notes)
