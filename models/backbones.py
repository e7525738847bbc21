"""The backbones of keras.applications that a model may stand on, and where their weights come from."""

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.checks import nearest

if TYPE_CHECKING:
    import keras

# What ImageNet weights were trained on. No weight's shape depends on the height and width.
NATIVE_SHAPE = (224, 224, 3)


class WeightsError(ValueError):
    """Backbone weights that cannot be had, or do not fit the backbone."""


@dataclass(frozen=True)
class Backbone:
    """What is to be known of a keras.applications model, without its top, before it is built.

    Attributes:
        module: Where it lives in keras.applications; that module's preprocess_input goes with it.
        attribute: Its constructor in that module.
        parameters: All of its weights.
        statistics: Those among them that no training changes: batch-norm means and variances.
        features: Channels of its last layer.
        halvings: How each of its five halvings rounds an odd side, first to last: "u" up, "d" down.
    """

    module: str
    attribute: str
    parameters: int
    statistics: int
    features: int
    halvings: str = "uuuuu"

    def last_side(self, side: int) -> int:
        """The side of its last feature maps, in pixels, for an image of that side."""
        for rounding in self.halvings:
            side = (side + (rounding == "u")) // 2
        return side


# One line a backbone. The numbers serve the counts only; a test compares them with the built models.
BACKBONES: dict[str, Backbone] = {
    "vgg16": Backbone("vgg16", "VGG16", 14_714_688, 0, 512, "ddddd"),
    "resnet50": Backbone("resnet", "ResNet50", 23_587_712, 53_120, 2048),
    "resnet101": Backbone("resnet", "ResNet101", 42_658_176, 105_344, 2048),
    "resnet152": Backbone("resnet", "ResNet152", 58_370_944, 151_424, 2048),
    "resnet50v2": Backbone("resnet_v2", "ResNet50V2", 23_564_800, 45_440, 2048),
    "resnet101v2": Backbone("resnet_v2", "ResNet101V2", 42_626_560, 97_664, 2048),
    "resnet152v2": Backbone("resnet_v2", "ResNet152V2", 58_331_648, 143_744, 2048),
}


def find_backbone(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
        ValueError: When there is none; the nearest names are offered.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone must be one of BACKBONES. Received: {name!r}. {nearest(name, BACKBONES)}")
    return BACKBONES[name]


def build_backbone(name: str, input_shape: Sequence[int], weights: str | None = None) -> "keras.Model":
    """The keras.applications model without its top, from its module's preprocessed images to feature maps."""
    import keras

    backbone = find_backbone(name)
    constructor = getattr(getattr(keras.applications, backbone.module), backbone.attribute)
    return constructor(include_top=False, weights=weights, input_shape=tuple(input_shape))


def load_backbone_weights(backbone: str, weights: str) -> tuple[np.ndarray, ...] | None:
    """The backbone's float32 arrays in the order of its get_weights(); None for "none".

    Args:
        backbone: A name of BACKBONES.
        weights: "imagenet" (Keras downloads them once and keeps them), "none", or the path of a weights file
            of the backbone without its top: a .weights.h5, or the _notop.h5 that Keras itself downloads.

    Raises:
        ValueError: When there is no such backbone.
        WeightsError: When the download fails, or the file is missing or does not fit the backbone.
    """
    find_backbone(backbone)
    if weights == "none":
        return None
    filled = _from_imagenet(backbone) if weights == "imagenet" else _from_file(backbone, Path(weights))
    return tuple(filled.get_weights())


def _from_imagenet(name: str) -> Any:
    """The backbone with ImageNet's weights, downloaded by Keras unless it already keeps them."""
    try:
        return build_backbone(name, NATIVE_SHAPE, weights="imagenet")
    # Keras reports a failed download as a bare Exception, and lets other network errors through as they are.
    except Exception as error:
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
        raise WeightsError(
            f"The ImageNet weights of {name} must be within reach of a download, or lie in {folder} already. "
            f"Received: {error}. Get that file by other means into {folder}, or give weights=FILE, "
            "or weights=none for random ones."
        ) from error


def _from_file(name: str, file: Path) -> Any:
    """The backbone with the weights of a file."""
    if not file.is_file():
        raise WeightsError(
            "weights must be 'imagenet', 'none' or the path of a file. "
            f"Received: {str(file)!r}, where there is no file. Check the path."
        )
    filled = build_backbone(name, NATIVE_SHAPE)
    try:
        with warnings.catch_warnings():
            # Keras only warns of some layers that the file has no weights for, and leaves random ones in them.
            warnings.simplefilter("error", UserWarning)
            filled.load_weights(file)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"The file must hold the weights of {find_backbone(name).attribute} without its top "
            f"(include_top=False). Received: {file}, which Keras refuses: {reason} "
            "Check that the file belongs to this backbone."
        ) from error
    return filled


def weights_hash(arrays: Iterable[np.ndarray]) -> str:
    """The sha256 of the arrays' types, shapes and values, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
