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
    """Set the momentum of every batch norm that training changes, those of a backbone's thawed part among them.

    A thawed backbone trains by the statistics of each batch and validates by running ones that its weights brought
    from other images. With MobileNetV2's own 0.999 they hardly move in an epoch. A frozen batch norm has no use for a
    momentum.
    """
    import keras

    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            layer.momentum = momentum
