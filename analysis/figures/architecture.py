"""Architecture summaries as in the report's annex: layer, output shape, parameters; in arithmetic alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_SHRINKS = 32  # by how much the backbones below shrink an image


@dataclass(frozen=True)
class Layer:
    """One line of a summary.

    Attributes:
        shape: of the output, without the batch.
        parameters: how many numbers the layer holds; `None` where arithmetic alone cannot tell.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int | None


def layers_of(
    parameters: Mapping[str, Any], image: tuple[int, int, int], classes: int, total: int | None = None
) -> list[Layer]:
    """The layers of a trial's model, first to last.

    Args:
        parameters: the trial's hyperparameters; `dense` as a list or as text (`16-8`).
        image: height, width, channels.
        classes: two give one sigmoid unit, more give a unit each.
        total: the model's recorded parameters; what they leave for a backbone is the backbone's.
    """
    own = {name: value for name, value in parameters.items() if value is not None and value == value}
    dense = _widths(own.get("dense", ()))
    if own.get("backbone", "cnn") == "cnn":
        return _cnn_layers(own, image, classes, dense)
    return _transfer_layers(own, image, classes, dense, total)


def summary(layers: list[Layer]) -> "pd.DataFrame":
    """The layers as a table: layer, output shape, parameters; the last row is their sum."""
    import pandas as pd

    rows = [(layer.name, " x ".join(map(str, layer.shape)), layer.parameters) for layer in layers]
    known = [layer.parameters for layer in layers]
    total = None if None in known else sum(number for number in known if number is not None)
    frame = pd.DataFrame([*rows, ("all", "", total)], columns=["layer", "output shape", "parameters"])
    return frame.astype({"parameters": "Int64"})


def _cnn_layers(own: Mapping[str, Any], image: tuple[int, int, int], classes: int, dense: list[int]) -> list[Layer]:
    count, kernel = int(own.get("layers", 1)), int(own.get("kernel", 3))
    first, growth = int(own.get("filters", 8)), float(own.get("growth", 2.0))
    lost = kernel - 1 if own.get("padding", "valid") == "valid" else 0
    norms = set(str(own.get("batch_norm", "none")).split("+"))
    height, width, channels = image
    layers = [Layer("input", image, 0)]
    if _is_true(own.get("normalize", False)):
        layers.append(Layer("normalize", image, 0))
    for block in range(count):
        filters = round(first * growth**block)
        height, width = height - lost, width - lost
        layers.append(
            Layer(f"convolution {kernel} x {kernel}", (height, width, filters), (kernel**2 * channels + 1) * filters)
        )
        if "conv" in norms:
            layers.append(Layer("batch norm", (height, width, filters), 4 * filters))
        height, width, channels = height // 2, width // 2, filters
        layers.append(Layer("max pooling 2 x 2", (height, width, channels), 0))
        if "block" in norms:
            layers.append(Layer("batch norm", (height, width, channels), 4 * channels))
    average = own.get("pooling", "flatten") == "average"
    features = channels if average else height * width * channels
    layers.append(Layer("average pooling" if average else "flatten", (features,), 0))
    if "flatten" in norms:
        layers.append(Layer("batch norm", (features,), 4 * features))
    own_norm = "classifier" in norms and (bool(dense) or "flatten" not in norms)
    return layers + _head(features, dense, own, classes, own_norm)


def _transfer_layers(
    own: Mapping[str, Any], image: tuple[int, int, int], classes: int, dense: list[int], total: int | None
) -> list[Layer]:
    backbone = str(own["backbone"])
    maps = _last_maps(backbone, *image[:2])
    if maps is None:
        return [Layer("input", image, 0), Layer(f"{backbone} and its head", (1 if classes == 2 else classes,), total)]
    height, width, channels = maps
    average = own.get("pooling", "average") == "average"
    features = channels if average else height * width * channels
    # A space that does not say has the builder's own head: one hidden layer of 128.
    head = _head(features, dense if "dense" in own else [128], own, classes, False)
    rest = None if total is None else total - sum(layer.parameters or 0 for layer in head)
    return [
        Layer("input", image, 0),
        Layer(backbone, (height, width, channels), rest),
        Layer("average pooling" if average else "flatten", (features,), 0),
        *head,
    ]


def _last_maps(backbone: str, height: int, width: int) -> tuple[int, int, int] | None:
    """The feature maps that leave a backbone; `None` for one that arithmetic does not know."""
    if backbone == "vgg16":
        return height // _SHRINKS, width // _SHRINKS, 512
    if backbone.startswith("resnet"):  # rounds up where VGG16 rounds down
        return -(-height // _SHRINKS), -(-width // _SHRINKS), 2048
    return None


def _head(features: int, dense: list[int], own: Mapping[str, Any], classes: int, batch_norm: bool) -> list[Layer]:
    layers = []
    for units in dense:
        layers.append(Layer(f"dense {units}", (units,), (features + 1) * units))
        features = units
    if batch_norm:
        layers.append(Layer("batch norm", (features,), 4 * features))
    if float(own.get("dropout", 0.0)) > 0:
        layers.append(Layer(f"dropout {float(own['dropout']):.2g}", (features,), 0))
    units = 1 if classes == 2 else classes
    return [*layers, Layer("sigmoid" if classes == 2 else "softmax", (units,), (features + 1) * units)]


def _widths(dense: Any) -> list[int]:
    if isinstance(dense, str):
        return [int(part) for part in dense.split("-") if part.isdigit()]
    if isinstance(dense, int | float):
        return [int(dense)]
    return [int(width) for width in dense]


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
