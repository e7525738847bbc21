"""Finds the patient of an image in its path: by a pattern, in names that are known, or as a folder a patient.

Kaggle's names: `person12_bacteria_34.jpeg` is an image of `person12`, `IM-0115-0001.jpeg` one of `IM-0115`,
`NORMAL2-IM-0427-0001.jpeg` one of `NORMAL2-IM-0427`. The two series of normal images are kept apart: hundreds of
numbers occur in both, and each series continues from the test folder into the train folder. Bacterial and viral images
of one number are kept together although they too look like two series (808 numbers of the train folder are in both, and
no number of one kind is in both train and test): a group too large costs nothing, a group too small leaks.

The original names at Mendeley, `BACTERIA-1008087-0001.jpeg`, have the patient's number in the middle; those of NIH's
ChestX-ray14, `00001303_001.png`, in front.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from data_pipeline.manifest import DataError

AUTO = "auto"
_KAGGLE = re.compile(r"(?:^|/)(person\d+|(?:NORMAL2-)?IM-\d+)[^/]*$", re.IGNORECASE)
_KNOWN = re.compile(
    r"(?:^|/)(?:(person\d+|(?:NORMAL2-)?IM-\d+)[^/]*|(?:BACTERIA|VIRUS|NORMAL)-(\d+)-\d+[^/]*|(\d{8})_\d{3}\.[^/.]+)$",
    re.IGNORECASE,
)
# Folders inside a class folder are patients where there are several and most hold no more images than patients have.
LEAST_FOLDERS = 3
MOST_PER_FOLDER = 20
_DEEPEST = 3


@dataclass(frozen=True)
class Patients:
    """How the patient of an image is found.

    Attributes:
        pattern: Its first group that matched is the patient, or the whole match where it has no group.
        folders: The folders, as paths below the data set's root, that are a patient each.
        is_told: Whether the pattern is the user's own, who may know better than what a file says of its patient.
    """

    pattern: re.Pattern[str]
    folders: frozenset[str] = field(default_factory=frozenset)
    is_told: bool = False

    def group_of(self, image_id: str, pool: str) -> str:
        """The patient as "pool/person1"; the image's own id where nothing tells.

        The pool belongs to it: a number in the train and in the test folder need not be the same person.
        """
        parts = image_id.split("/")
        for depth in range(1, len(parts)) if self.folders else ():
            if "/".join(parts[:depth]) in self.folders:
                return f"{pool}/{parts[depth - 1]}"
        found = self.pattern.search(image_id)
        if found is None:
            return image_id
        name = next((group for group in found.groups() if group), None) if self.pattern.groups else found[0]
        return f"{pool}/{name}" if name else image_id


def read_patients(patient: str | None, images: Iterable[tuple[str, str]]) -> Patients:
    """How the patients of a data set are found.

    Args:
        patient: A regular expression; AUTO for folders that are a patient each, then names as Kaggle, Mendeley and
            NIH have them; None for Kaggle's names alone, as runs did before there was a choice.
        images: Class folder and path below it, of every image.

    Raises:
        DataError: `patient` is no regular expression.
    """
    if patient is None:
        return Patients(_KAGGLE)
    if patient == AUTO:
        return Patients(_KNOWN, find_patient_folders(images))
    try:
        return Patients(re.compile(patient), is_told=True)
    except re.error as error:
        raise DataError(
            f"data.patient must be a regular expression such as '(\\d+)_'. Received: {patient!r} ({error}). Correct it."
        ) from error


def find_patient_folders(images: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The folders that are a patient each, as `CLASS FOLDER/patient 7`: those of a class that has enough small ones.

    In each class folder it is the first level with at least 3 folders of which most hold at most 20 images: above it
    lie folders for batches or hospitals, below it those for studies.

    Args:
        images: Class folder and path below it, of every image.
    """
    by_class: defaultdict[str, list[list[str]]] = defaultdict(list)
    for class_folder, inner in images:
        by_class[class_folder].append(inner.split("/")[:-1])
    found: set[str] = set()
    for class_folder, folders in by_class.items():
        for depth in range(1, _DEEPEST + 1):
            counts = Counter("/".join(parts[:depth]) for parts in folders if len(parts) >= depth)
            if len(counts) >= LEAST_FOLDERS and median(counts.values()) <= MOST_PER_FOLDER:
                found |= {f"{class_folder}/{name}" for name in counts}
                break
    return frozenset(found)
