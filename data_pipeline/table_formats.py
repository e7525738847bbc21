"""Reads the label tables that chest X-ray sets come with, recognised by their columns, into one form.

Sources: the label files themselves, and torchxrayvision's readers of them (github.com/mlmed/torchxrayvision).
"""

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.manifest import DataError
from data_pipeline.views import read_view

if TYPE_CHECKING:
    import pandas as pd

NO_FINDING = "No Finding"
COLUMNS = ("image", "label", "patient", "split", "view", "age", "sex")  # what `data.columns` may name
_NEEDED = {"image", "label"}
_CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
_SEVERAL = re.compile(r"[|;]")  # between the findings of one cell
_MISSING = ["nan", "NaN", "NAN", "<NA>"]  # as programs write an empty cell; NA and None may be meant as words


@dataclass(frozen=True)
class LabelRow:
    """What a table says of one image.

    Attributes:
        image: The file's name, perhaps with folders before it, with or without its suffix.
        present: Findings that the image shows.
        uncertain: Findings of which the table says that they are uncertain, or whose readers are divided.
        blank: Findings of which it says nothing; where the label's cell is empty, the empty text.
        patient: As the table names the patient; empty where it does not.
        split: As the table calls it, in lower case; empty where it does not divide.
        view: As `data_pipeline.views.read_view`.
        modality: Such as "X-ray" or "CT".
        sex: M, F, O, or empty.
        age: In years, or None.
    """

    image: str
    present: frozenset[str]
    uncertain: frozenset[str] = frozenset()
    blank: frozenset[str] = frozenset()
    patient: str = field(default="", repr=False)
    split: str = ""
    view: str = ""
    modality: str = ""
    sex: str = ""
    age: float | None = None


@dataclass(frozen=True)
class LabelTable:
    """A table in one form: the name of its format, its rows, one an image, and what should be said of them."""

    format: str
    rows: tuple[LabelRow, ...]
    is_public: bool  # a published set, whose names of files and patients name nobody
    notes: tuple[str, ...] = ()


def read_table(file: Path, columns: Mapping[str, str], is_other: bool = False) -> LabelTable:
    """The rows of a table of labels.

    Args:
        file: .csv, .tsv or .parquet; .gz may follow.
        columns: `COLUMNS` to the table's own names; empty for a format that is recognised.
        is_other: Whether `columns` are those of another table: what this one lacks of them is left out, and without
            the image's or the label's its format is to be recognised.

    Raises:
        DataError: The file cannot be read, lacks a named column, or is of no known format.
    """
    frame = _read_frame(file)
    names = set(frame.columns)
    if is_other:
        own = {key: column for key, column in columns.items() if column in names}
        columns = own if own.keys() >= _NEEDED else {}
    if columns:
        return LabelTable("columns named by data.columns", _read_named(frame, columns, file), is_public=False)
    for known in _FORMATS:
        if known.columns <= names:
            rows, notes = known.read(frame, file)
            return LabelTable(known.name, tuple(rows), known.is_public, tuple(notes))
    raise DataError(
        f"data.labels is a table of a known set, or data.columns names its columns. Received: {file} with the columns "
        f"{', '.join(sorted(map(str, names))[:20])}. Write data.columns={{image: COLUMN, label: COLUMN}}, and where "
        f"there are any: {', '.join(COLUMNS[2:])}."
    )


def _read_frame(file: Path) -> "pd.DataFrame":
    """The table as text, without blanks around names; missing values are empty.

    Raises:
        DataError: It cannot be read, or two columns have one name.
    """
    import pandas as pd

    name = file.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            frame = pd.read_parquet(file).astype("string")
        else:
            separator = "\t" if name.endswith(".tsv") else ","
            frame = pd.read_csv(
                file, sep=separator, dtype=str, keep_default_na=False, na_values=_MISSING, encoding="utf-8-sig"
            )
    except (OSError, ValueError, ImportError) as error:  # pandas' and PyArrow's errors of parsing are ValueErrors
        step = "Save it as UTF-8." if isinstance(error, UnicodeDecodeError) else "Check it."
        raise DataError(
            f"data.labels is a table: .csv, .tsv, .parquet. Received: {file} ({str(error).splitlines()[0]}). {step}"
        ) from error
    frame.columns = [str(column).strip() for column in frame.columns]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(
            f"Each column of a table has a name of its own. Received: {file} with several columns {twice[0]!r}. Rename "
            "or remove all but one."
        )
    return frame.fillna("").map(lambda value: str(value).strip())


