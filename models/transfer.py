"""A backbone of keras.applications, frozen wholly, in part or not at all, with a small dense head.

The model is a chain of named parts:

    image -> prepare -> frozen -> thawed -> pooling -> head -> probability

`frozen` ends with the layer that the configuration names, and `thawed` begins after it; an empty part is left out.
The output of the frozen part depends on image and weights only, so it can be computed once and shared by many
trials: see `models.parts`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.backbones import WeightsError, build_backbone, find_backbone
from models.checks import ImageShape, check_choice, check_head, check_image_shape, nearest
from models.counts import ParameterCount
from models.head import Classes, attach_head, head_layers, layer_seeds
from models.layers import Layer
from models.parts import chain, trainable_part

if TYPE_CHECKING:
    import keras

POOLINGS = ("average", "flatten")
SMALLEST_SIDE = 32  # pixels; keras.applications refuses smaller images


@dataclass(frozen=True)
class TransferConfig:
    """A backbone and the head trained on it.

    Attributes:
        backbone: A name of BACKBONES.
        pooling: How feature maps become flat features: "average" (global, one number per channel) or "flatten".
        dense: Units of each hidden dense layer of the head.
        dropout: Share of the inputs of the output layer silenced during training.
        frozen: What training does not change: "all" of the backbone, "early" for all but its last stage, "none" of
            it, or everything up to and including the layer of this name, for example "block4_pool" of vgg16. That
            the layer exists is checked when the model is built.

    Raises:
        ValueError: When a value breaks its rule.
    """

    backbone: str
    pooling: str = "average"
    dense: tuple[int, ...] = (128,)
    dropout: float = 0.0
    frozen: str = "all"

    def __post_init__(self) -> None:
        find_backbone(self.backbone)
        check_choice("pooling", self.pooling, POOLINGS)
        check_head(self.dense, self.dropout)
        if not isinstance(self.frozen, str) or not self.frozen:
            raise ValueError(
                "frozen must be 'all', 'early', 'none' or the name of a layer of the backbone. "
                f"Received: {self.frozen!r}. Try frozen='all'."
            )

    @property
    def cut(self) -> str:
        """Where the frozen part ends: "all", "none" or the name of a layer of the backbone."""
        return find_backbone(self.backbone).cut if self.frozen == "early" else self.frozen


def build_transfer(
    config: TransferConfig,
    input_shape: ImageShape,
    classes: Classes,
    weights: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> "keras.Model":
    """A Keras model, not yet compiled, from images to class probabilities.

    The frozen part behaves as in inference even while the model is trained: its batch-norm statistics do not move, it
    drops nothing out, and its output for an image never changes.

    Args:
        config: Backbone and head.
        input_shape: (height, width, channels) of one image; the model itself repeats a single channel
            three times.
        classes: Number of classes, at least 2, or findings.
        weights: The backbone's arrays as `load_backbone_weights` gives them; None for random ones.
        seed: Fixes the initial weights and the dropout masks.

    Returns:
        A model from float images (B, H, W, C) in [0, 1] to float32 probabilities: of class 1, (B, 1), for two
        classes; else of each class or finding, (B, K).

    Raises:
        ValueError: When the image is too small, `classes` below 2, or `config.frozen` names no possible cut.
        WeightsError: When `weights` do not fit the backbone.

    Source: the report's sections 2.3, 3.3 and 3.4, and figure I of its annex.
    """
    import keras

    check_transfer_shape(input_shape)
    seeds = layer_seeds(seed)
    prepare = _preparation(config.backbone, input_shape)
    backbone = _filled_backbone(config.backbone, prepare.output_shape[1:], weights, next(seeds))
    layer = keras.layers.GlobalAveragePooling2D if config.pooling == "average" else keras.layers.Flatten
    head = _build_head(config, input_shape, classes, seeds)
    parts = [prepare, *_split(backbone, config), layer(name="pooling"), head]
    return chain(parts, input_shape, name=config.backbone)


def _build_head(config: TransferConfig, input_shape: ImageShape, classes: Classes, seeds: Iterator[int]) -> Any:
    """A model from pooled feature maps (B, F) to probabilities."""
    import keras

    features = keras.Input((flat_features(config, input_shape),))
    return keras.Model(features, attach_head(features, config.dense, config.dropout, classes, seeds), name="head")


def last_maps(config: TransferConfig, input_shape: ImageShape) -> ImageShape:
    """The (height, width, channels) of the feature maps that leave the backbone."""
    backbone = find_backbone(config.backbone)
    return backbone.last_side(input_shape[0]), backbone.last_side(input_shape[1]), backbone.features


def flat_features(config: TransferConfig, input_shape: ImageShape) -> int:
    """How many numbers an image has after the pooling."""
    height, width, channels = last_maps(config, input_shape)
    return height * width * channels if config.pooling == "flatten" else channels


def transfer_cut(config: TransferConfig) -> str | None:
    """What the output of the frozen part depends on besides backbone, weights and image; None if nothing is frozen."""
    if config.frozen == "none":
        return None
    return f"all, {config.pooling}" if config.frozen == "all" else config.cut


def transfer_numbers(config: TransferConfig, input_shape: ImageShape) -> int | None:
    """How many numbers leave the frozen part for an image; None where only the built model shows it."""
    return flat_features(config, input_shape) if config.frozen == "all" else None


def build_transfer_trainable(
    config: TransferConfig,
    input_shape: ImageShape,
    classes: Classes,
    weights: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> "keras.Model":
    """`trainable_part(build_transfer(...))` with the same initial weights; a head alone is built without its backbone.

    Args and Raises are those of `build_transfer`; `input_shape` is that of an image.
    """
    if config.frozen != "all":
        return trainable_part(build_transfer(config, input_shape, classes, weights, seed))
    check_transfer_shape(input_shape)
    seeds = layer_seeds(seed)
    next(seeds)  # the backbone's
    head = _build_head(config, input_shape, classes, seeds)
    return chain([head], head.input_shape[1:], name="trainable_part")


def check_transfer_shape(input_shape: ImageShape) -> None:
    """Raise ValueError unless backbones take images of this shape, a single channel repeated three times."""
    check_image_shape(input_shape)
    height, width, channels = input_shape
    if min(height, width) < SMALLEST_SIDE or channels not in (1, 3):
        raise ValueError(
            f"A backbone takes images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, 1 or 3 channels. "
            f"Received: input_shape={input_shape!r}. Try (224, 224, 1)."
        )


def _preparation(backbone: str, input_shape: ImageShape) -> Any:
    """A model from images in [0, 1], grey or colour, to float32 images as the backbone was trained on.

    It computes in float32 under every policy: 16 bits would merge grey levels.
    """
    import keras

    x = image = keras.Input(input_shape, name="image")  # (B, H, W, 1 or 3)
    if input_shape[-1] == 1:
        x = keras.layers.Concatenate(dtype="float32")([x, x, x])  # (B, H, W, 3)
    x = keras.layers.Rescaling(255.0, dtype="float32")(x)
    module = getattr(keras.applications, find_backbone(backbone).module)
    return keras.Model(image, module.preprocess_input(x), name="prepare")


def _filled_backbone(name: str, input_shape: Sequence[int], weights: Sequence[np.ndarray] | None, seed: int) -> Any:
    """The backbone with these weights, or with random ones that depend on `seed` alone."""
    backbone = build_backbone(name, input_shape)
    if weights is None:
        _reseed(backbone, seed)
        return backbone
    expected = [tuple(weight.shape) for weight in backbone.weights]
    received = [np.shape(weight) for weight in weights]
    if received != expected:
        raise WeightsError(
            f"weights must be the {len(expected)} arrays of {name}'s get_weights(), without its top. "
            f"Received: {len(received)} arrays, whose shapes differ from those. "
            f"Take them from load_backbone_weights({name!r}, ...)."
        )
    backbone.set_weights(weights)
    return backbone


def _reseed(model: Any, seed: int) -> None:
    """Draw the random initial weights of a model again, so that they depend on `seed` alone.

    The builders of keras.applications take no seed, and seeding the whole process would change every other draw.
    """
    import keras

    seeds = layer_seeds(seed)

    def draw(layer: Any) -> Any:
        if isinstance(layer, keras.Sequential):  # ConvNeXt holds its stem and its downsampling as models of their own
            for each in layer.layers:
                draw(each)
            return layer
        for name, value in layer.get_config().items():
            if name.endswith("_initializer") and value and "seed" in value["config"]:
                seeded = {**value, "config": {**value["config"], "seed": next(seeds)}}
                initializer = keras.initializers.get(seeded)
                layer.kernel.assign(initializer(layer.kernel.shape, dtype=layer.kernel.dtype))
        return layer

    # It visits the layers in an order of its own, which the weights of a seed follow from. Every layer is kept.
    keras.models.clone_model(
        model, model.input, clone_function=draw, call_function=lambda layer, *args, **options: layer.output
    )


def _split(backbone: Any, config: TransferConfig) -> list[Any]:
    """The backbone as a frozen and a thawed model, without the one that would be empty."""
    import keras

    if config.frozen == "none":
        return [keras.Model(backbone.input, backbone.output, name="thawed")]
    if config.frozen != "all":
        check_cut(backbone, config)
    cut = backbone.output if config.frozen == "all" else backbone.get_layer(config.cut).output
    frozen = keras.Model(backbone.input, cut, name="frozen")
    _freeze(frozen)
    return [frozen] if config.frozen == "all" else [frozen, keras.Model(cut, backbone.output, name="thawed")]


def _freeze(part: Any) -> None:
    """Make training change neither the weights of a part nor what it computes for an image."""
    import keras

    part.trainable = False  # which puts batch norm into inference mode too
    for layer in part.layers:
        # Training switches dropout on wherever it is: Keras does not heed training=False given to a part of a model.
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def possible_cuts(backbone: "keras.Model") -> tuple[str, ...]:
    """Names of the layers after which the backbone can be cut in two, first to last.

    The model can be cut after a layer when no connection jumps over it: all later layers see the earlier ones through
    its output only. The input is not such a layer (nothing would be frozen), nor is the last one (that is
    frozen="all").
    """
    import keras

    steps = backbone.operations  # each after those it reads from; MobileNetV3 adds and multiplies without layers
    place = {id(step.output): index for index, step in enumerate(steps)}
    # earliest[i] is the first step that step i + 1 reads from.
    earliest = [min(place[id(tensor)] for tensor in keras.tree.flatten(step.input)) for step in steps[1:]]
    cuts = [steps[i] for i in range(1, len(steps) - 1) if min(earliest[i:]) >= i]
    return tuple(step.name for step in cuts if isinstance(step, keras.layers.Layer))


def check_cut(backbone: "keras.Model", config: TransferConfig) -> None:
    """Raise ValueError unless the backbone can be cut after the layer `config.cut`."""
    cuts = possible_cuts(backbone)
    if config.cut in cuts:
        return
    names = [layer.name for layer in backbone.layers]
    if config.cut not in names:
        raise ValueError(
            f"frozen must be 'all', 'early', 'none' or a layer of {config.backbone}. Received: {config.cut!r}. "
            f"{nearest(config.cut, cuts, cutoff=0.0)}"
        )
    place = names.index(config.cut)
    near = sorted(cuts, key=lambda cut: abs(names.index(cut) - place))[:2]
    raise ValueError(
        f"frozen must name a layer of {config.backbone} between its input and its last layer that no "
        f"connection jumps over. Received: {config.cut!r}. The nearest such layers are {' and '.join(near)}; "
        "the whole backbone is 'all'."
    )


def transfer_layers(config: TransferConfig, input_shape: ImageShape, classes: Classes) -> list[Layer]:
    """The layers of `build_transfer(config, input_shape, classes)` without building it; the backbone is one.

    The backbone's trainable parameters are unknown (None) when it is cut at a named layer: only the built model
    shows how many weights lie before it.

    Raises:
        ValueError: When the image is too small or `classes` below 2.
    """
    check_transfer_shape(input_shape)
    backbone, features = find_backbone(config.backbone), flat_features(config, input_shape)
    trainable = {"all": 0, "none": backbone.parameters - backbone.statistics}.get(config.frozen)
    return [
        Layer("input", input_shape),
        Layer(config.backbone, last_maps(config, input_shape), ParameterCount(backbone.parameters, trainable)),
        Layer("average pooling" if config.pooling == "average" else "flatten", (features,)),
        *head_layers(features, config.dense, config.dropout, classes),
    ]
