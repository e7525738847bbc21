"""DICOM files: recognised by content, shown as pydicom's own functions show them, set aside with a reason."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from data_pipeline.dicom import is_dicom, read_facts, render
from data_pipeline.dicom_tags import REASONS, why_aside
from data_pipeline.manifest import DataError
from data_pipeline.preprocess import ImageSettings, decode_image
from tests.data_pipeline.conftest import NORMAL
from tests.data_pipeline.dicom_files import BORN, PATIENT, make_dataset, sample_pixels, save


def content(dataset: Dataset, path: Path, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> bytes:
    return save(dataset, path / "image", syntax).read_bytes()


def shown_by_pydicom(dataset: Dataset) -> NDArray[np.float64]:
    """The greys in [0, 1] by pydicom's functions over all pixels, without a table."""
    values = apply_modality_lut(dataset.pixel_array, dataset)
    whole = np.rint(values).astype(int) if "VOILUTSequence" in dataset else values
    shown = apply_voi_lut(whole, dataset).astype(float)
    low, high = shown.min(), shown.max()
    if "VOILUTSequence" in dataset:
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowWidth" in dataset:
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        least = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
        low, high = (stored * slope + intercept for stored in (least, least + 2**dataset.BitsStored - 1))
    shares = (shown - low) / (high - low)
    return 1 - shares if dataset.PhotometricInterpretation == "MONOCHROME1" else shares


