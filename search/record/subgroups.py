"""Divides images into subgroups by what files or tables state of them, age in bands, sex and view, and scores each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.record.intervals import share_rate
from search.record.schema import Rate

TRAITS = ("age", "sex", "view")  # columns of predictions; none names a patient
FEWEST = 10  # images that an interval is given for
NOT_SAID = "not stated"
_AGES = {0.0: "under 18", 18.0: "18 to 39", 40.0: "40 to 64", 65.0: "65 and over"}  # by their first year


class GroupScores(NamedTuple):
    """The scores on a subgroup; a score of fewer than `FEWEST` images has no interval.

    Attributes:
        accuracy: of the more probable class.
        sensitivity, specificity: at the operating point; None unless there are two classes.
    """

    accuracy: Rate
    sensitivity: Rate | None = None
    specificity: Rate | None = None


def divide_images(traits: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """The groups of every trait that an image states: the trait, the group and its images, bool (N,).

    Args:
        traits: N values each by name, as `group_images`; only those of `TRAITS` count.
    """
    for trait in TRAITS:
        groups = group_images(trait, traits[trait]) if trait in traits else []
        if [name for name, _ in groups] != [NOT_SAID]:
            yield from ((trait, name, own) for name, own in groups)


def score_group(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], patients: NDArray[np.int64], threshold: float
) -> GroupScores:
    """The scores on the images of a group.

    Args:
        labels: int64 (n,), in [0, K); of two classes 1 is the positive one.
        probabilities: float (n, K).
        patients: int64 (n,), the units of the intervals.
        threshold: from which probability on an image is called positive; of two classes.
    """
    accuracy = _share(labels == probabilities.argmax(axis=1), patients)
    if probabilities.shape[1] != 2:
        return GroupScores(accuracy)
    positive, called = labels == 1, probabilities[:, 1].astype(np.float64) >= threshold
    sensitivity = _share(called[positive], patients[positive])
    return GroupScores(accuracy, sensitivity, _share(~called[~positive], patients[~positive]))


def _share(right: NDArray[np.bool_], patients: NDArray[np.int64]) -> Rate:
    """The share of right images; with an interval where there are enough."""
    rate = share_rate(right, patients)
    return rate if len(right) >= FEWEST else Rate(rate.value, None, None)


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
