"""Reads a folder of images into a manifest: label, patient and content hash of each; nothing is decoded here."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.classes import order_classes
from data_pipeline.identity import is_hashed
from data_pipeline.image_file import FileRules, printable, read_image_files, with_facts
from data_pipeline.manifest import POOL, TEST, BadFile, DataError, ImageRow, Manifest
from data_pipeline.patients import AUTO, LEAST_FOLDERS, MOST_PER_FOLDER, Patients, read_patients

LABEL_SCHEMES = ("two_class", "three_class", "folders")

EXPECTED_LAYOUT = """\
Expected is one folder per class, with or without train and test above:

    FOLDER/
        train/
            NORMAL/     IM-0115-0001.jpeg ...
            PNEUMONIA/  person1_bacteria_1.jpeg, person3_virus_16.jpeg ...
        val/            (joins train; may be missing)
        test/           (if missing, a part of the images is held out)

How to get the data: data=kaggle downloads the full set, data=sample is the small one that ships with the
project; data.labels=folders reads any other images, one folder a class."""

CLASSES = {"two_class": ("normal", "pneumonia"), "three_class": ("normal", "bacterial", "viral")}
_BY_FILE_NAME = ""  # the folder holds several classes: the file name shows which
_FOLDER_CLASSES = {
    "two_class": {"normal": "normal"}
    | dict.fromkeys(("pneumonia", "bacteria", "bacterial", "virus", "viral"), "pneumonia"),
    "three_class": {
        "normal": "normal",
        "pneumonia": _BY_FILE_NAME,
        "bacteria": "bacterial",
        "bacterial": "bacterial",
        "virus": "viral",
        "viral": "viral",
    },
}
KINDS = {"bacteria": "bacterial", "virus": "viral"}  # the word in a file name, and the class
_POOL_FOLDERS = dict.fromkeys(("train", "training", "val", "valid", "validation"), POOL)
_POOL_FOLDERS |= dict.fromkeys(("test", "testing"), TEST)
_SYSTEM_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class _File:
    """A file in a class folder, not read yet."""

    path: str
    image_id: str
    pool: str
    folder_class: str  # a class, or _BY_FILE_NAME
    class_folder: str  # as a path below the root


def scan_folder(
    root: Path,
    labels: str = "two_class",
    patient: str | None = AUTO,
    positive: str | None = AUTO,
    rules: FileRules | None = None,
    is_other: bool = False,
) -> Manifest:
    """The manifest of the images under `root`, sorted by image id, with the unusable files set aside.

    Args:
        root: Kaggle's layout (train, val, test; also below chest_xray/chest_xray), or one folder per class.
        labels: "two_class" (normal, pneumonia), "three_class" (normal, bacterial, viral), or "folders" (the
            folder names are the classes). The case of folder names is ignored.
        patient: Where an image's path below `root` names the patient, as `data_pipeline.patients.read_patients`. An
            image whose path does not is a patient of its own. The PatientID of a DICOM file comes before what the
            path says, but after a regular expression.
        positive: The positive one of two classes, as `data_pipeline.classes.order_classes`.
        rules: Which DICOM images are used, and what hides their patients; by default `FileRules()`.
        is_other: Whether `patient` is the pattern of another set: where it matches no path here, it is AUTO.

    With three_class, pneumonia files whose name does not say either bacteria or virus are set aside.

    Raises:
        DataError: Nothing was found, a class has no image, the labels are unknown, `patient` matches no path, or the
        positive class cannot be told.
    """
    rules = FileRules() if rules is None else rules
    if labels not in LABEL_SCHEMES:
        raise DataError(
            f"data.labels must be one of {', '.join(LABEL_SCHEMES)}. Received: {labels!r}. Choose one of these."
        )
    top = find_top(Path(root))
    folders = list(_list_class_folders(top))
    # several spellings of one folder name are one class, which has the first of them as its name
    spellings = {folder.name.casefold(): folder.name for folder, _ in sorted(folders, reverse=True)}
    folder_classes = _FOLDER_CLASSES.get(labels, spellings)
    names = CLASSES.get(labels, tuple(spellings.values()))
    classes = order_classes(names, positive) if labels == "folders" or positive not in (None, AUTO) else names

    files, bad = _list_files(top, folders, folder_classes)
    inner = [(file.class_folder, file.image_id[len(file.class_folder) + 1 :]) for file in files]
    patients = read_patients(patient, inner)
    if is_other and patients.is_told and not any(patients.pattern.search(file.image_id) for file in files):
        patients = read_patients(AUTO, inner)
    rows = []
    for found in _read_files(files, classes, patients, rules):
        if isinstance(found, ImageRow):
            rows.append(found)
        else:
            bad.append(found)
    bad += [
        BadFile(str(folder), f"folder is not one of the classes of data.labels={labels}, not read")
        for folder, _ in folders
        if folder.name.casefold() not in folder_classes
    ]
    rows.sort(key=lambda row: row.image_id)
    bad.sort(key=lambda each: each.path)
    # what a file says of its patient came before its folder
    by_folder = 0 if all(is_hashed(row.group) for row in rows) else len(patients.folders)
    notes = tuple(_folder_notes(rows, files)) if patient == AUTO else ()
    manifest = Manifest(str(top), classes, tuple(rows), tuple(bad), patient_folders=by_folder, notes=notes)
    check_classes(manifest)
    if patients.is_told and not any(row.names_patient for row in rows):
        raise DataError(
            f"data.patient must match the path of at least one image, such as {rows[0].image_id}. "
            f"Received: {patient!r}. Correct it, or leave data.patient out for names as Kaggle has them."
        )
    return manifest


def _folder_notes(rows: Sequence[ImageRow], files: Sequence[_File]) -> Iterator[str]:
    """Whether there are folders inside class folders that could be patients and were not taken for such."""
    nameless = {row.image_id for row in rows if not row.names_patient}
    folders = {file.image_id.rpartition("/")[0] for file in files if file.image_id in nameless}
    inner = sorted(folders - {file.class_folder for file in files})
    if inner:
        yield (
            f"Folders inside class folders that are not taken for a patient each: {len(inner)}, such as {inner[0]}; "
            f"that needs {LEAST_FOLDERS} in a class, most of them of at most {MOST_PER_FOLDER} images. "
            "data.patient='([^/]+)/[^/]+$' takes the folder of each image for its patient."
        )


def check_classes(manifest: Manifest, advice: str = EXPECTED_LAYOUT) -> None:
    """Raise DataError unless every class has images in the pool and, if there is a test set, in the test set.

    Of several findings an image, the pool has each, and the test set perhaps not.

    Args:
        manifest: Of the data set.
        advice: What ends the message.

    Raises:
        DataError: Nothing was found, there are fewer than two classes, or a class has no image.
    """
    reasons = "".join(f"\n    {bad.path}: {bad.reason}" for bad in manifest.bad[:5])
    aside = f"\n{len(manifest.bad)} set aside, among them:{reasons}" if manifest.bad else ""
    if not manifest.rows:
        raise DataError(f"No usable image was found in {manifest.root}.{aside}\n{advice}")
    if len(manifest.classes) < 2:
        raise DataError(
            f"At least two classes are needed. Received: {len(manifest.classes)} in {manifest.root}.{aside}\n{advice}"
        )
    for pool, counts in manifest.counts().items():
        missing = [name for name, count in zip(manifest.classes, counts, strict=True) if count == 0]
        if missing and (pool == POOL or (sum(counts) and not manifest.is_multilabel)):
            where = "the pool (train and val)" if pool == POOL else "the test set"
            raise DataError(
                f"Every class needs images. Received: {where} of {manifest.root} has none of: {', '.join(missing)}."
                f"{aside}\n{advice}"
            )


def find_top(root: Path) -> Path:
    """The folder at or below `root` that holds train, val, test or the class folders themselves.

    An unpacked archive often has a folder or two above them, as in chest_xray/chest_xray.
    """
    telling = _POOL_FOLDERS.keys() | _FOLDER_CLASSES["three_class"].keys()
    top = root
    # no archive is nested deeper, and a link to a folder above would never end
    for _ in range(4):
        folders = _list_folders(top)
        wrapping = [each for each in folders if each.name == "chest_xray"] or folders
        if any(each.name.casefold() in telling for each in folders) or len(wrapping) != 1:
            return top
        if not _list_folders(wrapping[0]):
            return top
        top = wrapping[0]
    return top


def _list_folders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if not _is_system_name(each.name) and each.is_dir())
    except OSError as error:
        raise DataError(
            f"The folder of the images must be readable. Received: {folder} ({error.strerror}). Check data.root."
        ) from error


def _is_system_name(name: str) -> bool:
    """Whether an operating system or an archive left this behind, such as .DS_Store and __MACOSX."""
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def _list_class_folders(top: Path) -> Iterator[tuple[Path, str]]:
    """The class folders and the pool of each."""
    folders = _list_folders(top)
    pools = [(each, _POOL_FOLDERS[each.name.casefold()]) for each in folders if each.name.casefold() in _POOL_FOLDERS]
    if not pools:
        yield from ((each, POOL) for each in folders)
    for folder, pool in pools:
        yield from ((each, pool) for each in _list_folders(folder))


def _list_files(
    top: Path, folders: Sequence[tuple[Path, str]], folder_classes: Mapping[str, str]
) -> tuple[list[_File], list[BadFile]]:
    """The files in the class folders, and the folders in them that are not read."""
    files: list[_File] = []
    bad: list[BadFile] = []
    places = [os.path.realpath(folder) for folder, _ in folders]
    for folder, pool in folders:
        folder_class = folder_classes.get(folder.name.casefold())
        if folder_class is None:
            continue
        class_folder = folder.relative_to(top).as_posix()
        for found in walk_files(folder, places):
            if isinstance(found, BadFile):
                bad.append(found)
            else:
                image_id = f"{class_folder}/{Path(found).relative_to(folder).as_posix()}"
                files.append(_File(found, image_id, pool, folder_class, class_folder))
    return files, bad


def walk_files(top: Path, class_places: Sequence[str] = ()) -> Iterator[str | BadFile]:
    """The files at and below a folder, linked folders last; a folder that two links lead to is read once.

    Args:
        top: Where to begin.
        class_places: Real paths of the class folders of a set, of which `top` is one.
    """
    own = os.path.realpath(top)
    seen: set[str] = set()
    folders, links = [str(top)], deque[str]()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        place = os.path.realpath(folder)
        if place in seen:
            continue
        seen.add(place)
        if place != own and any(_holds(place, each) or (_holds(each, place) and each != own) for each in class_places):
            yield BadFile(folder, "a link to other class folders of this set, not read")
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield BadFile(folder, f"folder cannot be read: {error.strerror}")
            continue
        for entry in entries:
            if _is_system_name(entry.name):
                continue
            if not _is_folder(entry):
                yield entry.path
            elif entry.is_symlink():
                links.append(entry.path)
            else:
                folders.append(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to itself leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _holds(folder: str, place: str) -> bool:
    """Whether a place is a folder or lies below it."""
    return place == folder or place.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _read_files(
    files: Sequence[_File], classes: Sequence[str], patients: Patients, rules: FileRules
) -> Iterator[ImageRow | BadFile]:
    """The row of each file in the manifest, or why it has none."""
    labelled: list[tuple[_File, str]] = []
    for file in files:
        label = _label_of(file)
        if isinstance(label, BadFile):
            yield label
        else:
            labelled.append((file, label))
    read_files = read_image_files(((file.path, file.image_id) for file, _ in labelled), rules)
    for (file, label), read in zip(labelled, read_files, strict=True):
        if isinstance(read, BadFile):
            yield read
            continue
        row = ImageRow(
            image_id=file.image_id,
            path=file.path,
            pool=file.pool,
            label=classes.index(label),
            group=patients.group_of(file.image_id, file.pool),
            content_hash=read.content_hash,
            bits=read.bits,
        )
        yield with_facts(row, read, rules, patients.is_told)


def _label_of(file: _File) -> str | BadFile:
    """The class of a file, or why it has none."""
    if file.folder_class != _BY_FILE_NAME:
        return file.folder_class
    kinds = {kind for word, kind in KINDS.items() if word in Path(file.image_id).name.lower()}
    if len(kinds) != 1:
        return BadFile(printable(file.path), "the name of a pneumonia file must say either bacteria or virus")
    return kinds.pop()