def lut(entries: int, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [entries, first, bits]
    item.LUTData = [round((place / (entries - 1)) ** 2 * (2**bits - 1)) for place in range(entries)]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    item.ModalityLUTType = "US"
    return Sequence([item])


@pytest.mark.parametrize(
    ("bits", "tags"),
    [
        (8, {}),
        (12, {}),
        (16, {}),
        (10, {"WindowCenter": 400, "WindowWidth": 500}),
        (12, {"WindowCenter": [2000, 100], "WindowWidth": [1500, 10]}),
        (12, {"WindowCenter": 2048, "WindowWidth": 3000, "VOILUTFunction": "SIGMOID"}),
        (12, {"WindowCenter": 1000, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}),
        (12, {"WindowCenter": 100, "WindowWidth": 900, "RescaleSlope": 0.5, "RescaleIntercept": -300}),
        (12, {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}),
        (12, {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 2048, "WindowWidth": 2500}),
        (10, {"VOILUTSequence": lut(1024, 0, 12), "WindowCenter": 5, "WindowWidth": 10}),
        (10, {"VOILUTSequence": lut(256, 300, 16), "RescaleSlope": 1, "RescaleIntercept": 0}),
        (10, {"ModalityLUTSequence": lut(1024, 0, 16)}),
    ],
)
def test_greys_are_those_of_pydicom(bits: int, tags: dict[str, Any], tmp_path: Path) -> None:
    dataset = make_dataset(sample_pixels(bits), bits, **tags)
    greys = render(content(dataset, tmp_path))
    top = 255 if bits == 8 else 65_535
    assert greys.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(greys / top - shown_by_pydicom(dataset)).max() <= 1 / top
    assert greys.std() > 0.05 * top


def test_signed_pixels_are_shown_like_unsigned_ones(tmp_path: Path) -> None:
    pixels = sample_pixels(12)
    window = {"WindowCenter": 1500, "WindowWidth": 2000}
    unsigned = render(content(make_dataset(pixels, **window), tmp_path))
    signed = make_dataset(pixels.astype(np.int16) - 2048, RescaleSlope=1, RescaleIntercept=2048, **window)
    assert np.abs(render(content(signed, tmp_path)).astype(int) - unsigned).max() <= 1


def test_monochrome1_is_its_inverse(tmp_path: Path) -> None:
    pixels = sample_pixels(12)
    inverse = make_dataset(4095 - pixels, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.array_equal(render(content(inverse, tmp_path)), render(content(make_dataset(pixels), tmp_path)))


def test_padding_is_black_and_does_not_stretch_the_range(tmp_path: Path) -> None:
    pixels = np.clip(sample_pixels(12), 100, 2000)
    pixels[:20] = 4095
    greys = render(content(make_dataset(pixels, PixelPaddingValue=4095), tmp_path))
    assert (greys[:20] == 0).all()
    assert greys[20:].max() == 65_535
    inverse = make_dataset(pixels, PixelPaddingValue=4095, PhotometricInterpretation="MONOCHROME1")
    assert (render(content(inverse, tmp_path))[:20] == 0).all()
    between = make_dataset(pixels, PixelPaddingValue=4095, PixelPaddingRangeLimit=1500)
    assert (render(content(between, tmp_path))[pixels >= 1500] == 0).all()


def test_a_window_without_width_is_not_used(tmp_path: Path) -> None:
    plain = render(content(make_dataset(sample_pixels()), tmp_path))
    assert np.array_equal(
        render(content(make_dataset(sample_pixels(), WindowCenter=5, WindowWidth=0), tmp_path)), plain
    )


@pytest.mark.parametrize(
    ("syntax", "bits", "tolerance"),
    [
        (uid.ImplicitVRLittleEndian, 12, 0),
        (uid.ExplicitVRBigEndian, 12, 0),
        (uid.DeflatedExplicitVRLittleEndian, 12, 0),
        (uid.RLELossless, 12, 0),
        (uid.RLELossless, 8, 0),
        (uid.JPEGLosslessSV1, 12, 0),
        (uid.JPEGLSLossless, 12, 0),
        (uid.JPEG2000Lossless, 12, 0),
        (uid.JPEG2000Lossless, 8, 0),
        (uid.JPEGBaseline8Bit, 8, 3),
        (uid.JPEGExtended12Bit, 12, 800),
    ],
)
def test_every_encoding_has_the_same_greys(syntax: uid.UID, bits: int, tolerance: int, tmp_path: Path) -> None:
    plain = render(content(make_dataset(sample_pixels(bits), bits), tmp_path)).astype(int)
    data = content(make_dataset(sample_pixels(bits), bits), tmp_path, syntax)
    assert read_facts(data).view == "PA"
    assert np.abs(render(data) - plain).max() <= tolerance


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_a_file_without_header_is_read(implicit: bool, little: bool, tmp_path: Path) -> None:
    dataset = make_dataset(sample_pixels(8), 8)
    plain = render(content(dataset, tmp_path))
    del dataset.file_meta
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    assert is_dicom(file.getvalue())
    assert read_facts(file.getvalue()).patient == PATIENT
    assert np.array_equal(render(file.getvalue()), plain)


def test_other_files_are_not_dicom() -> None:
    assert not any(
        map(
            is_dicom,
            (b"", b"\x08\x00", b"BM" + bytes(200), NORMAL[0].read_bytes(), b"patient,label\n" * 20, bytes(300)),
        )
    )


def test_facts_hold_what_a_set_needs(tmp_path: Path) -> None:
    facts = read_facts(content(make_dataset(sample_pixels()), tmp_path))
    assert (facts.patient, facts.view, facts.modality, facts.sex, facts.age) == (PATIENT, "PA", "DX", "F", 57)
    assert {PATIENT, BORN, "Erika", "Musterfrau"} == set(facts.identifiers)
    assert not any(each in repr(facts) for each in facts.identifiers)
    young = make_dataset(sample_pixels(), PatientAge="018M")
    assert read_facts(content(young, tmp_path)).age == 1.5
    dated = make_dataset(sample_pixels(), PatientAge=None, StudyDate="20200811")
    assert read_facts(content(dated, tmp_path)).age == 55


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({}, None),
        ({"ViewPosition": "AP SUPINE"}, None),
        ({"ViewPosition": None}, None),
        ({"ViewPosition": None, "PatientPosition": "HFS"}, None),
        ({"ViewPosition": None, "PatientPosition": "AP"}, None),
        ({"ViewPosition": None, "PatientOrientation": ["L", "F"]}, None),
        ({"BodyPartExamined": None, "StudyDescription": "thorax ap"}, None),
        ({"BodyPartExamined": "PORTABLE CHEST", "Modality": "CR"}, None),
        ({"ViewPosition": "LL"}, "view"),
        ({"ViewPosition": "LARGE LATERAL"}, "view"),
        ({"ViewPosition": "LLO"}, "view"),
        ({"ViewPosition": None, "PatientPosition": "XX"}, "view"),
        ({"ViewPosition": None, "PatientOrientation": ["A", "F"]}, "view"),
        ({"ViewPosition": None, "SeriesDescription": "Chest LAT"}, "view"),
        ({"Modality": "CT"}, "modality"),
        ({"BodyPartExamined": "HIP"}, "body_part"),
        ({"BodyPartExamined": None, "StudyDescription": "KNEE LEFT"}, "body_part"),
        ({"BurnedInAnnotation": "YES"}, "text"),
    ],
)
def test_what_is_no_frontal_chest_is_set_aside(tags: dict[str, Any], kind: str | None, tmp_path: Path) -> None:
    facts = read_facts(content(make_dataset(sample_pixels(), **tags), tmp_path))
    assert (why_aside(facts, ()) is not None) == (kind is not None)
    assert why_aside(facts, tuple(REASONS)) is None
    assert (why_aside(facts, tuple(set(REASONS) - {kind})) is not None) == (kind is not None)


