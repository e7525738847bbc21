"""The one door to every model: from a name and plain parameters to configuration, layers, count and model.

A new family of models is a module with a configuration, a builder and a list of layers, and an entry here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from models.backbones import BACKBONES, WeightsError, check_weights, load_backbone_weights, weights_hash
from models.checks import ImageShape, nearest
from models.cnn import CnnConfig, build_cnn, cnn_layers
from models.counts import ParameterCount
from models.head import Classes, Findings
from models.layers import Layer, total_count
from models.parts import frozen_part, trainable_part
from models.published import PUBLISHED, PublishedRow, published_rows
from models.transfer import (
    TransferConfig,
    build_transfer,
    build_transfer_trainable,
    transfer_cut,
    transfer_layers,
    transfer_numbers,
)

if TYPE_CHECKING:
    import keras

__all__ = [
    "FAMILIES",
    "PUBLISHED",
    "Classes",
    "Family",
    "Findings",
    "Freezing",
    "Layer",
    "ModelConfig",
    "ParameterCount",
    "PublishedRow",
    "WeightsError",
    "build_model",
    "build_trainable_part",
    "built_feature_numbers",
    "check_weights",
    "count_parameters",
    "feature_cut",
    "feature_numbers",
    "frozen_part",
    "layer_table",
    "load_backbone_weights",
    "model_config",
    "model_parameters",
    "model_values",
    "published_rows",
    "told_apart",
    "trainable_part",
    "weights_hash",
]

ModelConfig = CnnConfig | TransferConfig
_Weights = Sequence[np.ndarray] | None


@dataclass(frozen=True)
class Freezing:
    """How the models of a family are frozen in part.

    Attributes:
        cut: From a configuration to what `feature_cut` gives.
        build_trainable: From the arguments of `build_trainable_part` to the model above the frozen part.
        numbers: From a configuration and an image shape to what `feature_numbers` gives.
    """

    cut: Callable[[Any], str | None]
    build_trainable: Callable[[Any, ImageShape, Classes, _Weights, int], "keras.Model"]
    numbers: Callable[[Any, ImageShape], int | None]


@dataclass(frozen=True)
class Family:
    """What the project asks of a kind of model.

    Attributes:
        config: Class of its configurations, a frozen dataclass. Its attribute `backbone` is a name of FAMILIES: a
            class variable where the family has one name, a field where it has several. All other fields have
            defaults.
        build: From the arguments of `build_model` to the model.
        layers: From configuration, image shape and number of classes to the layers; the count is their sum.
        pretrained: Whether its models stand on a backbone that pretrained weights can be loaded for.
        freezing: How its models are frozen in part; None where nothing of them ever is.
    """

    config: type[ModelConfig]
    build: Callable[[Any, ImageShape, Classes, _Weights, int, bool], "keras.Model"]
    layers: Callable[[Any, ImageShape, Classes], list[Layer]]
    pretrained: bool = False
    freezing: Freezing | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that its models take."""
        return tuple(field.name for field in fields(self.config) if field.name != "backbone")


_CNN = Family(
    CnnConfig,
    build=lambda config, shape, classes, weights, seed, fused: build_cnn(config, shape, classes, seed, fused),
    layers=cnn_layers,
)
_TRANSFER = Family(
    TransferConfig,
    build=lambda config, shape, classes, weights, seed, fused: build_transfer(config, shape, classes, weights, seed),
    layers=transfer_layers,
    pretrained=True,
    freezing=Freezing(transfer_cut, build_transfer_trainable, transfer_numbers),
)

# What a configuration may name as its backbone.
FAMILIES: dict[str, Family] = {CnnConfig.backbone: _CNN} | dict.fromkeys(BACKBONES, _TRANSFER)


def told_apart(names: Sequence[str], is_multilabel: bool) -> Classes:
    """What a model tells apart of these classes: their number, or each as a finding by itself."""
    return Findings(len(names)) if is_multilabel else len(names)


def model_parameters(backbone: str) -> tuple[str, ...]:
    """The names of the parameters that a model of this backbone takes.

    Raises:
        ValueError: When there is no such backbone; the nearest names are offered.
    """
    return _find_family(backbone).parameters


def model_config(backbone: str, parameters: Mapping[str, Any]) -> ModelConfig:
    """The configuration of a model, its unnamed parameters at their defaults.

    Args:
        backbone: A name of FAMILIES.
        parameters: Values by the names of `model_parameters(backbone)`; sequences become tuples.

    Raises:
        ValueError: When the backbone or a parameter is unknown (the nearest names are offered), or a value
            breaks its rule.
    """
    family = _find_family(backbone)
    for name in parameters:
        if name not in family.parameters:
            raise ValueError(
                f"A parameter of {backbone} must be one that its model takes. "
                f"Received: {name!r}. {nearest(name, family.parameters)}"
            )
    values = {name: _frozen_value(value) for name, value in parameters.items()}
    if "backbone" in {field.name for field in fields(family.config)}:
        values["backbone"] = backbone
    return family.config(**values)


