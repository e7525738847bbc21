"""The head that every model here shares: from flat features through hidden dense layers to class probabilities."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from models.checks import check_classes
from models.layers import Layer, batch_norm_layer, dense_layer


@dataclass(frozen=True)
class Findings:
    """So many findings, of which an image may show several or none, in place of a number of classes.

    Raises:
        ValueError: With fewer than two.
    """

    count: int

    def __post_init__(self) -> None:
        check_classes(self.count)


Classes: TypeAlias = int | Findings  # what a model tells apart: classes, at least 2, or findings


def layer_seeds(seed: int) -> Iterator[int]:
    """An endless stream of seeds that depends on `seed` alone; each layer takes its own."""
    draw = random.Random(seed)
    while True:
        yield draw.getrandbits(31)


def output_units(classes: Classes) -> int:
    """The units of the output layer: a sigmoid unit for two classes or each finding, else a softmax unit per class.

    Raises:
        ValueError: With fewer than two classes.
    """
    if isinstance(classes, Findings):
        return classes.count
    check_classes(classes)
    return 1 if classes == 2 else classes


def output_activation(classes: Classes) -> str:
    """The activation of the output layer: "sigmoid" for two classes and for findings, else "softmax"."""
    return "sigmoid" if classes == 2 or isinstance(classes, Findings) else "softmax"


def seeded_dense(units: int, seeds: Iterator[int], **options: Any) -> Any:
    """A keras Dense layer whose initial weights depend on the next of `seeds` alone."""
    import keras

    return keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)), **options)


def attach_head(
    features: Any,
    dense: Sequence[int],
    dropout: float,
    classes: Classes,
    seeds: Iterator[int],
    batch_norm: bool = False,
) -> Any:
    """Class probabilities from flat features.

    Batch norm and dropout, where asked for, stand once, just before the output layer, as in the report.
    Dropout comes second: otherwise batch norm would learn the statistics of half-silenced units.

    Args:
        features: Symbolic tensor of shape (B, F).
        dense: Units of each hidden layer.
        dropout: Share of the inputs of the output layer silenced during training; 0 leaves the layer out.
        classes: Number of classes, at least 2, or findings.
        seeds: Source of each layer's seed.
        batch_norm: Whether a batch-norm layer stands before the output layer.

    Returns:
        Symbolic float32 tensor in [0, 1]: the probability of class 1, (B, 1), for two classes; else of each
        class or finding, (B, K).
    """
    import keras

    x = features  # (B, F)
    for units in dense:
        x = seeded_dense(units, seeds, activation="relu")(x)  # (B, units)
    if batch_norm:
        x = keras.layers.BatchNormalization()(x)
    if dropout > 0:
        x = keras.layers.Dropout(dropout, seed=next(seeds))(x)
    activation = output_activation(classes)
    # float32 under every policy: in 16 bits a probability near 1 has too few digits for a usable loss.
    output = seeded_dense(output_units(classes), seeds, activation=activation, dtype="float32", name="probability")
    return output(x)


def head_layers(
    features: int, dense: Sequence[int], dropout: float, classes: Classes, batch_norm: bool = False
) -> list[Layer]:
    """The layers that `attach_head` puts on `features` flat inputs, first to last.

    Raises:
        ValueError: With fewer than two classes.
    """
    layers, inputs = [], features
    for units in dense:
        layers.append(dense_layer(f"dense {units}", inputs, units))
        inputs = units
    if batch_norm:
        layers.append(batch_norm_layer((inputs,)))
    if dropout > 0:
        layers.append(Layer(f"dropout {dropout:.2g}", (inputs,)))
    return [*layers, dense_layer(output_activation(classes), inputs, output_units(classes))]
