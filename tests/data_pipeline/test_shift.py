from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import data_pipeline
from data_pipeline import shift
from data_pipeline.dataset import Dataset
from data_pipeline.preprocess import ImageSettings, decode_image
from data_pipeline.share import training_data
from data_pipeline.shift import WAYS, shift_ways, shifted, shifted_fingerprint

ROWS = np.arange(40)
SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """40 times the same X-ray, uint8 (40, 64, 64, 1)."""
    file = min((SAMPLE / "train/NORMAL").iterdir())
    return np.repeat(decode_image(file.read_bytes(), ImageSettings(size=64))[0][None], 40, axis=0)


def test_every_image_is_changed_in_its_own_way_and_the_original_is_kept(images: NDArray[np.uint8]) -> None:
    before = images.copy()
    copy = shifted(images, ROWS)
    assert (copy.shape, copy.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(images, before)
    strengths = [image.tobytes() for image, way in zip(copy, shift_ways(ROWS), strict=True) if way != "blur"]
    assert len(set(strengths)) == len(strengths) > 20  # a blur too weak to be seen is left out


def test_the_copy_of_an_image_is_the_same_in_every_split(images: NDArray[np.uint8]) -> None:
    some = np.array([31, 2, 17])
    np.testing.assert_array_equal(shifted(images, some), shifted(images, ROWS)[some])
    ways = shift_ways(ROWS)
    assert shift_ways(some) == tuple(ways[row] for row in some)
    assert set(ways) == set(WAYS)


def test_images_are_changed_in_the_ways_that_are_named(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways, before = np.array(shift_ways(ROWS)), shifted(images, ROWS)
    monkeypatch.setitem(shift.WAYS, "noise", replace(WAYS["noise"], noise=0.5))
    differs = (shifted(images, ROWS) != before).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(differs, ways == "noise")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_changes_an_image(way: str, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "WAYS", {way: WAYS[way]})
    assert np.abs(shifted(images, ROWS).astype(int) - images).mean() > 1


def test_fingerprints_differ_where_copies_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(4)
    found = {shifted_fingerprint("a", rows), shifted_fingerprint("b", rows), shifted_fingerprint("a", rows[::-1])}
    monkeypatch.setitem(shift.WAYS, "contrast", replace(WAYS["contrast"], contrast=0.1))
    assert len(found | {shifted_fingerprint("a", rows)}) == 4


def test_trials_see_a_copy_of_validation_where_they_are_judged_by_it(small_dataset: Dataset) -> None:
    data = training_data(small_dataset, with_shifted=True)
    np.testing.assert_array_equal(data.shifted, shifted(data.images, data.validation))
    assert training_data(small_dataset).shifted is None