def model_values(config: ModelConfig) -> dict[str, Any]:
    """The backbone and all parameters of a configuration as plain values, as a space or a log names them."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {"backbone": config.backbone, **plain}


def _find_family(backbone: str) -> Family:
    if backbone not in FAMILIES:
        raise ValueError(f"backbone must be one of FAMILIES. Received: {backbone!r}. {nearest(backbone, FAMILIES)}")
    return FAMILIES[backbone]


def _frozen_value(value: Any) -> Any:
    """The value, a sequence other than text made a tuple: configurations are hashable."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def build_model(
    config: ModelConfig,
    input_shape: ImageShape,
    classes: Classes,
    weights: _Weights = None,
    seed: int = 0,
    fused: bool = False,
) -> "keras.Model":
    """A Keras model, not yet compiled, from float images (B, H, W, C) in [0, 1] to float32 probabilities.

    Args:
        config: The model.
        input_shape: (height, width, channels) of one image.
        classes: Number of classes, at least 2, or findings.
        weights: The pretrained backbone's arrays as `load_backbone_weights` gives them; None for random ones.
        seed: Fixes the initial weights and the dropout masks.
        fused: Whether layers that train faster on a CPU are used where the family has them; see `build_cnn`.

    Raises:
        ValueError: As the builder of the family, and when `weights` are given for a model without a pretrained
            backbone.
        WeightsError: When `weights` do not fit the backbone.
    """
    family = FAMILIES[config.backbone]
    if weights is not None and not family.pretrained:
        raise ValueError(
            f"weights must be None for {config.backbone}, which has no pretrained backbone. "
            f"Received: {len(weights)} arrays. Use weights=None."
        )
    return family.build(config, input_shape, classes, weights, seed, fused)


def build_trainable_part(
    config: ModelConfig, input_shape: ImageShape, classes: Classes, weights: _Weights = None, seed: int = 0
) -> "keras.Model":
    """`trainable_part(build_model(...))` with the same initial weights, without what is not needed for it.

    Args and Raises are those of `build_model`; `input_shape` is that of an image.
    """
    freezing = FAMILIES[config.backbone].freezing
    if freezing is None:
        return build_model(config, input_shape, classes, weights, seed)
    return freezing.build_trainable(config, input_shape, classes, weights, seed)


def feature_cut(config: ModelConfig) -> str | None:
    """What the output of the frozen part depends on besides backbone, weights and image; None if nothing is frozen.

    Configurations with equal backbones and equal cuts have equal features.
    """
    freezing = FAMILIES[config.backbone].freezing
    return None if freezing is None else freezing.cut(config)


def feature_numbers(config: ModelConfig, input_shape: ImageShape) -> int | None:
    """How many numbers leave the frozen part for an image, without TensorFlow.

    None where nothing is frozen, and where a backbone is cut at a named layer: only the built model shows it
    (`built_feature_numbers`).
    """
    freezing = FAMILIES[config.backbone].freezing
    return None if freezing is None else freezing.numbers(config, input_shape)


def built_feature_numbers(config: ModelConfig, input_shape: ImageShape) -> int:
    """How many numbers leave the frozen part for an image, as the built model has it; imports TensorFlow.

    Raises:
        ValueError: The model has no frozen part, or none at that layer.
    """
    frozen = None if feature_cut(config) is None else frozen_part(build_model(config, input_shape, 2))
    if frozen is None:
        raise ValueError(f"Features need a frozen part. Received: {config}, which has none. Train it on images.")
    return math.prod(frozen.output_shape[1:])


def layer_table(config: ModelConfig, input_shape: ImageShape, classes: Classes) -> list[Layer]:
    """The layers of `build_model(config, input_shape, classes)`, first to last, without TensorFlow.

    A pretrained backbone is one layer.

    Raises:
        ValueError: As `build_model`.
    """
    return FAMILIES[config.backbone].layers(config, input_shape, classes)


def count_parameters(config: ModelConfig, input_shape: ImageShape, classes: Classes) -> ParameterCount:
    """The parameters of `build_model(config, input_shape, classes)`, without TensorFlow.

    The trainable ones are unknown (None) when a backbone is cut at a named layer: only the built model shows how
    many weights lie before it.

    Raises:
        ValueError: As `build_model`.
    """
    return total_count(layer_table(config, input_shape, classes))