def _read_named(frame: "pd.DataFrame", columns: Mapping[str, str], file: Path) -> tuple[LabelRow, ...]:
    for key, column in columns.items():
        if key not in COLUMNS or column not in frame.columns:
            raise DataError(
                f"data.columns gives {', '.join(COLUMNS)} a column of {file.name}, which has "
                f"{', '.join(map(str, frame.columns[:20]))}. Received: {key}: {column}. Correct it."
            )
    if not columns.keys() >= _NEEDED:
        raise DataError(
            f"data.columns names at least image and label. Received: {dict(columns)}. Add the missing one of "
            f"{', '.join(map(str, frame.columns[:20]))}."
        )
    return tuple(_joined(_text_rows(frame, {key: columns.get(key, "") for key in COLUMNS})))


def _text_rows(frame: "pd.DataFrame", columns: Mapping[str, str], split_cell: Any = None) -> list[LabelRow]:
    """A row for each line of a table whose findings stand in one cell as text."""
    findings_in = split_cell or (lambda cell: [part.strip() for part in _SEVERAL.split(cell)])
    rows = []
    for record in frame.to_dict("records"):
        said: dict[str, Any] = {key: str(record.get(column, "")) for key, column in columns.items()}
        present = frozenset(finding for finding in findings_in(said.pop("label")) if finding)
        rows.append(_row(said.pop("image"), present, blank=frozenset() if present else frozenset({""}), **said))
    return rows


def _flag_rows(
    frame: "pd.DataFrame", findings: Collection[str], columns: Mapping[str, str], none_means: str = ""
) -> list[LabelRow]:
    """A row for each line of a table with a column a finding: 1 present, 0 absent, -1 uncertain, blank not mentioned.

    Args:
        frame: The table.
        findings: Its columns.
        columns: As in `data.columns`, without label.
        none_means: The finding of a line whose values are all 0.
    """
    rows = []
    for record in frame.to_dict("records"):
        values = {finding: _number(record[finding]) for finding in findings}
        present = frozenset(finding for finding, value in values.items() if value is not None and value > 0)
        if none_means and all(value == 0 for value in values.values()):
            present = frozenset({none_means})
        uncertain = frozenset(finding for finding, value in values.items() if value is not None and value < 0)
        blank = frozenset(finding for finding, value in values.items() if value is None)
        said = {key: str(record.get(column, "")) for key, column in columns.items()}
        rows.append(_row(said.pop("image"), present, uncertain, blank, **said))
    return rows


def _row(
    image: str,
    present: frozenset[str],
    uncertain: frozenset[str] = frozenset(),
    blank: frozenset[str] = frozenset(),
    **said: str,
) -> LabelRow:
    return LabelRow(
        image.replace("\\", "/"),
        present,
        uncertain,
        blank,
        patient=said.get("patient", ""),
        split=said.get("split", "").lower(),
        view=read_view(said.get("view", "")),
        modality=said.get("modality", ""),
        sex=_sex(said.get("sex", "")),
        age=_age(said.get("age", "")),
    )


def _joined(rows: Collection[LabelRow]) -> list[LabelRow]:
    """One row an image: the findings of all its lines; the rest is that of the first."""
    by_image: dict[str, list[LabelRow]] = {}
    for row in rows:
        by_image.setdefault(row.image, []).append(row)
    return [_join(lines) for lines in by_image.values()]


def _join(lines: list[LabelRow]) -> LabelRow:
    if len(lines) == 1:
        return lines[0]
    present = frozenset[str]().union(*(line.present for line in lines))
    uncertain = frozenset[str]().union(*(line.uncertain for line in lines)) - present
    return replace(lines[0], present=present, uncertain=uncertain)


def _voted(rows: Collection[tuple[str, str, frozenset[str]]]) -> tuple[list[LabelRow], list[str]]:
    """One row an image by the majority of its readers; a finding that half of them see is uncertain.

    Args:
        rows: Image, reader and findings; a reader may have several lines.
    """
    seen: dict[str, dict[str, frozenset[str]]] = {}
    for image, reader, findings in rows:
        readers = seen.setdefault(image, {})
        readers[reader] = readers.get(reader, frozenset()) | findings
    voted, ties = [], 0
    for image, readers in seen.items():
        votes = {
            each: sum(each in seen_by for seen_by in readers.values()) for each in frozenset().union(*readers.values())
        }
        present = frozenset(finding for finding, count in votes.items() if 2 * count > len(readers))
        tied = frozenset(finding for finding, count in votes.items() if 2 * count == len(readers))
        ties += bool(tied)
        voted.append(LabelRow(image, present, tied))
    note = f"Each image has the findings of the majority of its readers. Uncertain, as readers tie: {ties}."
    return voted, [note]


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _sex(text: str) -> str:
    letter = text[:1].upper()
    return letter if letter in "MFO" else ""


