"""One door to every model: from a backbone's name and plain parameters to configuration, count and model."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from models.checks import ImageShape, nearest
from models.cnn import CnnConfig, build_cnn, count_cnn
from models.counts import ParameterCount
from models.published import PUBLISHED, PublishedRow, published_rows
from models.transfer import BACKBONES, TransferConfig, build_transfer, count_transfer

if TYPE_CHECKING:
    import keras

__all__ = [
    "BUILDERS",
    "PUBLISHED",
    "ModelConfig",
    "PublishedRow",
    "build_model",
    "count_parameters",
    "model_config",
    "model_parameters",
    "published_rows",
]

ModelConfig = CnnConfig | TransferConfig

# What a configuration may name as its backbone, and the family that builds it.
BUILDERS: dict[str, str] = {"cnn": "cnn"} | dict.fromkeys(BACKBONES, "transfer")


def model_parameters(backbone: str) -> tuple[str, ...]:
    """The names of the parameters that a model of this backbone takes.

    Raises:
        ValueError: When there is no such backbone; the nearest names are offered.
    """
    if backbone not in BUILDERS:
        raise ValueError(f"backbone must be one of BUILDERS. Received: {backbone!r}. {nearest(backbone, BUILDERS)}")
    family = CnnConfig if BUILDERS[backbone] == "cnn" else TransferConfig
    return tuple(field.name for field in fields(family) if field.name != "backbone")


def model_config(backbone: str, parameters: Mapping[str, Any]) -> ModelConfig:
    """The configuration of a model, its unnamed parameters at their defaults.

    Args:
        backbone: A name of BUILDERS.
        parameters: Values by the names of `model_parameters(backbone)`; sequences become tuples.

    Raises:
        ValueError: When the backbone or a parameter is unknown (the nearest names are offered), or a value
            breaks its rule.
    """
    valid = model_parameters(backbone)
    for name in parameters:
        if name not in valid:
            raise ValueError(
                f"A parameter of {backbone} must be one that its model takes. "
                f"Received: {name!r}. {nearest(name, valid)}"
            )
    values = {name: _frozen_value(value) for name, value in parameters.items()}
    return CnnConfig(**values) if BUILDERS[backbone] == "cnn" else TransferConfig(backbone, **values)


def _frozen_value(value: Any) -> Any:
    """The value, a sequence other than text made a tuple: configurations are hashable."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def build_model(
    config: ModelConfig,
    input_shape: ImageShape,
    classes: int,
    weights: Sequence[np.ndarray] | None = None,
    seed: int = 0,
    fused: bool = False,
) -> "keras.Model":
    """A Keras model, not yet compiled, from float images (B, H, W, C) in [0, 1] to float32 probabilities.

    See `build_cnn` (`fused` is for it alone) and `build_transfer`; `weights` are those of the backbone.

    Raises:
        ValueError: As the two, and when `weights` are given for a CNN, which has no backbone to put them in.
    """
    if isinstance(config, TransferConfig):
        return build_transfer(config, input_shape, classes, weights, seed)
    if weights is not None:
        raise ValueError(
            f"weights belong to a backbone, and a CNN has none. Received: {len(weights)} arrays. Use weights=None."
        )
    return build_cnn(config, input_shape, classes, seed, fused)


def count_parameters(config: ModelConfig, input_shape: ImageShape, classes: int) -> ParameterCount:
    """The parameters of `build_model(config, input_shape, classes)`, without TensorFlow.

    Raises:
        ValueError: As `build_model`.
    """
    if isinstance(config, TransferConfig):
        return count_transfer(config, input_shape, classes)
    return count_cnn(config, input_shape, classes)
