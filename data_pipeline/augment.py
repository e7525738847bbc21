"""Random changes of training images: the policies by name, and what applies them.

OpenCV does everything on uint8 images: all geometry in one affine warp (rotation, zoom, shift and flip are first
multiplied into one matrix, as Keras' ImageDataGenerator does), contrast, gamma and exposure in one table of 256 grey
values. The same steps as Keras layers take five times as long on a CPU core, half as long as a small CNN trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.classes import names_a_side
from data_pipeline.manifest import DataError
from data_pipeline.opencv import opencv


@dataclass(frozen=True, slots=True)
class Policy:
    """How far images are changed; each strength is drawn for each image, and 0 leaves that step out.

    Attributes:
        rotation: Largest turn to either side, in degrees.
        zoom: Largest change of scale, a share: 0.1 draws 0.9 to 1.1, for width and height apart.
        shift: Largest move to either side, a share of the width and of the height.
        flip: Whether left and right are exchanged in half of the images.
        contrast: Largest change of the grey values' distance from their mean, a share.
        gamma: Largest change of the exponent on grey values: 0.2 draws 1/1.2 to 1.2.
        exposure: Largest change of all grey values together, a share of white.
        blur: Largest blur, the standard deviation of a Gaussian as a share of the image's side: 0.005 of 224
            pixels are 1.1.
        noise: Largest change of each pixel on its own, a share of white (uniform: normal noise takes three times as
            long to draw).
        erase: Largest side of a rectangle that becomes black, a share of the image's side.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    contrast: float = 0.0
    gamma: float = 0.0
    exposure: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    erase: float = 0.0


# A new policy is one more entry.
POLICIES: dict[str, Policy] = {
    "none": Policy(),
    # The report names rotations and zooms "or others" without their ranges. These are the usual ones for
    # ImageDataGenerator on this data set. Source: report, section 2.2.
    "report": Policy(rotation=30.0, zoom=0.2, shift=0.1, flip=True),
    # Grey values differ between hospitals, and between Kaggle's train and test folder.
    "strong": Policy(rotation=15.0, zoom=0.15, shift=0.1, flip=True, contrast=0.3, gamma=0.4, noise=0.1, erase=0.25),
    # Another machine, another operator: all ways at once in which an image of the same patient may differ.
    "hospital": Policy(
        rotation=15.0,
        zoom=0.2,
        shift=0.1,
        flip=True,
        contrast=0.4,
        gamma=0.8,
        exposure=0.15,
        blur=0.008,
        noise=0.1,
        erase=0.25,
    ),
}


_UNFLIPPED = " without flips"


def policy_name(augment: str, flip: bool | None, classes: Sequence[str]) -> str:
    """The name of a policy, for `find_policy`, with its flips as the settings and the classes have them.

    Args:
        augment: A name of POLICIES.
        flip: Whether images may be mirrored; None: unless a class names a side.
        classes: Of the data set.
    """
    may_flip = not any(map(names_a_side, classes)) if flip is None else flip
    return augment if may_flip or not find_policy(augment).flip else augment + _UNFLIPPED


def find_policy(name: str) -> Policy:
    """The policy of that name, as `POLICIES` or `policy_name` have it.

    Raises:
        DataError: There is none.
    """
    known = name.removesuffix(_UNFLIPPED)
    if known not in POLICIES:
        raise DataError(f"augment must be one of {', '.join(POLICIES)}. Received: {name!r}. Choose one of these.")
    return POLICIES[known] if known == name else replace(POLICIES[known], flip=False)


def augment(images: NDArray[np.uint8], policy: Policy, draws: np.random.Generator) -> NDArray[np.uint8]:
    """A changed copy of the images, uint8 (B, H, W, C), 0 black to 255 white.

    Args:
        images: uint8 (B, H, W, C), C 1 or 3.
        policy: How far they are changed.
        draws: Source of the random numbers: the same state gives the same result.
    """
    changed = images.copy()
    for image in changed:
        if policy.rotation or policy.zoom or policy.shift or policy.flip:
            _warp(image, policy, draws)
        if policy.contrast or policy.gamma or policy.exposure:
            _change_grey_values(image, policy, draws)
        if policy.blur:
            _blur(image, policy.blur, draws)
        if policy.noise:
            _add_noise(image, policy.noise, draws)
        if policy.erase:
            _erase_rectangle(image, policy.erase, draws)
    return changed


def _warp(image: NDArray[np.uint8], policy: Policy, draws: np.random.Generator) -> None:
    """Rotation, zoom, shift and flip in one bilinear warp; the outside repeats the edge."""
    cv2 = opencv()
    height, width = image.shape[:2]
    angle = np.radians(draws.uniform(-policy.rotation, policy.rotation))
    zoom = draws.uniform(1.0 - policy.zoom, 1.0 + policy.zoom, 2)
    shift = draws.uniform(-policy.shift, policy.shift, 2) * (width, height)
    mirror = -1.0 if draws.random() < 0.5 and policy.flip else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # output (x, y) about the centre reads input  turn diag(mirror * zoom_x, zoom_y) (x, y) + shift
    linear = turn * (mirror * zoom[0], zoom[1])
    centre = np.array([width - 1, height - 1]) / 2.0
    matrix = np.column_stack([linear, centre - linear @ centre + shift])  # (2, 3)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    image[:] = warped.reshape(image.shape)  # OpenCV drops a single channel's axis


def _change_grey_values(image: NDArray[np.uint8], policy: Policy, draws: np.random.Generator) -> None:
    """Contrast about the image's mean, exposure, then gamma."""
    factor = draws.uniform(1.0 - policy.contrast, 1.0 + policy.contrast)
    bound = np.log1p(policy.gamma)
    exponent = np.exp(draws.uniform(-bound, bound))
    # Drawn only where asked for, so that policies without it keep their draws, and with them their results.
    added = draws.uniform(-policy.exposure, policy.exposure) if policy.exposure else 0.0
    mean = opencv().mean(image)
    mean = sum(mean[: image.shape[2]]) / image.shape[2] / 255.0
    values = np.clip((np.arange(256) / 255.0 - mean) * factor + mean + added, 0.0, 1.0) ** exponent
    table = np.rint(values * 255.0).astype(np.uint8)
    opencv().LUT(image, table, dst=image)


def _blur(image: NDArray[np.uint8], largest: float, draws: np.random.Generator) -> None:
    """A Gaussian blur; one that is too weak to see is left out."""
    sigma = draws.uniform(0.0, largest) * image.shape[0]
    if sigma < 0.2:  # a fifth of a pixel changes nothing in 8 bits
        return
    cv2 = opencv()
    blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    image[:] = blurred.reshape(image.shape)  # OpenCV drops a single channel's axis


def _add_noise(image: NDArray[np.uint8], largest: float, draws: np.random.Generator) -> None:
    strength = draws.uniform(0.0, largest)
    noise = draws.integers(0, 256, image.shape, np.uint8)
    # noise / 127.5 - 1 lies in [-1, 1]; the sum is rounded and kept within 0 and 255
    opencv().addWeighted(image, 1.0, noise, 2.0 * strength, -255.0 * strength, dst=image)


def _erase_rectangle(image: NDArray[np.uint8], largest: float, draws: np.random.Generator) -> None:
    """Set one rectangle of the image to black."""
    size = np.array(image.shape[:2])
    sides = np.rint(draws.uniform(0.0, largest, 2) * size).astype(int)
    top, left = draws.integers(0, size - sides + 1)
    image[top : top + sides[0], left : left + sides[1]] = 0
