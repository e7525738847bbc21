"""Ways of preparing images, and views of them."""

import numpy as np
import pytest

from benchmarks.image_changes.changes import VIEWS, WAYS, Way, cropped, equalized, lung_box, prepared, views

DRAWS = np.random.default_rng(0)


def chest() -> np.ndarray:
    """A grey image (120, 100): walls at columns 15 and 80, shoulders at row 10, the abdomen at row 110."""
    image = np.full((120, 100), 60, np.uint8)
    image[:, [15, 80]] = 255
    image[[10, 110]] = 255
    return image


def test_the_lung_field_lies_between_the_walls_the_shoulders_and_the_abdomen() -> None:
    top, bottom, left, right = lung_box(chest())
    assert (top, left) == pytest.approx((10, 15), abs=1)
    assert (bottom, right) == pytest.approx((111, 81), abs=1)
    assert cropped(chest()).shape == (bottom - top, right - left)


@pytest.mark.parametrize("image", [np.zeros((60, 60), np.uint8), DRAWS.integers(0, 256, (60, 60), np.uint8)])
def test_a_crop_keeps_two_thirds_of_the_height_and_half_of_the_width(image: np.ndarray) -> None:
    height, width = cropped(image).shape
    assert height >= 40
    assert width >= 30


def test_equalization_raises_the_contrast_of_a_dull_image() -> None:
    dull = DRAWS.integers(100, 130, (224, 224), np.uint8)
    assert equalized(dull).std() > 1.2 * dull.std()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_gives_images_of_the_models_size(way: Way) -> None:
    images = DRAWS.integers(0, 256, (2, 224, 224, 1), np.uint8)
    made = prepared(images, way.change, 96)
    assert made.shape == (2, 96, 96, 1)
    assert made.dtype == np.uint8


def test_views_are_mirrored_moved_and_cropped() -> None:
    image = np.zeros((1, 100, 100, 1), np.uint8)
    image[0, 40:45, 20:25] = 255

    def centre(view: np.ndarray) -> tuple[float, float]:
        rows, columns = np.nonzero(view[0, ..., 0] > 127)
        return float(rows.mean()), float(columns.mean())

    plain, mirrored = views(image, "flips")
    assert np.array_equal(plain, image)
    assert centre(mirrored) == (42.0, 99 - 22.0)
    moved = [centre(view) for view in list(views(image, "flips and shifts"))[::2]]
    assert moved == [(42.0, 22.0), (42.0, 18.0), (42.0, 26.0), (38.0, 22.0), (46.0, 22.0)]
    middle = centre(next(views(image, "flips and crops")))
    assert middle == pytest.approx((49.5 + (42 - 49.5) / 0.9, 49.5 + (22 - 49.5) / 0.9), abs=0.6)


def test_every_view_is_taken_as_it_is_and_mirrored() -> None:
    images = DRAWS.integers(0, 256, (1, 32, 32, 1), np.uint8)
    for name, places in VIEWS.items():
        assert len(list(views(images, name))) == 2 * len(places)
