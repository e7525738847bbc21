"""The ways of preparing an image, and of viewing it several times, that are tried."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_pipeline.opencv import opencv

ARRIVING = 224  # pixels, height and width that images are changed at, before they are made smaller
Grey = NDArray[np.uint8]


def equalized(image: Grey) -> Grey:
    """Contrast-limited adaptive histogram equalization (CLAHE): uint8 (H, W), from the same.

    Source: Zuiderveld 1994, 'Contrast Limited Adaptive Histogram Equalization'. A clip limit of 2 and 8 x 8 tiles are
    the values that most work on chest X-rays takes.
    """
    changed: Grey = opencv().createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(image)
    return changed


def cropped(image: Grey) -> Grey:
    """The lung field, `lung_box`: uint8 (h, w), from (H, W)."""
    top, bottom, left, right = lung_box(image)
    return image[top:bottom, left:right]


def lung_box(image: Grey) -> tuple[int, int, int, int]:
    """Where the lung field of an image, uint8 (H, W), begins and ends by a simple rule: top, bottom, left, right.

    Its sides are the brightest column of the left and of the right quarter, which is the chest's wall, and the
    brightest row of the upper and of the lower sixth, which are the shoulders and what lies below the diaphragm. It so
    has at least two thirds of the height and half of the width. Columns are compared in the middle half of the rows,
    rows in the middle half of the columns.
    """
    height, width = image.shape
    smooth = opencv().GaussianBlur(image, (0, 0), _BLUR * height).astype(np.float32)
    rows = _ends(smooth[:, width // 4 : width - width // 4].mean(axis=1), height // 6)
    columns = _ends(smooth[height // 4 : height - height // 4].mean(axis=0), width // 4)
    return (*rows, *columns)


_BLUR = 0.02  # standard deviation, a share of the height: ribs and letters do not decide


def _ends(profile: NDArray[np.floating], most: int) -> tuple[int, int]:
    """The brightest of the first `most` places of (n,), and the place behind the brightest of the last."""
    return int(profile[:most].argmax()), len(profile) - int(profile[::-1][:most].argmax())


def unchanged(image: Grey) -> Grey:
    """The image as it is."""
    return image


@dataclass(frozen=True)
class Way:
    """A way of preparing images.

    Attributes:
        name: in words.
        change: from an image as it arrives, uint8 (H, W), to the one that is made smaller.
    """

    name: str
    change: Callable[[Grey], Grey]


AS_THEY_ARE = Way("as they are", unchanged)
WAYS = (AS_THEY_ARE, Way("CLAHE", equalized), Way("lung crop", cropped))


def prepared(images: NDArray[np.uint8], change: Callable[[Grey], Grey], size: int) -> NDArray[np.uint8]:
    """The images as a model takes them: uint8 (N, size, size, 1).

    Args:
        images: uint8 (N, H, W, 1).
        change: as `Way`.
        size: in pixels.
    """
    cv2 = opencv()
    made = [cv2.resize(change(image[..., 0]), (size, size), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(made)[..., None]


# Views of an image whose predictions are averaged: moves to either side as shares of the image's side, and the share
# of it that is seen. Each view is taken as it is and mirrored.
VIEWS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "flips": ((0.0, 0.0, 1.0),),
    "flips and shifts": ((0.0, 0.0, 1.0), (0.04, 0.0, 1.0), (-0.04, 0.0, 1.0), (0.0, 0.04, 1.0), (0.0, -0.04, 1.0)),
    "flips and crops": (
        (0.0, 0.0, 0.9),
        (0.05, 0.05, 0.9),
        (-0.05, 0.05, 0.9),
        (0.05, -0.05, 0.9),
        (-0.05, -0.05, 0.9),
    ),
}


def views(images: NDArray[np.uint8], name: str) -> Iterator[NDArray[np.uint8]]:
    """The views of `VIEWS` of that name, each uint8 (N, H, W, 1); what lies outside an image repeats its edge."""
    cv2 = opencv()
    height, width = images.shape[1:3]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for right, down, share in VIEWS[name]:
        # output (x, y) about the centre reads input share * (x, y) + (right * width, down * height)
        move = np.array([right * width, down * height]) + (1 - share) * np.array([width - 1, height - 1]) / 2
        matrix = np.column_stack([share * np.eye(2), move])
        seen = [
            cv2.warpAffine(i, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE) for i in images
        ]
        yield np.stack(seen).reshape(images.shape)
        yield np.stack(seen).reshape(images.shape)[:, :, ::-1]
