import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import data_pipeline
from data_pipeline.augment import POLICIES, Policy, augment, build_augmentation, reseed
from data_pipeline.manifest import DataError
from data_pipeline.preprocess import ImageSettings, decode_image

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    """8 X-rays, float32 (8, 64, 64, 1) in [0, 1]."""
    files = sorted((SAMPLE / "train/NORMAL").iterdir())[:8]
    pixels = [decode_image(file.read_bytes(), ImageSettings(size=64))[0] for file in files]
    return np.stack(pixels).astype(np.float32) / np.float32(255.0)


def run_eagerly(layer: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([np.asarray(layer(images[:4])), np.asarray(layer(images[4:]))])


def run_in_function(layer: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    import tensorflow as tf

    function = tf.function(layer)
    return np.concatenate([function(tf.constant(part)).numpy() for part in (images[:4], images[4:])])


def run_in_map(layer: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(images).batch(4).map(layer)
    return np.concatenate(list(batches.as_numpy_iterator()))


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "none"])
def test_policies_change_images_and_keep_shape_and_range(name: str, images: NDArray[np.float32]) -> None:
    changed = np.asarray(build_augmentation(name, seed=1)(images))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0.0
    assert changed.max() <= 1.0
    assert (np.abs(changed - images).mean(axis=(1, 2, 3)) > 0.01).all()


def test_no_policy_is_no_layer() -> None:
    assert build_augmentation("none", seed=1) is None


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(DataError, match="none, report, strong; received 'weak'"):
        build_augmentation("weak", seed=1)


@pytest.mark.parametrize("run", [run_eagerly, run_in_function, run_in_map])
def test_an_epoch_depends_on_its_seed_and_number_alone(
    run: Callable[[Any, NDArray[np.float32]], NDArray[np.float32]], images: NDArray[np.float32]
) -> None:
    layer = build_augmentation("strong", seed=5)
    for epoch in range(3):
        reseed(layer, 5, epoch)
        expected = run(layer, images)
    resumed = build_augmentation("strong", seed=5)
    reseed(resumed, 5, 2)
    np.testing.assert_array_equal(run(resumed, images), expected)
    for seed, epoch in ((5, 1), (2, 5), (6, 2)):
        reseed(resumed, seed, epoch)
        assert np.abs(run(resumed, images) - expected).mean() > 0.01


def test_images_of_a_batch_and_batches_are_changed_differently(images: NDArray[np.float32]) -> None:
    layer = build_augmentation("report", seed=1)
    same = np.repeat(images[:1], 4, axis=0)
    changed = np.concatenate([np.asarray(layer(same)), np.asarray(layer(same))])
    assert len({image.tobytes() for image in changed}) == 8


def draw_once(policy: Policy, images: NDArray[np.float32], seed: int = 3) -> NDArray[np.float32]:
    import keras

    return np.asarray(augment(images, policy, keras.random.SeedGenerator(seed)))


def test_empty_policy_changes_nothing(images: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(draw_once(Policy(), images), images)


def test_flip_mirrors_about_half_of_the_images_exactly(images: NDArray[np.float32]) -> None:
    batch = np.repeat(images, 8, axis=0)
    changed = draw_once(Policy(flip=True), batch)
    mirrored = [np.abs(new - old[:, ::-1]).max() < 1e-4 for new, old in zip(changed, batch, strict=True)]
    same = [np.abs(new - old).max() < 1e-4 for new, old in zip(changed, batch, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 16 <= sum(mirrored) <= 48


def bright_dot(row: int, column: int) -> NDArray[np.float32]:
    image = np.zeros((64, 65, 65, 1), np.float32)
    image[:, row - 1 : row + 2, column - 1 : column + 2] = 1.0
    return image


def find_dots(images: NDArray[np.float32]) -> NDArray[np.float64]:
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


def test_contrast_keeps_the_mean(images: NDArray[np.float32]) -> None:
    grey = images * 0.4 + 0.3
    changed = draw_once(Policy(contrast=0.3), grey)
    np.testing.assert_allclose(changed.mean(axis=(1, 2, 3)), grey.mean(axis=(1, 2, 3)), atol=1e-4)
    factors = changed.std(axis=(1, 2, 3)) / grey.std(axis=(1, 2, 3))
    assert 0.69 < factors.min() < 1.0 < factors.max() < 1.31


def test_gamma_keeps_black_and_white() -> None:
    ramp = np.tile(np.linspace(0.0, 1.0, 65, dtype=np.float32)[:, None], (64, 65, 1, 1))
    changed = draw_once(Policy(gamma=0.5), ramp)
    np.testing.assert_allclose(changed[:, :, 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(changed[:, :, 64], 1.0, atol=1e-6)
    exponents = np.log(changed[:, 0, 32, 0]) / np.log(0.5)
    assert 1 / 1.51 < exponents.min() < 0.8
    assert 1.2 < exponents.max() < 1.51


def test_noise_stays_within_its_strength(images: NDArray[np.float32]) -> None:
    grey = images * 0.4 + 0.3
    noise = draw_once(Policy(noise=0.1), grey) - grey
    assert 0.02 < np.abs(noise).max() <= 0.1
    assert np.abs(noise.mean()) < 0.002


def test_erasing_blackens_one_rectangle(images: NDArray[np.float32]) -> None:
    erased = draw_once(Policy(erase=0.5), np.ones_like(images))[..., 0] == 0.0
    for mask in erased:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, np.outer(rows, columns))
        assert max(rows.sum(), columns.sum()) <= 33
    assert erased.any()


def test_policies_are_listed_without_tensorflow() -> None:
    command = "import sys, data_pipeline.augment; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    project = Path(data_pipeline.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", command], cwd=project, check=False).returncode == 0
