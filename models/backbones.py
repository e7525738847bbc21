"""The backbones of keras.applications that a model may stand on, and the loading of their weights."""

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
    """Backbone weights that cannot be loaded, or do not fit the backbone."""


@dataclass(frozen=True)
class Backbone:
    """A keras.applications model without its top, as far as it must be known before it is built.

    Attributes:
        module: The module of keras.applications whose preprocess_input prepares its images.
        constructor: Its name in keras.applications itself: not every module holds its own constructors.
        parameters: Number of all its weights.
        statistics: Number of those that no training changes: batch-norm means and variances.
        features: Channels of its last layer.
        cut: The layer after which its last stage begins; TransferConfig.frozen="early" freezes up to it.
        halvings: How each of its five halvings rounds an odd side, first to last: "u" up, "d" down.
    """

    module: str
    constructor: str
    parameters: int
    statistics: int
    features: int
    cut: str
    halvings: str = "uuuuu"

    def last_side(self, side: int) -> int:
        """The side of its last feature maps, in pixels, for an image of that side."""
        for rounding in self.halvings:
            side = (side + (rounding == "u")) // 2
        return side


# One line per backbone. The numbers serve counts and layer tables only; a test compares them with the built models.
BACKBONES: dict[str, Backbone] = {
    "vgg16": Backbone("vgg16", "VGG16", 14_714_688, 0, 512, "block4_pool", "ddddd"),
    "resnet50": Backbone("resnet", "ResNet50", 23_587_712, 53_120, 2048, "conv4_block6_out"),
    "resnet101": Backbone("resnet", "ResNet101", 42_658_176, 105_344, 2048, "conv4_block23_out"),
    "resnet152": Backbone("resnet", "ResNet152", 58_370_944, 151_424, 2048, "conv4_block36_out"),
    "resnet50v2": Backbone("resnet_v2", "ResNet50V2", 23_564_800, 45_440, 2048, "conv4_block6_out"),
    "resnet101v2": Backbone("resnet_v2", "ResNet101V2", 42_626_560, 97_664, 2048, "conv4_block23_out"),
    "resnet152v2": Backbone("resnet_v2", "ResNet152V2", 58_331_648, 143_744, 2048, "conv4_block36_out"),
    "mobilenetv2": Backbone("mobilenet_v2", "MobileNetV2", 2_257_984, 34_112, 1280, "block_12_add"),
    "densenet121": Backbone("densenet", "DenseNet121", 7_037_504, 83_648, 1024, "pool4_pool", "uuddd"),
    # The next four prepare images themselves, from [0, 255]; the preprocess_input of their modules changes nothing.
    "mobilenetv3large": Backbone("mobilenet_v3", "MobileNetV3Large", 2_996_352, 24_400, 960, "expanded_conv_11_add"),
    "efficientnetv2b0": Backbone("efficientnet_v2", "EfficientNetV2B0", 5_919_312, 60_608, 1280, "block5e_add"),
    "efficientnetv2s": Backbone("efficientnet_v2", "EfficientNetV2S", 20_331_360, 153_872, 1280, "block5i_add"),
    "convnexttiny": Backbone(
        "convnext", "ConvNeXtTiny", 27_820_128, 0, 768, "convnext_tiny_downsampling_block_2", "ddddd"
    ),
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
    build = getattr(keras.applications, backbone.constructor)
    return build(include_top=False, weights=weights, input_shape=tuple(input_shape))


def load_backbone_weights(backbone: str, weights: str) -> tuple[np.ndarray, ...] | None:
    """The backbone's float32 arrays in the order of its get_weights(); None for "none".

    Args:
        backbone: A name of BACKBONES.
        weights: "imagenet" (Keras downloads them once and keeps the file), "none", or the path of a weights file
            of the backbone without its top: a .weights.h5, or the _notop.h5 that Keras itself downloads.

    Raises:
        ValueError: When there is no such backbone.
        WeightsError: When the download fails, or the file is missing or does not fit the backbone.
    """
    find_backbone(backbone)
    check_weights(weights)
    if weights == "none":
        return None
    filled = _from_imagenet(backbone) if weights == "imagenet" else _from_file(backbone, Path(weights))
    return tuple(filled.get_weights())


def check_weights(weights: str) -> None:
    """Raise WeightsError unless these are "imagenet", "none", or the path of a file that is there.

    Raises:
        WeightsError: There is no such file.
    """
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise WeightsError(
            "weights must be 'imagenet', 'none' or the path of a file. "
            f"Received: {weights!r}, where there is no file. Check the path."
        )


def _from_imagenet(name: str) -> Any:
    """The backbone with ImageNet weights; Keras downloads them unless it has them already."""
    try:
        return build_backbone(name, NATIVE_SHAPE, weights="imagenet")
    # Keras raises a bare Exception for some failed downloads, and lets other network errors through.
    except Exception as error:
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
        raise WeightsError(
            f"The ImageNet weights of {name} must be in {folder}, or Keras must be able to download them. "
            f"Received: {error}. Put that file into {folder} by other means, or give weights=FILE, "
            "or weights=none for random weights."
        ) from error


def _from_file(name: str, file: Path) -> Any:
    """The backbone with the weights of a file."""
    filled = build_backbone(name, NATIVE_SHAPE)
    try:
        with warnings.catch_warnings():
            # For some layers that the file has no weights for, Keras only warns and keeps random ones.
            warnings.simplefilter("error", UserWarning)
            filled.load_weights(file)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"The file must hold the weights of {find_backbone(name).constructor} without its top "
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
