"""The winner's scores by subgroup of the test images: age, sex, view, as far as files or tables state them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from search.evaluate.predictions import labels_of, patients_of, probabilities_of
from search.record import SHIFTED, VALIDATION, OperatingPoint, Rate
from search.record.subgroups import TRAITS, divide_images, score_group


@dataclass(frozen=True)
class Subgroup:
    """Scores on a subgroup of a set of test images, as `search.record.subgroups.GroupScores`.

    Attributes:
        dataset: the set's name.
        by: the trait, such as "sex".
        group: its value, or a band of ages.
        images: how many.
    """

    dataset: str
    by: str
    group: str
    images: int
    accuracy: Rate
    sensitivity: Rate | None = None
    specificity: Rate | None = None


def score_subgroups(table: pa.Table, point: OperatingPoint) -> list[Subgroup]:
    """The scores on each subgroup of every test set.

    Args:
        table: the winner's predictions, calibrated, as `prediction_table`; of findings there are no subgroups.
        point: where it divides two classes.
    """
    if "label" not in table.column_names:
        return []
    datasets = np.array(table["dataset"].to_pylist())
    names = [name for name in dict.fromkeys(datasets.tolist()) if name not in (VALIDATION, SHIFTED)]
    return [group for name in names for group in _groups_of(name, table.filter(datasets == name), point)]


def _groups_of(dataset: str, table: pa.Table, point: OperatingPoint) -> Iterator[Subgroup]:
    labels, probabilities, patients = labels_of(table), probabilities_of(table), patients_of(table)
    traits = {name: table[name].to_pylist() for name in TRAITS if name in table.column_names}
    for by, group, own in divide_images(traits):
        scores = score_group(labels[own], probabilities[own], patients[own], point.threshold)
        yield Subgroup(dataset, by, group, int(own.sum()), *scores)
