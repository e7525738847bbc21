"""Batch norm's running statistics, right after one epoch of any length."""

from typing import TYPE_CHECKING

from search.plan.settings import KERAS_NORM_MOMENTUM, TrainSettings

if TYPE_CHECKING:
    import keras

_LEFT_AFTER_EPOCH = 0.01  # of a statistic's initial value


def norm_momentum(train: TrainSettings, steps: int) -> float:
    """The momentum of the running statistics: as set, or such that one epoch of `steps` replaces their initial values.

    With Keras' 0.99, 79 % of the initial values are left after an epoch of 24 steps: validation then judges noise, to
    the disadvantage of batch norm, of large batches and of small data sets.
    """
    if train.norm_momentum is not None:
        return train.norm_momentum
    return float(min(KERAS_NORM_MOMENTUM, _LEFT_AFTER_EPOCH ** (1 / steps)))


def set_norm_momentum(model: "keras.Model", momentum: float) -> None:
    """Set the momentum of the batch norms that a model trains from their start; a pretrained backbone's keep theirs."""
    import keras

    for layer in model.layers:  # a backbone is one of these layers, and its own are not among them
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
