"""Settings of the data that break a rule."""

from typing import Any

import pytest

from data_pipeline.manifest import MULTILABEL, DataError
from data_pipeline.settings import DataSettings
from data_pipeline.split import SplitSettings


def test_impossible_fraction_is_refused() -> None:
    with pytest.raises(DataError, match="max_bad_fraction lies between 0 and 1"):
        DataSettings(max_bad_fraction=2.0)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"data.accept is a list of modality, .*Received: 'lateral'"):
        DataSettings(accept=["lateral"])


def test_a_table_needs_the_folder_of_its_images() -> None:
    with pytest.raises(DataError, match=r"data.labels=a.csv without data.root"):
        DataSettings(labels="a.csv")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "several"}, "data.task is one of multiclass, multilabel. Received: 'several'"),
        ({"labels": "two_class"}, "takes its labels from a table. Received: data.labels=two_class"),
        ({"positive": "Mass"}, "has no positive class"),
        (
            {"split": SplitSettings("balanced")},
            r"Received: data.split.method=balanced. Add data.split.method=stratified",
        ),
    ],
)
def test_what_does_not_go_with_several_findings_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        DataSettings(**{"root": "/x", "labels": "a.csv", "task": MULTILABEL, **given})
