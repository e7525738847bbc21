"""Divides images into subgroups by what files or tables state of them: age in bands, sex, view."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAITS = ("age", "sex", "view")  # columns of predictions; none names a patient
FEWEST = 10  # images that an interval is given for
NOT_SAID = "not stated"
_AGES = {0.0: "under 18", 18.0: "18 to 39", 40.0: "40 to 64", 65.0: "65 and over"}  # by their first year


def group_images(trait: str, values: Sequence[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The groups of a trait, ages in their order and others by size, each with its images: bool (N,).

    Args:
        trait: one of `TRAITS`.
        values: N, ages in years; None or NaN where not stated. These images are the last group.
    """
    known = np.array([value is not None and value == value for value in values], bool)
    if trait == "age":
        years = np.array([value if own else np.nan for value, own in zip(values, known, strict=True)], np.float64)
        places = np.searchsorted(np.array(list(_AGES)), years, side="right") - 1
        found = [(name, known & (places == place)) for place, name in enumerate(_AGES.values())]
    else:
        counts = Counter(value for value, own in zip(values, known, strict=True) if own)
        found = [(str(name), np.array([value == name for value in values])) for name, _ in counts.most_common()]
    return [(name, own) for name, own in (*found, (NOT_SAID, ~known)) if own.any()]
