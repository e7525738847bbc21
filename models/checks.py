"""Checks of model configurations: each returns nothing, or raises an error that names the next step."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

ImageShape = tuple[int, int, int]  # height, width, channels


def is_count(value: object) -> bool:
    """Whether `value` is a whole number of at least 1 (True, which Python takes for 1, is not)."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def nearest(name: object, valid: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence that offers the names nearest to `name`, or all `valid` ones when none is near.

    Args:
        name: What was received.
        valid: The names to choose from.
        cutoff: How alike a name must be to be offered, from 0 (any) to 1 (equal).
    """
    valid = tuple(valid)
    near = get_close_matches(str(name), valid, n=3, cutoff=cutoff)
    return f"Did you mean {' or '.join(near)}?" if near else f"Valid: {', '.join(valid)}."


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a whole number of at least 1."""
    if not is_count(value):
        raise ValueError(f"{name} must be a whole number, at least 1. Received: {value!r}. Try {name}=3.")


def check_number(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number. Received: {value!r}. Try {name}=1.0.")


def check_flag(name: str, value: object) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false. Received: {value!r}. Try {name}=true.")


def check_choice(name: str, value: object, valid: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the `valid` names."""
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(valid)}. Received: {value!r}. {nearest(value, valid)}")


def check_head(dense: object, dropout: object) -> None:
    """Raise ValueError unless `dense` is a tuple of whole numbers and `dropout` a share in [0, 1)."""
    if not isinstance(dense, tuple) or not all(is_count(units) for units in dense):
        raise ValueError(
            "dense must be a tuple of whole numbers, each at least 1, one per hidden layer. "
            f"Received: {dense!r}. Try dense=(16,), or dense=() for no hidden layer."
        )
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1). Received: {dropout!r}. Try dropout=0.5, or 0 for none.")


def check_classes(classes: object) -> None:
    """Raise ValueError unless `classes` is a whole number of at least 2."""
    if not is_count(classes) or classes == 1:
        raise ValueError(
            f"A classifier needs at least 2 classes. Received: {classes!r}. Check the labels of the data set."
        )


def check_image_shape(shape: Sequence[int]) -> None:
    """Raise ValueError unless `shape` is (height, width, channels) of whole numbers, each at least 1."""
    if len(shape) != 3 or not all(is_count(side) for side in shape):
        raise ValueError(
            "input_shape must be (height, width, channels), whole numbers of at least 1. "
            f"Received: {shape!r}. Try (224, 224, 1)."
        )
