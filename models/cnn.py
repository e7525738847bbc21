"""Small convolutional networks, and their layers in arithmetic alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.checks import (
    ImageShape,
    check_choice,
    check_count,
    check_flag,
    check_head,
    check_image_shape,
    check_number,
)
from models.counts import convolution_count
from models.fused import fused_batch_norm, pooled_convolution
from models.head import Classes, attach_head, head_layers, layer_seeds
from models.layers import Layer, batch_norm_layer

if TYPE_CHECKING:
    import keras

PADDINGS = ("valid", "same")
POOLINGS = ("flatten", "average")
BATCH_NORM_PLACES = ("conv", "block", "flatten", "classifier")


@dataclass(frozen=True)
class CnnConfig:
    """A network of blocks (convolution, relu, optional batch norm, 2 x 2 max pooling) and a dense head.

    Attributes:
        layers: Number of blocks.
        filters: Filters of the first block.
        growth: Factor of the filters from block to block: block i has round(filters * growth**i).
        kernel: Side of the square convolution kernel, in pixels.
        padding: "valid" (the image loses kernel - 1 pixels in each block) or "same".
        normalize: Whether the model first brings each image to mean 0 and standard deviation 1.
        batch_norm: "none", or the places of batch-norm layers joined by "+": "conv" (after each convolution
            and its relu), "block" (after each pooling: a quarter of the work), "flatten" (on the flat features),
            "classifier" (before the output layer, after the last hidden dense layer; without one it is the same
            place as "flatten", which then gets one layer, not two).
        pooling: How feature maps become flat features: "flatten", or "average" (global, one number per filter).
        dense: Units of each hidden dense layer.
        dropout: Share of the inputs of the output layer silenced during training.

    Raises:
        ValueError: When a value breaks its rule.
    """

    backbone: ClassVar[str] = "cnn"  # the model's name in a space, where others name their backbone

    layers: int = 1
    filters: int = 8
    growth: float = 2.0
    kernel: int = 3
    padding: str = "valid"
    normalize: bool = False
    batch_norm: str = "none"
    pooling: str = "flatten"
    dense: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("layers", "filters", "kernel"):
            check_count(name, getattr(self, name))
        check_number("growth", self.growth)
        if self.growth <= 0 or min(block_filters(self)) < 1:
            raise ValueError(
                "growth must leave every block at least one filter. "
                f"Received: growth={self.growth!r} with filters={self.filters}, layers={self.layers}. "
                "Try growth=1.0 (constant) or 2.0 (doubling)."
            )
        check_flag("normalize", self.normalize)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("pooling", self.pooling, POOLINGS)
        batch_norm_places(self.batch_norm)
        check_head(self.dense, self.dropout)


def block_filters(config: CnnConfig) -> tuple[int, ...]:
    """The filters of each block, first to last."""
    return tuple(round(config.filters * config.growth**block) for block in range(config.layers))


def batch_norm_places(batch_norm: str) -> frozenset[str]:
    """The places named by a `batch_norm` setting, for example {"conv", "flatten"} for "conv+flatten".

    Raises:
        ValueError: When a place is unknown or named twice.
    """
    if batch_norm == "none":
        return frozenset()
    named = str(batch_norm).split("+")
    if not set(named) <= set(BATCH_NORM_PLACES) or len(set(named)) < len(named):
        raise ValueError(
            f"batch_norm must be 'none' or some of {', '.join(BATCH_NORM_PLACES)}, joined by '+', each once. "
            f"Received: {batch_norm!r}. Try 'conv+classifier'."
        )
    return frozenset(named)


def norm_before_output(config: CnnConfig) -> bool:
    """Whether the head has a batch-norm layer of its own, distinct from the one on the flat features."""
    places = batch_norm_places(config.batch_norm)
    return "classifier" in places and (bool(config.dense) or "flatten" not in places)


@dataclass(frozen=True)
class BlockShapes:
    """The (height, width, filters) that leave the convolution and the pooling of a block."""

    convolved: ImageShape
    pooled: ImageShape


def block_shapes(config: CnnConfig, input_shape: ImageShape) -> list[BlockShapes]:
    """The shapes of each block's feature maps, first to last.

    Raises:
        ValueError: When the image is too small for that many blocks.
    """
    check_image_shape(input_shape)
    lost = config.kernel - 1 if config.padding == "valid" else 0
    height, width, _ = input_shape
    blocks = []
    for filters in block_filters(config):
        height, width = height - lost, width - lost
        convolved = (height, width, filters)
        height, width = height // 2, width // 2
        blocks.append(BlockShapes(convolved, (height, width, filters)))
        if min(height, width) < 1:
            raise ValueError(
                "Every block must leave at least one pixel. "
                f"Received: layers={config.layers}, kernel={config.kernel}, padding={config.padding!r} and "
                f"{input_shape[0]} x {input_shape[1]} images, of which block {len(blocks)} leaves nothing. "
                "Use fewer layers, a smaller kernel, padding='same' or larger images."
            )
    return blocks


def flat_features(config: CnnConfig, input_shape: ImageShape) -> int:
    """How many numbers an image has after the last pooling.

    Raises:
        ValueError: As `block_shapes`.
    """
    height, width, filters = block_shapes(config, input_shape)[-1].pooled
    return filters if config.pooling == "average" else height * width * filters


def build_cnn(
    config: CnnConfig, input_shape: ImageShape, classes: Classes, seed: int = 0, fused: bool = False
) -> "keras.Model":
    """A Keras model, not yet compiled, from images to class probabilities.

    Args:
        config: The network.
        input_shape: (height, width, channels) of one image.
        classes: Number of classes, at least 2, or findings.
        seed: Fixes the initial weights and the dropout masks.
        fused: Whether the blocks are made of layers that train faster on a CPU. Weights and outputs are the same, but
            loading a saved model then needs this project.

    Returns:
        A model from float images (B, H, W, C) in [0, 1] to float32 probabilities: of class 1, (B, 1), for two
        classes; else of each class or finding, (B, K).

    Raises:
        ValueError: When the image is too small for the blocks, or `classes` below 2.

    Source: the readings of the report's tables 1 and 2, and its annex (figures A to H).
    """
    import keras

    block_shapes(config, input_shape)  # raises in our words where Keras would in its own
    places, seeds = batch_norm_places(config.batch_norm), layer_seeds(seed)
    x = images = keras.Input(input_shape, name="image")  # (B, H, W, C)
    if config.normalize:
        # Without scale and shift, a layer norm over all of an image is that image's standardization.
        x = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-6, dtype="float32")(x)
    for filters in block_filters(config):
        x = _attach_block(x, filters, config, next(seeds), fused)  # (B, H / 2, W / 2, filters)
    x = (keras.layers.Flatten() if config.pooling == "flatten" else keras.layers.GlobalAveragePooling2D())(x)  # (B, F)
    if "flatten" in places:
        x = keras.layers.BatchNormalization()(x)
    output = attach_head(x, config.dense, config.dropout, classes, seeds, norm_before_output(config))
    return keras.Model(images, output, name="cnn")


def _attach_block(x: Any, filters: int, config: CnnConfig, seed: int, fused: bool) -> Any:
    """One block on `x`: convolution, relu and max pooling, with batch norm at the places of the configuration."""
    import keras

    places = batch_norm_places(config.batch_norm)
    norm = fused_batch_norm() if fused else keras.layers.BatchNormalization
    pooled = fused and "conv" not in places
    layer = pooled_convolution() if pooled else keras.layers.Conv2D
    initializer = keras.initializers.GlorotUniform(seed=seed)
    convolution = layer(
        filters, config.kernel, padding=config.padding, activation="relu", kernel_initializer=initializer
    )
    x = convolution(x)
    if "conv" in places:
        x = norm()(x)
    if not pooled:
        x = keras.layers.MaxPooling2D(2)(x)
    return norm()(x) if "block" in places else x


def cnn_layers(config: CnnConfig, input_shape: ImageShape, classes: Classes) -> list[Layer]:
    """The layers of `build_cnn(config, input_shape, classes)`, first to last, without building it.

    Raises:
        ValueError: As `build_cnn`.
    """
    blocks = block_shapes(config, input_shape)
    layers, channels = [Layer("input", input_shape)], input_shape[2]
    if config.normalize:
        layers.append(Layer("normalize", input_shape))
    for block in blocks:
        layers += _block_layers(config, channels, block)
        channels = block.pooled[2]
    features = flat_features(config, input_shape)
    layers.append(Layer("average pooling" if config.pooling == "average" else "flatten", (features,)))
    if "flatten" in batch_norm_places(config.batch_norm):
        layers.append(batch_norm_layer((features,)))
    return layers + head_layers(features, config.dense, config.dropout, classes, norm_before_output(config))


def _block_layers(config: CnnConfig, channels: int, block: BlockShapes) -> list[Layer]:
    """The layers of one block on maps of so many channels, as `_attach_block` attaches them."""
    places, kernel = batch_norm_places(config.batch_norm), config.kernel
    count = convolution_count(kernel, channels, block.convolved[2])
    layers = [Layer(f"convolution {kernel} x {kernel}", block.convolved, count)]
    if "conv" in places:
        layers.append(batch_norm_layer(block.convolved))
    layers.append(Layer("max pooling 2 x 2", block.pooled))
    if "block" in places:
        layers.append(batch_norm_layer(block.pooled))
    return layers