def _age(text: str) -> float | None:
    """Years of 57, 057Y, 18M (months) or 10D (days)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([YMWD]?)", text.upper())
    if not found:
        return None
    return round(float(found[1]) * {"": 1, "Y": 1, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}[found[2]], 2)


_Read = tuple[Collection[LabelRow], Collection[str]]


def _read_nih(frame: "pd.DataFrame", file: Path) -> _Read:
    sex = "Patient Sex" if "Patient Sex" in frame.columns else "Patient Gender"
    columns = {
        "image": "Image Index", "label": "Finding Labels", "patient": "Patient ID", "age": "Patient Age", "sex": sex,
        "view": "View Position",
    }  # fmt: skip
    # the Kaggle sample pads the number with zeros
    frame = frame.assign(**{"Patient ID": frame["Patient ID"].str.lstrip("0").replace("", "0")})
    return _text_rows(frame, columns), ()


def _read_nih_flags(frame: "pd.DataFrame", file: Path) -> _Read:
    findings = [column for column in frame.columns if column not in ("Image", "PatientId", "")]
    return _flag_rows(frame, findings, {"image": "Image", "patient": "PatientId"}, none_means=NO_FINDING), ()


def _read_rsna(frame: "pd.DataFrame", file: Path) -> _Read:
    named = frame.assign(label=frame["Target"].map({"1": "Lung Opacity", "0": NO_FINDING}).fillna(""))
    rows = _joined(_text_rows(named, {"image": "patientId", "label": "label", "patient": "patientId"}))
    return rows, [f"A line is a box: {len(frame)} lines are {len(rows)} images. Target 1 is Lung Opacity."]


def _read_rsna_classes(frame: "pd.DataFrame", file: Path) -> _Read:
    columns = {"image": "patientId", "label": "class", "patient": "patientId"}
    # the name of one class holds a slash and no several findings
    return _joined(_text_rows(frame, columns, lambda cell: [cell])), ()


def _read_siim(frame: "pd.DataFrame", file: Path) -> _Read:
    named = frame.assign(label=["Pneumothorax" if mask != "-1" else NO_FINDING for mask in frame["EncodedPixels"]])
    return _joined(_text_rows(named, {"image": "ImageId", "label": "label"})), ()


def _read_chexpert(frame: "pd.DataFrame", file: Path) -> _Read:
    view = [
        ap if view == "Frontal" and ap else view
        for view, ap in zip(frame["Frontal/Lateral"], frame["AP/PA"], strict=True)
    ]
    patient = frame["Path"].str.extract(r"(patient\d+)", expand=False).fillna("")
    frame = frame.assign(view=view, patient=patient)
    columns = {"image": "Path", "patient": "patient", "view": "view", "age": "Age", "sex": "Sex"}
    return _flag_rows(frame, [name for name in _CHEXPERT if name in frame.columns], columns), ()


def _read_mimic(frame: "pd.DataFrame", file: Path) -> _Read:
    """Labels of studies, joined with the images of the metadata table and, if it is there, the split table."""
    metadata = _beside(file, "metadata")
    if metadata is None:
        raise DataError(
            "The labels of MIMIC-CXR are of studies; their images stand in mimic-cxr-2.0.0-metadata.csv.gz. Received: "
            f"{file} without a *metadata*.csv beside it. Put it there."
        )
    images = _read_frame(metadata)[["dicom_id", "study_id", "ViewPosition"]]
    joined = images.merge(frame, on="study_id", how="inner")
    notes = [f"Joined by study with {metadata.name}: {len(joined)} of its {len(images)} images have labels."]
    split = _beside(file, "split")
    if split is not None:
        joined = joined.merge(_read_frame(split)[["dicom_id", "split"]], on="dicom_id", how="left").fillna("")
        notes.append(f"Divided by {split.name}.")
    columns = {"image": "dicom_id", "patient": "subject_id", "view": "ViewPosition", "split": "split"}
    return _flag_rows(joined, [name for name in _CHEXPERT if name in joined.columns], columns), notes


def _beside(file: Path, word: str) -> Path | None:
    return next((each for each in sorted(file.parent.glob(f"*{word}*.csv*")) if each != file), None)


def _read_vindr_boxes(frame: "pd.DataFrame", file: Path) -> _Read:
    names = [NO_FINDING if name.lower() == NO_FINDING.lower() else name for name in frame["class_name"]]
    lines = zip(frame["image_id"], frame["rad_id"], names, strict=True)
    return _voted([(image, reader, frozenset({name})) for image, reader, name in lines])


def _read_vindr_flags(frame: "pd.DataFrame", file: Path) -> _Read:
    findings = [column for column in frame.columns if column not in ("image_id", "rad_id", "")]
    frame = frame.rename(columns={"No finding": NO_FINDING})
    findings = [NO_FINDING if name == "No finding" else name for name in findings]
    rows = _flag_rows(frame, findings, {"image": "image_id"})
    if "rad_id" not in frame.columns:
        return rows, ()
    return _voted([(row.image, reader, row.present) for row, reader in zip(rows, frame["rad_id"], strict=True)])


def _read_padchest(frame: "pd.DataFrame", file: Path) -> _Read:
    image = frame["ImageDir"] + "/" + frame["ImageID"]
    age = [
        _years_between(born, studied)
        for born, studied in zip(frame["PatientBirth"], frame["StudyDate_DICOM"], strict=True)
    ]
    frame = frame.assign(image=image, age=age)
    columns = {"image": "image", "label": "Labels", "patient": "PatientID", "age": "age", "sex": "PatientSex_DICOM",
               "view": "Projection"}  # fmt: skip
    return _text_rows(frame, columns, _list_in), ()


def _years_between(born: str, studied: str) -> str:
    years = [int(text[:4]) for text in (born, studied) if re.match(r"\d{4}", text)]
    return str(years[1] - years[0]) if len(years) == 2 and 0 <= years[1] - years[0] <= 120 else ""


def _list_in(cell: str) -> list[str]:
    """The texts of a Python list, as PadChest writes its labels; none where it is no list."""
    try:
        found = ast.literal_eval(cell) if cell else []
    except (ValueError, SyntaxError):
        return []
    return [str(each).strip() for each in found] if isinstance(found, list) else []


def _read_covid(frame: "pd.DataFrame", file: Path) -> _Read:
    frame = frame.assign(image=frame["folder"] + "/" + frame["filename"])
    columns = {"image": "image", "label": "finding", "patient": "patientid", "age": "age", "sex": "sex", "view": "view",
               "modality": "modality"}  # fmt: skip
    # "COVID-19, ARDS", and in later editions "Pneumonia/Viral/COVID-19"
    return _text_rows(
        frame, columns, lambda cell: [part.strip() for part in re.split(r"[,/]", cell) if part != "todo"]
    ), ()


@dataclass(frozen=True)
class _Format:
    name: str
    columns: frozenset[str]
    read: Callable[["pd.DataFrame", Path], _Read]
    is_public: bool = True


# The first whose columns are all there.
_FORMATS = (
    _Format("NIH ChestX-ray14", frozenset({"Image Index", "Finding Labels", "Patient ID"}), _read_nih),
    _Format("NIH ChestX-ray14, a column a finding", frozenset({"Image", "PatientId", "Hernia"}), _read_nih_flags),
    _Format("RSNA Pneumonia", frozenset({"patientId", "Target"}), _read_rsna),
    _Format("RSNA Pneumonia, detailed classes", frozenset({"patientId", "class"}), _read_rsna_classes),
    _Format("SIIM-ACR Pneumothorax", frozenset({"ImageId", "EncodedPixels"}), _read_siim),
    _Format("CheXpert", frozenset({"Path", "Frontal/Lateral", "AP/PA", "Pleural Other"}), _read_chexpert),
    _Format("MIMIC-CXR", frozenset({"subject_id", "study_id", "Pleural Other"}), _read_mimic),
    _Format("VinDr-CXR, boxes", frozenset({"image_id", "class_name", "rad_id"}), _read_vindr_boxes),
    _Format("VinDr-CXR, a column a finding", frozenset({"image_id", "Aortic enlargement"}), _read_vindr_flags),
    _Format("PadChest", frozenset({"ImageID", "ImageDir", "Labels", "PatientID", "Projection"}), _read_padchest),
    _Format("covid-chestxray", frozenset({"patientid", "finding", "filename", "folder"}), _read_covid),
)
