"""How unlike the images of a set another image is."""

import numpy as np
import pytest

from data_pipeline.dataset import Dataset
from data_pipeline.typical import Typical, fit_typical


@pytest.fixture(scope="module")
def typical(small_dataset: Dataset) -> Typical:
    found = fit_typical(small_dataset.pool.open(), small_dataset.split.train, small_dataset.split.validation)
    assert found is not None
    return found


def test_one_in_a_hundred_of_the_held_out_images_is_beyond_the_limit(typical: Typical, small_dataset: Dataset) -> None:
    images = small_dataset.pool.open()
    held_out = typical.unlikeness(images[row] for row in small_dataset.split.validation)
    assert len(held_out) == len(small_dataset.split.validation)
    assert 0 < (held_out > 1).sum() <= np.ceil(len(held_out) / 100)
    assert np.median(typical.unlikeness(images[row] for row in small_dataset.split.train)) < 0.8


def test_what_is_no_upright_x_ray_of_a_chest_is_unlike(typical: Typical, small_dataset: Dataset) -> None:
    image = small_dataset.pool.open()[0]
    noise = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
    ramp = np.tile(np.linspace(0, 255, image.shape[1], dtype=np.uint8)[:, None], (image.shape[0], 1, 1))
    strange = [
        255 - image,
        np.rot90(image),
        np.flipud(image),
        noise,
        ramp,
        np.zeros_like(image),
        np.full_like(image, 255),
    ]
    assert typical.unlikeness([image]).item() < 1
    assert (typical.unlikeness(strange) > 1).all()


def test_it_is_kept_as_numbers(typical: Typical, small_dataset: Dataset) -> None:
    images = small_dataset.pool.open()[:20]
    again = Typical.from_dict(typical.to_dict())
    np.testing.assert_allclose(again.unlikeness(images), typical.unlikeness(images), rtol=1e-3)


@pytest.mark.parametrize(("train", "held_out"), [(19, 5), (20, 0)])
def test_few_images_show_nothing(train: int, held_out: int, small_dataset: Dataset) -> None:
    rows = np.arange(train), np.arange(train, train + held_out)
    assert fit_typical(small_dataset.pool.open(), *rows) is None


def test_equal_images_show_nothing() -> None:
    assert fit_typical(np.full((30, 8, 8, 1), 7, np.uint8), np.arange(20), np.arange(20, 30)) is None
