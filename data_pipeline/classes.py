"""The order of a data set's classes: the normal one first and, of two classes, the positive one last.

Whatever speaks of one class in particular follows from this order: of two classes, sensitivity, precision and the
curves are of the last; the class weights that favour normal favour the first.
"""

import re
from collections.abc import Sequence

from data_pipeline.manifest import DataError

AUTO = "auto"
_NORMAL = {"normal", "normals", "healthy", "negative", "negatives", "control", "controls", "unremarkable"}
_NEGATIONS = {"no", "non", "not", "without"}


def order_classes(names: Sequence[str], positive: str | None) -> tuple[str, ...]:
    """The classes with the normal one first and, of two, the positive one last; the others keep the order of names.

    Args:
        names: of at least one class.
        positive: The positive one of two classes, its case ignored; AUTO recognizes it; None keeps the order of names,
            as runs did before there was a choice.

    Raises:
        DataError: `positive` is no class, cannot be recognized, or is given for a number of classes other than two.
    """
    ordered = sorted(names)
    if positive is None or len(names) < 2:
        return tuple(ordered)
    if positive != AUTO and len(names) > 2:
        raise DataError(
            f"data.positive names one of two classes. Received: {positive!r} with the classes {', '.join(ordered)}. "
            "Leave it out: each class is then compared with all others."
        )
    if positive != AUTO:
        chosen = [name for name in ordered if name.casefold() == positive.casefold()]
        if not chosen:
            raise DataError(f"data.positive names a class. Received: {positive!r}. Choose {' or '.join(ordered)}.")
        return (*(name for name in ordered if name not in chosen), *chosen)
    normal = [name for name in ordered if reads_as_normal(name)]
    if len(names) == 2 and len(normal) != 1:
        asked = " or ".join(f"data.positive={name}" for name in ordered)
        raise DataError(
            "Of two classes one is the positive one, the finding that sensitivity and precision are of. "
            f"Received: {' and '.join(ordered)}, of which neither alone reads as normal. Write {asked}."
        )
    return tuple(sorted(ordered, key=lambda name: normal != [name]))


def reads_as_normal(name: str) -> bool:
    """Whether a class's name says that nothing is wrong: Normal, healthy_lung, No Finding, non-covid; not 'not normal'.

    A negation turns the meaning of the other words round.
    """
    words = set(re.split(r"[\W_]+", name.casefold()))
    return bool(words & _NORMAL) != bool(words & _NEGATIONS)


def names_a_side(name: str) -> bool:
    """Whether a class is of the left or of the right side, so that a mirrored image belongs to another class."""
    return bool({"left", "right"} & set(re.split(r"[\W_]+", name.casefold())))
