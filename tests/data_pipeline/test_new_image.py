"""Reading one file as a trained model takes it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data_pipeline.folders import scan_folder
from data_pipeline.manifest import BadFile
from data_pipeline.new_image import InputRules, NewImage, read_new_image
from data_pipeline.preprocess import ImageSettings, prepare_images
from tests.data_pipeline.conftest import NORMAL
from tests.data_pipeline.dicom_files import make_dataset, sample_pixels, save

SMALL = InputRules(ImageSettings(size=48, interpolation="cubic", keep_aspect=True))


def read(path: Path, rules: InputRules = SMALL) -> NewImage:
    found = read_new_image(str(path), rules)
    assert isinstance(found, NewImage), found
    return found


def write_grey(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize(
    "rules",
    [
        SMALL,
        InputRules(ImageSettings(size=64, channels=3)),
        InputRules(ImageSettings(size=40, interpolation="nearest")),
    ],
)
def test_an_image_becomes_what_training_makes_of_it(rules: InputRules, root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(make_dataset(sample_pixels()), root / "train" / "NORMAL" / f"{name}.dcm")
        write_grey(root / "train" / "NORMAL" / f"{name}.png", sample_pixels(12) * (1 + (name == "b")))
    rows = scan_folder(root, "two_class", positive=None).pool_rows
    prepared = prepare_images(rows, rules.image, tmp_path / "cache")
    assert prepared.white == 8191
    assert len(rows) == 10
    of_set = InputRules(rules.image, prepared.white)
    for row, expected in zip(rows, prepared.open(), strict=True):
        np.testing.assert_array_equal(read(Path(row.path), of_set).pixels, expected)


def test_a_sound_image_has_no_warning(tmp_path: Path) -> None:
    assert read(NORMAL[0]).warnings == ()
    dataset = make_dataset(sample_pixels(), WindowCenter=2048, WindowWidth=4096)
    assert read(save(dataset, tmp_path / "a.dcm")).warnings == ()


@pytest.mark.parametrize(
    ("tags", "warning"),
    [
        ({"ViewPosition": "LL"}, "the view lateral is not frontal"),
        ({"BodyPartExamined": "HIP"}, "not of the chest: HIP"),
        ({"Modality": "CT"}, "modality CT is no radiograph (CR, DX or RG)"),
        (
            {"WindowCenter": None},
            "decoded with a guess: there is no window: its least value is black, its largest white",
        ),
    ],
)
def test_what_training_sets_aside_is_read_with_a_warning(tags: dict[str, object], warning: str, tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    assert read(save(make_dataset(sample_pixels(), **window | tags), tmp_path / "a.dcm")).warnings == (warning,)


def test_what_training_accepted_needs_no_warning(tmp_path: Path) -> None:
    tags = {"ViewPosition": "LL", "WindowCenter": 2048, "WindowWidth": 4096}
    path = save(make_dataset(sample_pixels(), **tags), tmp_path / "a.dcm")
    assert read(path, InputRules(SMALL.image, accept=("view",))).warnings == ()


def test_a_file_without_a_header_is_a_guess(tmp_path: Path) -> None:
    dataset = make_dataset(sample_pixels(), WindowCenter=2048, WindowWidth=4096)
    whole = save(dataset, tmp_path / "a.dcm").read_bytes()
    start = whole.index(b"\x08\x00", 132 + 12 + int.from_bytes(whole[140:144], "little"))
    (tmp_path / "b.dcm").write_bytes(whole[start:])
    assert read(tmp_path / "b.dcm").warnings == (
        "decoded with a guess: there is no DICOM header: its encoding is a guess",
    )


def test_white_is_a_guess_where_no_training_image_tells_it(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "deep.png", sample_pixels(12))
    found = read(path)
    assert found.warnings == (
        "decoded with a guess: white is 4,095 by its own values, as no training image has more than 8 bits a value",
    )
    np.testing.assert_array_equal(found.pixels, read(path, InputRules(SMALL.image, white=4095)).pixels)


def test_values_above_white_are_said(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "deep.png", sample_pixels(12))
    found = read(path, InputRules(SMALL.image, white=1023))
    assert found.warnings == ("values above 1,023, the white of the training images, are cut",)


@pytest.mark.parametrize("content", [b"", b"file,label\n", NORMAL[0].read_bytes()[:2000]])
def test_what_cannot_be_read_has_a_reason(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jpeg"
    path.write_bytes(content)
    found = read_new_image(str(path), SMALL)
    assert isinstance(found, BadFile)
    assert found.reason


def test_damaged_dicom_has_a_reason(tmp_path: Path) -> None:
    path = save(make_dataset(sample_pixels()), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:40_000])
    found = read_new_image(str(path), SMALL)
    assert isinstance(found, BadFile)
    assert "cannot be decoded" in found.reason
