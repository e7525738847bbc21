import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline.outliers import find_outliers
from data_pipeline.preprocess import ImageSettings, decode_image
from tests.data_pipeline.conftest import BACTERIAL, NORMAL, VIRAL


@pytest.fixture(scope="module")
def xrays() -> NDArray[np.uint8]:
    files = NORMAL[:40] + BACTERIAL[:30] + VIRAL[:30]
    return np.stack([decode_image(file.read_bytes(), ImageSettings(size=64))[0] for file in files])


def test_the_sample_has_no_outliers(xrays: NDArray[np.uint8]) -> None:
    found = find_outliers(xrays)
    assert [found.inverted.size, found.blank.size, found.unlike.size] == [0, 0, 0]


@pytest.mark.parametrize("every", [50, 10, 3])
def test_images_of_the_other_polarity_are_found(xrays: NDArray[np.uint8], every: int) -> None:
    mixed = xrays.copy()
    mixed[1::every] = 255 - mixed[1::every]
    found = find_outliers(mixed)
    assert found.inverted.tolist() == list(range(1, len(mixed), every))
    assert [found.blank.size, found.unlike.size] == [0, 0]


def test_blank_images_and_other_pictures_are_found(xrays: NDArray[np.uint8]) -> None:
    mixed = xrays.copy()
    mixed[3] = 17
    mixed[5] = np.random.default_rng(0).integers(0, 256, mixed[5].shape)
    found = find_outliers(mixed)
    assert (found.blank.tolist(), found.unlike.tolist(), found.inverted.tolist()) == ([3], [5], [])


def test_a_set_of_blank_images_has_nothing_in_common() -> None:
    found = find_outliers(np.zeros((4, 16, 16, 3), np.uint8))
    assert found.blank.tolist() == [0, 1, 2, 3]
