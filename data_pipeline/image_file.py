"""Reads a file once, before anything is decoded: is it an image that can be used, and what does it say of itself."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_pipeline.dicom import is_dicom, read_facts
from data_pipeline.dicom_tags import DicomFacts, why_aside
from data_pipeline.headers import read_header
from data_pipeline.identity import CACHE, HASHED, Pseudonyms
from data_pipeline.manifest import BadFile, DataError, ImageRow

_CHUNK = 64  # files that a thread takes at a time: reading one costs less than handing it over


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A readable image file.

    Attributes:
        content_hash: sha256 of the file, hexadecimal.
        bits: As `ImageRow.bits`.
        dicom: What its tags say, if it is DICOM.
    """

    content_hash: str
    bits: int = 8
    dicom: DicomFacts | None = None


@dataclass(frozen=True)
class FileRules:
    """How files are read.

    Attributes:
        accept: Kinds of DICOM images that are used all the same: names of `data_pipeline.dicom_tags.REASONS`.
        pseudonyms: Hashes what names a patient.
        keeps_names: Whether names of files are recorded as they are although they name a patient: those of a public
            set, which name nobody.
    """

    accept: tuple[str, ...] = ()
    pseudonyms: Pseudonyms = field(default_factory=lambda: Pseudonyms(Path(CACHE).expanduser()))
    keeps_names: bool = False

    def shown(self, name: str, dicom: DicomFacts | None) -> str:
        """A path or an image id without what names the patient of a DICOM file."""
        if dicom is None or self.keeps_names:
            return name
        return self.pseudonyms.conceal(name, dicom.identifiers)


def read_image_file(path: str, image_id: str, rules: FileRules) -> ImageFile | BadFile:
    """A file's content hash, bits and tags, or why it is set aside.

    Args:
        path: The file.
        image_id: Its path below the data set's root.
        rules: Which DICOM images are used, and what hides their patients.
    """
    data = load_file(path, image_id)
    if isinstance(data, BadFile):
        return data
    if is_dicom(data):
        return _read_dicom(path, data, rules)
    header = read_header(data)
    if header.problem:
        return BadFile(path, header.problem)
    return ImageFile(hashlib.sha256(data).hexdigest(), header.bits)


def load_file(path: str, image_id: str) -> bytes | BadFile:
    """The content of a file that begins as an image does, or why it is set aside.

    Args:
        path: The file.
        image_id: The name that records show.
    """
    if not image_id.isprintable():  # such as names that are not UTF-8: no table or log could hold them
        return BadFile(printable(path), "the file name has characters that cannot be printed")
    if not os.path.isfile(path):  # reading a pipe would never end
        return BadFile(path, "not a file, or a link that leads nowhere")
    try:
        with open(path, "rb", buffering=0) as stream:
            data = stream.read()
    except OSError as error:
        return BadFile(path, f"cannot be read: {error.strerror}")
    if not data:
        return BadFile(path, "empty file")
    if not (is_dicom(data) or _is_image(data[:12])):
        return BadFile(path, "not a JPEG, PNG, BMP, TIFF, WebP or DICOM image")
    return data


def printable(path: str) -> str:
    """A path that every table and log can hold."""
    return path if path.isprintable() else ascii(path)[1:-1]


def read_image_files(files: Iterable[tuple[str, str]], rules: FileRules) -> Iterator[ImageFile | BadFile]:
    """`read_image_file` of many files, each a path and an image id, on several threads and in their order."""
    listed = list(files)
    chunks = [listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK)]
    with ThreadPoolExecutor() as threads:
        for read in threads.map(lambda chunk: [read_image_file(path, name, rules) for path, name in chunk], chunks):
            yield from read


def with_facts(row: ImageRow, file: ImageFile, rules: FileRules, patient_is_told: bool = False) -> ImageRow:
    """A row with what its DICOM file says of patient, view, sex and age; of the last three, what the row has is kept.

    Args:
        row: As its path or a table describes it.
        file: What the file says.
        rules: What hides the patient.
        patient_is_told: Whether the row's patient comes from the user, who may know better than the file.
    """
    facts = file.dicom
    if facts is None:
        return row
    concealed = rules.shown(row.image_id, facts)
    named = row.group.partition("/")[2] if row.names_patient and patient_is_told else facts.patient
    if named:
        group = f"{row.pool}/{named if named.startswith(HASHED) else rules.pseudonyms.patient(named)}"
    else:
        # a folder may be called by the patient's name
        group = rules.shown(row.group, facts) if row.names_patient else concealed
    return replace(
        row,
        image_id=concealed,
        group=group,
        view=row.view or facts.view,
        sex=row.sex or facts.sex,
        age=facts.age if row.age is None else row.age,
    )


def _read_dicom(path: str, data: bytes, rules: FileRules) -> ImageFile | BadFile:
    try:
        facts = read_facts(data)
    except DataError as error:
        return BadFile(path, str(error))
    reason = why_aside(facts, rules.accept)
    if reason is not None:
        return BadFile(rules.shown(path, facts), reason, by_rule=True)
    return ImageFile(hashlib.sha256(data).hexdigest(), dicom=facts)


def _is_image(head: bytes) -> bool:
    """Whether these first 12 bytes begin an image that OpenCV reads; the file's extension does not matter."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*")):
        return True
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"