def test_several_frames_colours_and_no_pixels(tmp_path: Path) -> None:
    pixels = np.stack([sample_pixels(), sample_pixels()[::-1]])
    frames = make_dataset(pixels, NumberOfFrames=2)
    frames.save_as(tmp_path / "frames", enforce_file_format=True)
    data = (tmp_path / "frames").read_bytes()
    assert why_aside(read_facts(data), ()) == "2 frames in one file"
    assert np.array_equal(render(data), render(content(make_dataset(pixels[0]), tmp_path)))

    colours = make_dataset(
        sample_pixels(8), 8, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0
    )
    colours.PixelData = np.repeat(sample_pixels(8)[:, :, None], 3, axis=2).tobytes()
    colours.save_as(tmp_path / "colours", enforce_file_format=True)
    data = (tmp_path / "colours").read_bytes()
    assert why_aside(read_facts(data), ()) == "RGB is not grey"
    assert np.array_equal(render(data), sample_pixels(8))

    empty = make_dataset(sample_pixels())
    del empty.PixelData
    empty.save_as(tmp_path / "empty", enforce_file_format=True)
    data = (tmp_path / "empty").read_bytes()
    assert why_aside(read_facts(data), tuple(REASONS)) == "DICOM file without pixels"
    with pytest.raises(DataError, match="no pixels"):
        render(data)


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    data = content(make_dataset(sample_pixels()), tmp_path)
    with pytest.raises(DataError, match=r"cannot be decoded: .*less than expected.*[a-z] \.\.\.$"):
        render(data[: len(data) // 2])  # a long reason ends with a whole word
    with pytest.raises(DataError, match=r"DICOM|pixels"):
        render(data[:300])


def test_a_tag_that_is_no_number_is_told(tmp_path: Path) -> None:
    data = content(make_dataset(sample_pixels(), NumberOfFrames=12), tmp_path)
    with pytest.raises(DataError, match="damaged DICOM file: ValueError in a tag"):
        read_facts(data.replace(b"IS\x02\x0012", b"IS\x02\x00xy"))


def test_an_enormous_image_is_refused_by_its_header(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3600 megapixels"):
        render(_claiming(content(make_dataset(sample_pixels()), tmp_path), 60_000))


def _claiming(data: bytes, size: int) -> bytes:
    """The file with other numbers of rows and columns in its tags."""
    for element in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        place = data.index(element) + len(element)
        data = data[:place] + size.to_bytes(2, "little") + data[place + 2 :]
    return data


@pytest.mark.parametrize("channels", [1, 3])
def test_dicom_is_decoded_like_any_image(channels: int, tmp_path: Path) -> None:
    data = content(make_dataset(sample_pixels(16), 16), tmp_path)
    image, width, height = decode_image(data, ImageSettings(size=112, channels=channels))
    assert (width, height, image.shape) == (224, 224, (112, 112, channels))
    expected, _, _ = decode_image(NORMAL[0].read_bytes(), ImageSettings(size=112))
    assert np.corrcoef(image[..., 0].ravel(), expected[..., 0].ravel())[0, 1] > 0.999


def test_the_white_of_a_set_is_not_that_of_its_dicom_files(tmp_path: Path) -> None:
    data = content(make_dataset(sample_pixels(12)), tmp_path)
    image, _, _ = decode_image(data, ImageSettings(), white=4095)
    np.testing.assert_array_equal(image, decode_image(data, ImageSettings())[0])
    assert image.max() == 255
    assert image.std() > 20
