"""Reads a DICOM file: what it says of the image and the patient, and the grey values as a viewer shows them.

The greys are those of pydicom's own functions: modality LUT or rescale, then the first VOI LUT or window, or the range
of the pixels where there is neither. They run once over the values that a pixel can have; the image is a look-up in
that table. Source: DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (padding).
"""

import io
import logging
import textwrap
import warnings
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dicom_tags import DicomFacts, find_age, find_view, text_of
from data_pipeline.manifest import DataError
from data_pipeline.opencv import MAX_MEGAPIXELS

if TYPE_CHECKING:
    from pydicom import Dataset

NO_PIXELS = "it holds no pixels"
_MAGIC = slice(128, 132)
# A file without a header begins with one of these groups, in little or big endian; the element and its length follow.
_FIRST_GROUPS = {b"\x08\x00": "little", b"\x02\x00": "little", b"\x00\x08": "big", b"\x00\x02": "big"}
_IDENTIFYING = ("PatientID", "PatientName", "PatientBirthDate", "OtherPatientIDs", "OtherPatientNames")
_TAGS = (
    *_IDENTIFYING,
    "SpecificCharacterSet", "Modality", "BodyPartExamined", "ViewPosition", "PatientPosition", "PatientOrientation",
    "ViewCodeSequence", "StudyDescription", "SeriesDescription", "ProtocolName", "PhotometricInterpretation",
    "NumberOfFrames", "Rows", "Columns", "PatientSex", "PatientAge", "StudyDate", "BurnedInAnnotation",
    "WindowCenter", "WindowWidth", "VOILUTSequence",
)  # fmt: skip


def is_dicom(data: bytes) -> bool:
    """Whether a file's content is DICOM, with its 132-byte header or without; the name of the file does not matter."""
    if data[_MAGIC] == b"DICM":
        return True
    order = _FIRST_GROUPS.get(data[:2])
    if order is None:
        return False
    # element 0000 to 00FF, and then either two letters (the type) or a length that a first element can have
    element, length = int.from_bytes(data[2:4], order), int.from_bytes(data[4:8], order)  # type: ignore[arg-type]
    typed = data[4:6].isalpha() and data[4:6].isupper()
    return element < 0x100 and (typed or (0 < length < 1024 and len(data) > length + 8))


def read_facts(data: bytes) -> DicomFacts:
    """What the tags of a DICOM file say; the pixels are not decoded.

    Args:
        data: The whole file.

    Raises:
        DataError: The file is damaged; the message is the reason.
    """
    dataset = _read(data, [*_TAGS, "PixelData"])
    try:
        return replace(_facts(dataset), guesses=_guesses(dataset, has_header=data[_MAGIC] == b"DICM"))
    except Exception as error:  # as in `render`
        raise DataError(f"damaged DICOM file: {type(error).__name__} in a tag") from error


def render(data: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The greys of a DICOM file's first frame, (height, width), black 0: what a viewer shows with its first window.

    uint8 with white 255 where a pixel is stored in 8 bits, otherwise uint16 with white 65,535. Padding is black.
    Colours become greys.

    Raises:
        DataError: There are no pixels, or they cannot be decoded; the message is the reason.
    """
    dataset = _read(data)
    if "PixelData" not in dataset:
        raise DataError(NO_PIXELS)
    megapixels = int(dataset.get("Rows", 0) or 0) * int(dataset.get("Columns", 0) or 0) / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise DataError(f"cannot be decoded: {megapixels:.0f} megapixels, above {MAX_MEGAPIXELS}")
    try:
        return _render(dataset)
    # pydicom and the codecs raise errors of many kinds for a file that breaks a rule; each means that it is unusable
    except Exception as error:
        raise DataError(f"cannot be decoded: {type(error).__name__}: {_in_short(error)}") from error


@cache
def _pydicom() -> ModuleType:
    """The module pydicom with our decoders, quiet about values that break a rule and can be read all the same."""
    import pydicom
    import pydicom.config

    from data_pipeline.dicom_codecs import register

    register()
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\.|data_pipeline\.dicom")
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    return pydicom


def _in_short(error: Exception) -> str:
    """An error's words on one line, cut between two of them."""
    return textwrap.shorten(str(error), 160, placeholder=" ...")


def _read(data: bytes, tags: list[str] | None = None) -> "Dataset":
    pydicom = _pydicom()
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=tags)
        meta = dataset.file_meta
        if "TransferSyntaxUID" not in meta:  # there was no header: what pydicom found out while reading
            implicit, little = dataset.original_encoding
            known = {(True, True): "ImplicitVRLittleEndian", (False, True): "ExplicitVRLittleEndian"}
            meta.TransferSyntaxUID = getattr(pydicom.uid, known.get((implicit, little), "ExplicitVRBigEndian"))
    except Exception as error:  # as in `render`
        raise DataError(f"damaged DICOM file: {_in_short(error)}") from error
    return dataset  # type: ignore[no-any-return]


