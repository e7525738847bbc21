"""Architecture summaries as in the report's annex: layer, output shape, parameters; in arithmetic alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from models.checks import ImageShape
from models.head import output_units
from models.registry import FAMILIES, Classes, layer_table, model_config

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Layer:
    """One line of a summary.

    Attributes:
        name: of the layer, in words.
        shape: of the output, without the batch.
        parameters: how many numbers the layer holds; `None` where they are unknown.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int | None


def layers_of(
    parameters: Mapping[str, Any], image: ImageShape, classes: Classes, total: int | None = None
) -> list[Layer]:
    """The layers of a trial's model, first to last.

    Args:
        parameters: the trial's hyperparameters; `dense` as a list or as text (`16-8`).
        image: height, width, channels.
        classes: two give one sigmoid unit, more give a unit each.
        total: the model's recorded parameters, shown of a backbone that this version does not have.
    """
    backbone = str(parameters.get("backbone", "cnn"))
    if backbone not in FAMILIES:
        return [Layer("input", image, 0), Layer(f"{backbone} and its head", (output_units(classes),), total)]
    config = model_config(backbone, _model_values(backbone, parameters))
    return [Layer(layer.name, layer.shape, layer.count.total) for layer in layer_table(config, image, classes)]


def summary(layers: Sequence[Layer]) -> "pd.DataFrame":
    """The layers as a table: layer, output shape, parameters; the last row is their sum."""
    import pandas as pd

    rows = [(layer.name, " x ".join(map(str, layer.shape)), layer.parameters) for layer in layers]
    known = [layer.parameters for layer in layers]
    total = None if None in known else sum(number for number in known if number is not None)
    frame = pd.DataFrame([*rows, ("all", "", total)], columns=["layer", "output shape", "parameters"])
    return frame.astype({"parameters": "Int64"})


def _model_values(backbone: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that shape the model, as its configuration has them.

    A column of a table holds whole numbers as floats where a trial lacks them, and the rest as text.
    """
    defaults = {field.name: field.default for field in fields(FAMILIES[backbone].config)}
    own = {name: value for name, value in parameters.items() if value is not None and value == value}
    return {name: _value_like(defaults[name], own[name]) for name in FAMILIES[backbone].parameters if name in own}


def _value_like(default: Any, value: Any) -> Any:
    """A table's value as one of the default's type."""
    if isinstance(default, tuple):
        return _widths(value)
    if isinstance(default, bool):
        return str(value).lower() == "true"
    return type(default)(value)


def _widths(dense: Any) -> list[int]:
    if isinstance(dense, str):
        return [int(part) for part in dense.split("-") if part.isdigit()]
    if isinstance(dense, int | float):
        return [int(dense)]
    return [int(width) for width in dense]
