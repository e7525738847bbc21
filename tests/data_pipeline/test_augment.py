import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import data_pipeline
from data_pipeline.augment import POLICIES, Policy, augment, find_policy, policy_name
from data_pipeline.manifest import DataError
from data_pipeline.preprocess import ImageSettings, decode_image

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


def draw_once(policy: Policy, images: NDArray[np.uint8], seed: int = 3) -> NDArray[np.uint8]:
    return augment(images, policy, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """8 X-rays, uint8 (8, 64, 64, 1)."""
    files = sorted((SAMPLE / "train/NORMAL").iterdir())[:8]
    return np.stack([decode_image(file.read_bytes(), ImageSettings(size=64))[0] for file in files])


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int64]:
    return one.astype(np.int64) - other


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "none"])
@pytest.mark.parametrize("channels", [1, 3])
def test_policies_change_copies_and_keep_shape_and_type(name: str, channels: int, images: NDArray[np.uint8]) -> None:
    batch = np.repeat(images, channels, axis=3)
    batch.flags.writeable = False
    changed = draw_once(find_policy(name), batch)
    assert changed.shape == batch.shape
    assert changed.dtype == np.uint8
    assert (np.abs(difference(changed, batch)).mean(axis=(1, 2, 3)) > 2.5).all()


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(DataError, match=r"none, report, strong, hospital\. Received: 'weak'"):
        find_policy("weak")


def test_the_same_draws_give_the_same_images(images: NDArray[np.uint8]) -> None:
    strong = find_policy("strong")
    np.testing.assert_array_equal(draw_once(strong, images), draw_once(strong, images))
    assert np.abs(difference(draw_once(strong, images), draw_once(strong, images, seed=4))).mean() > 2.5


def test_images_of_a_batch_and_batches_are_changed_differently(images: NDArray[np.uint8]) -> None:
    draws = np.random.default_rng(1)
    same = np.repeat(images[:1], 4, axis=0)
    changed = np.concatenate([augment(same, find_policy("report"), draws) for _ in range(2)])
    assert len({image.tobytes() for image in changed}) == 8


def test_empty_policy_changes_nothing(images: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(draw_once(find_policy("none"), images), images)


def test_flip_mirrors_about_half_of_the_images_exactly(images: NDArray[np.uint8]) -> None:
    batch = np.repeat(images, 8, axis=0)
    changed = draw_once(Policy(flip=True), batch)
    mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(changed, batch, strict=True)]
    same = [np.array_equal(new, old) for new, old in zip(changed, batch, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 16 <= sum(mirrored) <= 48


def bright_dot(row: int, column: int) -> NDArray[np.uint8]:
    image = np.zeros((64, 65, 65, 1), np.uint8)
    image[:, row - 1 : row + 2, column - 1 : column + 2] = 255
    return image


def find_dots(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Centres of brightness about the middle of the image, float64 (B, 2): right and down, pixels."""
    weights = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    along = np.arange(65) - 32.0
    return np.stack([(weights * along).sum(axis=(1, 2)), (weights * along[:, None]).sum(axis=(1, 2))], axis=1)


def test_rotation_turns_about_the_centre_within_its_limit() -> None:
    dots = find_dots(draw_once(Policy(rotation=30.0), bright_dot(32, 52)))
    np.testing.assert_allclose(np.hypot(*dots.T), 20.0, atol=0.3)
    angles = np.degrees(np.arctan2(dots[:, 1], dots[:, 0]))
    assert -31.0 < angles.min() < -20.0
    assert 20.0 < angles.max() < 31.0


def test_shift_moves_within_its_limit() -> None:
    dots = find_dots(draw_once(Policy(shift=0.2), bright_dot(32, 32)))
    assert 9.0 < np.abs(dots).max() <= 13.1  # 0.2 * 65 = 13
    assert np.abs(dots.mean(axis=0)).max() < 4.0


def test_zoom_scales_about_the_centre_within_its_limit() -> None:
    dots = find_dots(draw_once(Policy(zoom=0.2), bright_dot(52, 52)))
    # 20 pixels from the centre become 20 / 1.2 to 20 / 0.8
    assert 16.3 < dots.min() < 18.5
    assert 22.0 < dots.max() < 25.4


def make_grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images without very dark and very bright pixels, of which changes would be cut off."""
    return (images * 0.4 + 0.3 * 255).astype(np.uint8)


def test_contrast_keeps_the_mean(images: NDArray[np.uint8]) -> None:
    grey = make_grey(images)
    changed = draw_once(Policy(contrast=0.3), grey)
    np.testing.assert_allclose(changed.mean(axis=(1, 2, 3)), grey.mean(axis=(1, 2, 3)), atol=0.5)
    factors = changed.std(axis=(1, 2, 3)) / grey.std(axis=(1, 2, 3))
    assert 0.69 < factors.min() < 1.0 < factors.max() < 1.31


def test_gamma_keeps_black_and_white() -> None:
    ramp = np.tile(np.linspace(0, 255, 65).round().astype(np.uint8)[:, None], (64, 65, 1, 1))
    changed = draw_once(Policy(gamma=0.5), ramp)
    assert (changed[:, :, 0] == 0).all()
    assert (changed[:, :, 64] == 255).all()
    exponents = np.log(changed[:, 0, 32, 0] / 255) / np.log(128 / 255)
    assert 1 / 1.51 < exponents.min() < 0.8
    assert 1.2 < exponents.max() < 1.51


def test_noise_stays_within_its_strength(images: NDArray[np.uint8]) -> None:
    grey = make_grey(images)
    noise = difference(draw_once(Policy(noise=0.1), grey), grey)
    assert 5 < np.abs(noise).max() <= 26  # 0.1 * 255, rounded
    assert np.abs(noise.mean()) < 0.5


def test_erasing_blackens_one_rectangle(images: NDArray[np.uint8]) -> None:
    erased = draw_once(Policy(erase=0.5), np.ones_like(images))[..., 0] == 0
    for mask in erased:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, np.outer(rows, columns))
        assert max(rows.sum(), columns.sum()) <= 33
    assert erased.any()


def test_policies_are_listed_without_tensorflow() -> None:
    command = "import sys, data_pipeline.augment; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    project = Path(data_pipeline.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", command], cwd=project, check=False).returncode == 0


@pytest.mark.parametrize(
    ("flip", "classes", "name"),
    [
        (None, ("normal", "ill"), "strong"),
        (None, ("left", "right"), "strong without flips"),
        (True, ("left", "right"), "strong"),
        (False, ("normal", "ill"), "strong without flips"),
    ],
)
def test_flips_follow_the_setting_and_the_classes(flip: bool | None, classes: tuple[str, ...], name: str) -> None:
    assert policy_name("strong", flip, classes) == name
    assert find_policy(name) == replace(POLICIES["strong"], flip=name == "strong")
    assert policy_name("none", flip, classes) == "none"


def test_an_unflipped_policy_draws_the_same_numbers() -> None:
    upright: NDArray[np.uint8] = np.full((1, 8, 8, 1), 90, np.uint8)
    draws = [np.random.default_rng(3) for _ in range(2)]
    for name, each in zip(("strong", "strong without flips"), draws, strict=True):
        augment(upright, find_policy(name), each)
    assert draws[0].random() == draws[1].random()
