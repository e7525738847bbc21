"""The winner's scores by subgroup of the test images: age, sex, view, as far as files or tables state them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from search.evaluate.operating import decisions_on, share_rate
from search.evaluate.predictions import patients_of, probabilities_of
from search.record import SHIFTED, VALIDATION, OperatingPoint, Rate
from search.record.subgroups import FEWEST, TRAITS, group_images


@dataclass(frozen=True)
class Subgroup:
    """Scores on a subgroup of a set of test images; fewer than `FEWEST` images have no interval.

    Attributes:
        dataset: the set's name.
        by: the trait, such as "sex".
        group: its value, or a band of ages.
        images: how many.
        accuracy: of the more probable class.
        sensitivity, specificity: at the operating point; None unless there are two classes.
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
    return list(_subgroups(table, point)) if "label" in table.column_names else []


def _subgroups(table: pa.Table, point: OperatingPoint) -> Iterator[Subgroup]:
    datasets = np.array(table["dataset"].to_pylist())
    labels, p, patients = table["label"].to_numpy(), probabilities_of(table), patients_of(table)
    for dataset in dict.fromkeys(datasets.tolist()):
        if dataset in (VALIDATION, SHIFTED):
            continue
        (places,) = np.nonzero(datasets == dataset)
        for trait in [name for name in TRAITS if name in table.column_names]:
            values = table[trait].take(places).to_pylist()
            if all(value is None for value in values):
                continue
            for group, own in group_images(trait, values):
                rows = places[own]
                accuracy = share_rate(labels[rows] == p[rows].argmax(axis=1), patients[rows])
                found = Subgroup(dataset, trait, group, len(rows), _where_enough(accuracy, len(rows)))
                if p.shape[1] != 2:
                    yield found
                    continue
                there = decisions_on(dataset, labels[rows], p[rows, 1], patients[rows], point, None)[0]
                positive = int((labels[rows] == 1).sum())
                yield Subgroup(
                    *(found.dataset, found.by, found.group, found.images, found.accuracy),
                    _where_enough(there.sensitivity, positive),
                    _where_enough(there.specificity, len(rows) - positive),
                )


def _where_enough(rate: Rate, images: int) -> Rate:
    return rate if images >= FEWEST else Rate(rate.value, None, None)
