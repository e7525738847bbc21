"""A model as a chain of named parts, cut into what training never changes and what it does.

Training changes neither the weights of the part called `frozen` nor what it computes for an image: many trials can
share its output.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def chain(parts: Iterable[Any], input_shape: Sequence[int], name: str) -> Any:
    """A model that runs `parts` one after the other."""
    import keras

    x = inputs = keras.Input(input_shape)
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x, name=name)


def frozen_part(model: "keras.Model") -> "keras.Model | None":
    """What training never changes of a model: image in, features out; None when nothing is frozen.

    With the whole backbone frozen it ends after the pooling, which makes the features as small as can be. It
    shares its weights with `model`. A model loaded from a file has the same parts as the one that was saved.
    """
    fixed, _ = _fixed_and_trained(model)
    return chain(fixed, model.input_shape[1:], name="frozen_part") if fixed else None


def trainable_part(model: "keras.Model") -> "keras.Model":
    """What training changes of a model: features of `frozen_part` in, probabilities out.

    It shares its weights with `model`, and is `model` itself when nothing is frozen.
    """
    fixed, trained = _fixed_and_trained(model)
    if not fixed:
        return model
    shape = model.input_shape
    for part in fixed:
        shape = part.compute_output_shape(shape)
    return chain(trained, shape[1:], name="trainable_part")


def _fixed_and_trained(model: Any) -> tuple[list[Any], list[Any]]:
    """The parts of the chain that never change, and those after them."""
    parts = model.layers[1:]  # the first is the input
    names = [part.name for part in parts]
    if "frozen" not in names:
        return [], parts
    # Pooling has no weights: right after the frozen part, it belongs to what never changes.
    cut = names.index("thawed") if "thawed" in names else names.index("head")
    return parts[:cut], parts[cut:]
