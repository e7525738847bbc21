"""What the tags of a radiograph mean: its view, the patient's age, and why an image is set aside."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data_pipeline.views import FRONTAL, LATERAL, UNKNOWN, is_frontal, read_view

if TYPE_CHECKING:
    from pydicom import Dataset

MODALITIES = ("CR", "DX", "RG")
# DICOM's terms for how a patient lies; archives that were converted have the view in their place.
_POSITIONS = re.compile(r"(HF|FF|LF|RF|AF|PF)(P|S|DR|DL)|SITTING|STANDING|ERECT|SUPINE|PRONE", re.IGNORECASE)
_CHEST = re.compile(r"CHEST|THORA|LUNG|TORAX|TÓRAX|RIB CAGE AND LUNG", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"\b(ABDOMEN|ANKLE|ARM|ELBOW|FEMUR|FINGER|FOOT|HAND|HEAD|HIP|HUMERUS|JAW|KNEE|LEG|NECK|PELVIS|SHOULDER|SINUS|SKULL|"
    r"SPINE|TEETH|TIBIA|TOOTH|WRIST)\b",
    re.IGNORECASE,
)
_UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # in years


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """What a DICOM file's tags say; texts are empty where it does not say them.

    Attributes:
        patient: PatientID. It must not be recorded as it is: `data_pipeline.identity` hashes it.
        identifiers: The values that name the patient, which no record may show: numbers, names, date of birth.
        modality: Such as CR, DX or CT.
        body_part: BodyPartExamined.
        description: Of the study and the series, and the protocol's name.
        view: As `data_pipeline.views.read_view`.
        photometric: PhotometricInterpretation.
        frames: The number of images; 0 where the file has none.
        sex: M, F or O.
        age: In years; None where the file does not say it.
        text_in_pixels: Whether the file says that the pixels hold text which may name the patient.
        guesses: What the file leaves open and decoding has to guess, a sentence each.
    """

    patient: str = field(repr=False)
    identifiers: tuple[str, ...] = field(repr=False)
    modality: str
    body_part: str
    description: str
    view: str
    photometric: str
    frames: int
    sex: str
    age: float | None
    text_in_pixels: bool
    guesses: tuple[str, ...] = ()


def why_aside(facts: DicomFacts, accept: tuple[str, ...]) -> str | None:
    """Why an image is not used, None if it is; `accept` names reasons of `REASONS` that do not count."""
    if facts.frames == 0:
        return "DICOM file without pixels"
    return next(iter(oddities(facts, accept)), None)


def oddities(facts: DicomFacts, accept: tuple[str, ...]) -> list[str]:
    """Each respect in which an image is no frontal radiograph of a chest; `accept` as in `why_aside`."""
    applying = (
        ("modality", facts.modality not in ("", *MODALITIES)),
        ("body_part", not _shows_chest(facts)),
        ("view", not is_frontal(facts.view)),
        ("frames", facts.frames > 1),
        ("colour", not facts.photometric.startswith("MONOCHROME")),
        ("text", facts.text_in_pixels),
    )
    part = facts.body_part or "by its description"
    return [
        REASONS[name].format(facts=facts, part=part) for name, applies in applying if applies and name not in accept
    ]


# What `data.accept` may take in, and the reason otherwise.
REASONS = {
    "modality": "modality {facts.modality} is no radiograph (CR, DX or RG)",
    "body_part": "not of the chest: {part}",
    "view": "the view {facts.view} is not frontal",
    "frames": "{facts.frames} frames in one file",
    "colour": "{facts.photometric} is not grey",
    "text": "its pixels hold text that may name the patient (BurnedInAnnotation)",
}


def find_view(dataset: "Dataset") -> str:
    """The view, as `read_view`, by the first of position, view code, orientation and description to say it."""
    stated = text_of(dataset, "ViewPosition")
    position = text_of(dataset, "PatientPosition")
    if not stated and not _POSITIONS.fullmatch(position):
        stated = position
    if stated:
        return read_view(stated)
    for item in dataset.get("ViewCodeSequence") or ():
        if found := read_view(text_of(item, "CodeMeaning")):
            return found
    # rows run to the patient's left or right in a frontal image, to the front or the back in a lateral one
    direction = text_of(dataset, "PatientOrientation")[:1].upper()
    if direction and direction in "LRAP":
        return FRONTAL if direction in "LR" else LATERAL
    described = f"{text_of(dataset, 'SeriesDescription')} {text_of(dataset, 'ProtocolName')}"
    return LATERAL if re.search(r"\b(LAT|LATERAL)\b", described, re.IGNORECASE) else UNKNOWN


def find_age(dataset: "Dataset") -> float | None:
    """The patient's age in years, as stated or from the dates of birth and study; None if not said."""
    stated = re.fullmatch(r"(\d{1,3})([YMWD]?)", text_of(dataset, "PatientAge").upper())
    if stated:
        return round(int(stated[1]) * _UNITS[stated[2] or "Y"], 2)
    born, studied = text_of(dataset, "PatientBirthDate"), text_of(dataset, "StudyDate")
    if not (re.fullmatch(r"\d{8}", born) and re.fullmatch(r"\d{8}", studied)):
        return None
    years = int(studied[:4]) - int(born[:4]) - (studied[4:] < born[4:])
    return float(years) if 0 <= years <= 120 else None


def text_of(dataset: "Dataset", tag: str) -> str:
    """A tag's value as text, several joined by a backslash as DICOM writes them; empty where there is none."""
    value = dataset.get(tag)
    if value is None:
        return ""
    several = not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "components")
    return "\\".join(map(str, value)) if several else str(value).strip()


def _shows_chest(facts: DicomFacts) -> bool:
    """Whether an image is of the chest, by its body part or, where that is blank, unless the description denies it."""
    if facts.body_part:
        return bool(_CHEST.search(facts.body_part))
    return bool(_CHEST.search(facts.description)) or not _ELSEWHERE.search(facts.description)
