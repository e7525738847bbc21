"""The winner's scores by subgroup of the test images: age, sex, view, as far as files or tables state them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from search.evaluate.predictions import labels_of, patients_of, probabilities_of, probability_columns
from search.record import SHIFTED, VALIDATION, OperatingPoint, Rate
from search.record.subgroups import TRAITS, divide_images, score_group
from search.trial.calibration import two_columns


@dataclass(frozen=True)
class Subgroup:
    """Scores on a subgroup of a set of test images, as `search.record.subgroups.GroupScores`.

    Attributes:
        dataset: the set's name.
        by: the trait, such as "sex".
        group: its value, or a band of ages.
        images: how many.
        accuracy: None of a finding.
        finding: that the scores are of, with several findings an image; else empty.
    """

    dataset: str
    by: str
    group: str
    images: int
    accuracy: Rate | None
    sensitivity: Rate | None = None
    specificity: Rate | None = None
    finding: str = ""


def score_subgroups(
    table: pa.Table, point: OperatingPoint, finding_points: Sequence[OperatingPoint] = ()
) -> list[Subgroup]:
    """The scores on each subgroup of every test set; of several findings an image, those that the subgroup shows.

    Args:
        table: the winner's predictions, calibrated, as `prediction_table`.
        point: where it divides two classes.
        finding_points: of several findings an image, where each is called present.
    """
    datasets = np.array(table["dataset"].to_pylist())
    names = [name for name in dict.fromkeys(datasets.tolist()) if name not in (VALIDATION, SHIFTED)]
    found: list[Subgroup] = []
    for name in names:
        own = table.filter(datasets == name)
        found += _findings_of(name, own, finding_points) if finding_points else _groups_of(name, own, point)
    return found


def _groups_of(dataset: str, table: pa.Table, point: OperatingPoint) -> Iterator[Subgroup]:
    labels, probabilities, patients = labels_of(table), probabilities_of(table), patients_of(table)
    for by, group, own in divide_images(_traits(table)):
        scores = score_group(labels[own], probabilities[own], patients[own], point.threshold)
        yield Subgroup(dataset, by, group, int(own.sum()), *scores)


def _findings_of(dataset: str, table: pa.Table, points: Sequence[OperatingPoint]) -> Iterator[Subgroup]:
    labels, probabilities, patients = labels_of(table), probabilities_of(table), patients_of(table)
    names = [column.removeprefix("p_") for column in probability_columns(table)]
    for by, group, own in divide_images(_traits(table)):
        for name, shown, p, point in zip(names, labels[own].T, probabilities[own].T, points, strict=True):
            if (shown == 1).any():
                scores = score_group(shown, two_columns(p), patients[own], point.threshold)
                yield Subgroup(dataset, by, group, int(own.sum()), None, scores.sensitivity, scores.specificity, name)


def _traits(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table[name].to_pylist() for name in TRAITS if name in table.column_names}
