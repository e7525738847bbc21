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
from data_pipeline.shift import WAYS, shifted, shifted_fingerprint

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """40 times the same X-ray, uint8 (40, 64, 64, 1)."""
    file = min((SAMPLE / "train/NORMAL").iterdir())
    return np.repeat(decode_image(file.read_bytes(), ImageSettings(size=64))[0][None], 40, axis=0)


def test_every_image_is_changed_in_its_own_way_and_the_original_is_kept(images: NDArray[np.uint8]) -> None:
    before = images.copy()
    copy = shifted(images)
    assert (copy.shape, copy.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(images, before)
    assert len({image.tobytes() for image in copy}) > 35  # a blur too weak to be seen is left out


def test_the_copy_depends_on_images_and_seed_alone(images: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(shifted(images), shifted(images))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_changes_an_image(way, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "WAYS", (way,))
    assert np.abs(shifted(images).astype(int) - images).mean() > 1


def test_fingerprints_differ_where_copies_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(4)
    found = {shifted_fingerprint("a", rows), shifted_fingerprint("b", rows), shifted_fingerprint("a", rows[::-1])}
    monkeypatch.setattr(shift, "WAYS", (replace(WAYS[0], contrast=0.1), *WAYS[1:]))
    assert len(found | {shifted_fingerprint("a", rows)}) == 4


def test_trials_see_a_copy_of_validation_where_they_are_judged_by_it(small_dataset: Dataset) -> None:
    data = training_data(small_dataset, with_shifted=True)
    np.testing.assert_array_equal(data.shifted, shifted(data.images[data.validation]))
    assert training_data(small_dataset).shifted is None
