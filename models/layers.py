"""A model as the list of its layers, in arithmetic alone: a summary shows it, and a count adds it up."""

from collections.abc import Iterable
from dataclasses import dataclass

from models.counts import NOTHING, ParameterCount, batch_norm_count, dense_count


@dataclass(frozen=True)
class Layer:
    """One layer of a model.

    Attributes:
        name: In words, for example "convolution 3 x 3".
        shape: Of its output, without the batch.
        count: Its parameters.
    """

    name: str
    shape: tuple[int, ...]
    count: ParameterCount = NOTHING


def dense_layer(name: str, inputs: int, units: int) -> Layer:
    """A dense layer on `inputs` flat numbers."""
    return Layer(name, (units,), dense_count(inputs, units))


def batch_norm_layer(shape: tuple[int, ...]) -> Layer:
    """A batch-norm layer on maps or features of this shape, the channels last."""
    return Layer("batch norm", shape, batch_norm_count(shape[-1]))


def total_count(layers: Iterable[Layer]) -> ParameterCount:
    """The parameters of all layers together."""
    return sum((layer.count for layer in layers), NOTHING)
