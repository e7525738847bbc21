"""A policy's name to the random changes that training images go through.

All geometry is one affine warp an image: rotation, zoom, shift and flip are multiplied into one matrix first,
as Keras' ImageDataGenerator does, where a chain of Keras' own random layers would resample the image once for
each.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from data_pipeline.manifest import DataError


@dataclass(frozen=True, slots=True)
class Policy:
    """How far images are changed; every strength is drawn anew for each image, and 0 leaves that step out.

    Attributes:
        rotation: Largest turn to either side, degrees.
        zoom: Largest change of scale, a share: 0.1 draws 0.9 to 1.1, for width and height apart.
        shift: Largest move to either side, a share of the width and of the height.
        flip: Whether left and right are exchanged in half of the images.
        contrast: Largest change of the distance of the grey values from their mean, a share.
        gamma: Largest change of the exponent on grey values: 0.2 draws 1/1.2 to 1.2.
        noise: Largest change of each pixel by itself, on grey values of 0 to 1 (uniform, because normal noise
            takes three times as long to draw).
        erase: Largest side of a rectangle that is set to black, a share of the image's side.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    erase: float = 0.0


# A new policy is one more entry.
POLICIES: dict[str, Policy] = {
    "none": Policy(),
    # The report names rotations and zooms "or others" without their ranges; these are the ones customary for
    # ImageDataGenerator on this data set. Source: report, section 2.2.
    "report": Policy(rotation=30.0, zoom=0.2, shift=0.1, flip=True),
    # Grey values differ between hospitals, and between Kaggle's train and test folder.
    "strong": Policy(rotation=15.0, zoom=0.15, shift=0.1, flip=True, contrast=0.3, gamma=0.4, noise=0.1, erase=0.25),
}


def build_augmentation(policy_name: str, seed: int) -> Any:
    """A Keras layer that changes a batch of images at random, or None for the policy "none".

    The layer takes float32 (B, H, W, C) in [0, 1] and returns the same shape and range. It works eagerly, in
    tf.function and in a tf.data map; there without parallel calls if the result is to be reproducible,
    because its draws follow the order of the batches.

    Args:
        policy_name: A key of POLICIES.
        seed: Where the draws begin; see `reseed`.

    Raises:
        DataError: The policy is unknown.
    """
    if policy_name not in POLICIES:
        raise DataError(f"The augmentation is one of {', '.join(POLICIES)}; received {policy_name!r}.")
    policy = POLICIES[policy_name]
    if policy == Policy():
        return None
    augmentation = _layer_class()(policy, seed)
    reseed(augmentation, seed, epoch=0)
    return augmentation


def reseed(augmentation: Any, seed: int, epoch: int) -> None:
    """Set the draws to the start of an epoch: what follows depends on (seed, epoch) alone."""
    # SeedSequence mixes the two, so that (1, 2) and (2, 1), or neighbouring seeds, are unrelated streams
    start = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    augmentation.draws.state.assign(np.array([start, 0], dtype=np.uint32))


@cache
def _layer_class() -> Any:
    import keras

    class Augmentation(keras.layers.Layer):  # type: ignore[misc]
        """One policy as a layer."""

        def __init__(self, policy: Policy, seed: int) -> None:
            super().__init__(name="augmentation", trainable=False)
            self.policy = policy
            self.draws = keras.random.SeedGenerator(seed)

        def call(self, images: Any) -> Any:  # (B, H, W, C)
            return augment(images, self.policy, self.draws)

    return Augmentation


def augment(images: Any, policy: Policy, draws: Any) -> Any:
    """The images changed as the policy says, float32 (B, H, W, C) in [0, 1].

    Args:
        images: Float32 (B, H, W, C) in [0, 1].
        policy: How far they are changed.
        draws: A keras.random.SeedGenerator.
    """
    from keras import ops

    if policy.rotation or policy.zoom or policy.shift or policy.flip:
        images = _warp(images, policy, draws)
    if policy.contrast:
        factors = _uniform(images, 1.0 - policy.contrast, 1.0 + policy.contrast, draws)  # (B, 1, 1, 1)
        means = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        # clipped at once: gamma has no real value below 0
        images = ops.clip((images - means) * factors + means, 0.0, 1.0)
    if policy.gamma:
        bound = float(np.log1p(policy.gamma))
        exponents = ops.exp(_uniform(images, -bound, bound, draws))
        # ops.power takes five times as long; log(0) is -inf, which gives 0 again
        images = ops.exp(exponents * ops.log(images))
    if policy.noise:
        import keras

        strengths = _uniform(images, 0.0, policy.noise, draws)
        images = images + strengths * keras.random.uniform(ops.shape(images), -1.0, 1.0, seed=draws)
    if policy.erase:
        images = images * _erasing_mask(images, policy.erase, draws)
    return ops.clip(images, 0.0, 1.0)


def _uniform(images: Any, low: float, high: float, draws: Any) -> Any:
    """One number an image, float32 (B, 1, 1, 1)."""
    import keras

    return keras.random.uniform((keras.ops.shape(images)[0], 1, 1, 1), low, high, seed=draws)


def _warp(images: Any, policy: Policy, draws: Any) -> Any:
    """Rotation, zoom, shift and flip in one bilinear warp; what lies outside repeats the edge."""
    from keras import ops

    def draw(low: float, high: float) -> Any:
        return _uniform(images, low, high, draws)[:, 0, 0, 0]  # (B,)

    height, width = images.shape[1:3]
    angle = draw(-policy.rotation, policy.rotation) * (np.pi / 180.0)
    zoom_x = draw(1.0 - policy.zoom, 1.0 + policy.zoom)
    zoom_y = draw(1.0 - policy.zoom, 1.0 + policy.zoom)
    shift_x = draw(-policy.shift, policy.shift) * width
    shift_y = draw(-policy.shift, policy.shift) * height
    mirror = ops.where(draw(0.0, 1.0) < 0.5, -1.0, 1.0) if policy.flip else 1.0
    # output (x, y) about the centre reads input  R(angle) diag(mirror * zoom_x, zoom_y) (x, y) + shift
    a, b = ops.cos(angle) * zoom_x * mirror, -ops.sin(angle) * zoom_y
    c, d = ops.sin(angle) * zoom_x * mirror, ops.cos(angle) * zoom_y
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    offset_x = centre_x - a * centre_x - b * centre_y + shift_x
    offset_y = centre_y - c * centre_x - d * centre_y + shift_y
    zero = ops.zeros_like(a)
    matrix = ops.stack([a, b, offset_x, c, d, offset_y, zero, zero], axis=1)  # (B, 8)
    return ops.image.affine_transform(
        images, matrix, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
    )


def _erasing_mask(images: Any, largest: float, draws: Any) -> Any:
    """0 in one rectangle an image and 1 elsewhere, float32 (B, H, W, 1)."""
    from keras import ops

    height, width = images.shape[1:3]
    sides = []
    for length, shape in ((height, (1, height, 1, 1)), (width, (1, 1, width, 1))):
        side = _uniform(images, 0.0, largest, draws) * length
        start = _uniform(images, 0.0, 1.0, draws) * (length - side)
        at = ops.reshape(ops.arange(length, dtype="float32"), shape)
        sides.append(ops.logical_and(at >= start, at < start + side))
    return 1.0 - ops.cast(ops.logical_and(*sides), "float32")