def _facts(dataset: "Dataset") -> DicomFacts:
    identifiers = tuple(part for tag in _IDENTIFYING for part in _identifiers(tag, text_of(dataset, tag)))
    described = (text_of(dataset, tag) for tag in ("StudyDescription", "SeriesDescription", "ProtocolName"))
    return DicomFacts(
        patient=text_of(dataset, "PatientID"),
        identifiers=identifiers,
        modality=text_of(dataset, "Modality").upper(),
        body_part=text_of(dataset, "BodyPartExamined").upper(),
        description=" ".join(part for part in described if part),
        view=find_view(dataset),
        photometric=text_of(dataset, "PhotometricInterpretation").upper(),
        frames=int(text_of(dataset, "NumberOfFrames") or 1) if "PixelData" in dataset else 0,
        sex=text_of(dataset, "PatientSex").upper()[:1],
        age=find_age(dataset),
        text_in_pixels=text_of(dataset, "BurnedInAnnotation").upper() == "YES",
    )


def _guesses(dataset: "Dataset", has_header: bool) -> tuple[str, ...]:
    """What decoding has to guess, a sentence each."""
    found = [] if has_header else ["there is no DICOM header: its encoding is a guess"]
    if not (_has_voi_lut(dataset) or _has_window(dataset)):
        found.append("there is no window: its least value is black, its largest white")
    return tuple(found)


def _identifiers(tag: str, text: str) -> tuple[str, ...]:
    """The values of a tag, and of a name its parts as well; single letters name nobody."""
    if not tag.endswith(("Name", "Names")):
        return tuple(part for part in text.split("\\") if part)
    parts = text.replace("^", " ").replace("=", " ").replace("\\", " ").split()
    return tuple(part for part in parts if len(part) > 1)


def _render(dataset: "Dataset") -> NDArray[Any]:
    from pydicom.pixels.utils import pixel_array

    from data_pipeline.dicom_codecs import PLUGIN, is_available

    plugin = PLUGIN if is_available(dataset.file_meta.TransferSyntaxUID) else ""
    pixels = pixel_array(dataset, index=0, decoding_plugin=plugin)
    if pixels.ndim == 3:
        colours = pixels if pixels.dtype == np.uint8 else pixels // 257
        return np.rint(colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    if pixels.dtype.kind not in "ui" or pixels.dtype.itemsize > 2:
        raise DataError(f"pixels of type {pixels.dtype}, not whole numbers of up to 16 bits")
    padding = _padding(dataset, pixels)
    shown = pixels if padding is None else pixels[~padding]
    if not shown.size:
        raise DataError("all pixels are padding")
    low, high = int(shown.min()), int(shown.max())
    table = _grey_table(dataset, low, high, pixels.dtype)
    place = pixels if low == 0 else pixels.astype(np.int32) - low
    greys: NDArray[Any] = np.take(table, place, mode="clip")
    if padding is not None:
        greys[padding] = 0
    return greys


def _padding(dataset: "Dataset", pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which pixels are padding and no part of the image; None if none is."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(value), int(value if limit is None else limit)))
    padding = (pixels >= ends[0]) & (pixels <= ends[1])
    return padding if padding.any() else None


def _grey_table(dataset: "Dataset", low: int, high: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The grey of each stored value from `low` to `high`, uint8 or uint16 (high - low + 1,), over its whole range."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    top = np.iinfo(np.uint8 if dtype.itemsize == 1 else np.uint16)
    values = apply_modality_lut(np.arange(low, high + 1).astype(dtype), dataset)
    if _has_voi_lut(dataset):
        whole = values if values.dtype.kind in "ui" else np.rint(values).astype(np.int32)
        shown = apply_voi(whole, dataset).astype(np.float64)
        darkest, brightest = 0.0, max(2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1, shown.max())
    elif _has_window(dataset):
        # values far outside the window have the first and the last grey
        with np.errstate(over="ignore"):
            shown = apply_windowing(np.append(values.astype(np.float64), [-1e12, 1e12]), dataset)
        shown, (darkest, brightest) = shown[:-2], sorted(shown[-2:])
    else:
        shown = values.astype(np.float64)
        darkest, brightest = shown.min(), shown.max()
    shares = np.clip((shown - darkest) / max(brightest - darkest, 1e-12), 0, 1)
    inverse = str(dataset.get("PresentationLUTShape", "")).strip().upper() == "INVERSE"
    # MONOCHROME1 comes with the shape INVERSE, which says the same and does not turn the greys back
    if inverse or str(dataset.get("PhotometricInterpretation", "")).strip().upper() == "MONOCHROME1":
        shares = 1 - shares
    greys: NDArray[Any] = np.rint(shares * top.max).astype(top.dtype)
    return greys


def _has_voi_lut(dataset: "Dataset") -> bool:
    luts = dataset.get("VOILUTSequence")
    return bool(luts) and luts[0].get("LUTDescriptor") is not None and luts[0].get("LUTData") is not None


def _has_window(dataset: "Dataset") -> bool:
    """Whether there is a window that can be applied: a width below 1 is written by faulty devices."""
    center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if center is None or width is None or center == "" or width == "":
        return False
    return float(width if isinstance(width, (int, float, str)) else width[0]) >= 1
