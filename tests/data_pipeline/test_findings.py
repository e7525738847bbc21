from typing import Any

import pytest

from data_pipeline.classes import AUTO
from data_pipeline.findings import TableSettings, label_of, read_classes
from data_pipeline.manifest import DataError
from data_pipeline.table_formats import LabelRow, LabelTable


def decide(
    present: str, doubtful: str = "", silent: str = "", /, classes: dict[str, Any] | None = None, **choices: str
) -> Any:
    """The class, or the rule that sets the image aside."""
    row = LabelRow("a", *(frozenset(text.split()) for text in (present, doubtful, silent)))
    every = LabelRow("b", frozenset({"Pneumonia", "Consolidation", "Edema", "Normal"}))
    classes = classes or {"sick": ["Pneumonia", "Consolidation"], "healthy": ["Normal"]}
    table = read_classes(_table(row, every), classes, AUTO)
    found = label_of(row, table, TableSettings(**choices))
    return found if isinstance(found, str) else table.names[found]


def _table(*rows: LabelRow) -> Any:
    return LabelTable("test", rows, is_public=True)


def test_each_rule_decides_as_it_says() -> None:
    assert decide("Pneumonia Consolidation Edema") == "sick"
    assert decide("Edema") == "no finding of data.classes"
    assert "several classes" in decide("Pneumonia Normal")
    assert decide("Normal Consolidation", several="first") == "sick"
    assert "uncertain" in decide("Normal", "Pneumonia")
    assert decide("Normal", "Pneumonia", uncertain="negative") == "healthy"
    assert decide("", "Pneumonia", uncertain="positive") == "sick"
    assert decide("Consolidation", "Pneumonia Edema") == "sick"  # it changes nothing
    assert decide("Normal", "", "Pneumonia") == "healthy"
    assert "blank" in decide("Normal", "", "Pneumonia", blank="exclude")
    assert decide("Consolidation", "", "Pneumonia Edema", blank="exclude") == "sick"
    rest = {"healthy": "Normal", "other": ["*"]}
    assert decide("Edema", classes=rest) == "other"
    assert decide("Normal", classes=rest) == "healthy"


def test_classes_that_do_not_fit_the_table_are_refused() -> None:
    with pytest.raises(DataError, match=r"Received: a: Pneumonya. The table has Pneumonia \(1\)"):
        read_classes(_table(LabelRow("a", frozenset({"Pneumonia"}))), {"a": ["Pneumonya"]}, AUTO)
    with pytest.raises(DataError, match="Received: b: Pneumonia"):
        read_classes(_table(LabelRow("a", frozenset({"Pneumonia"}))), {"a": "Pneumonia", "b": "Pneumonia"}, AUTO)
    with pytest.raises(DataError, match=r"need data.classes. Received: .* Edema \(1\)"):
        read_classes(_table(LabelRow("a", frozenset({"Pneumonia", "Edema"}))), {}, AUTO)


def test_a_finding_is_compared_without_case_and_underscore() -> None:
    classes = read_classes(
        _table(LabelRow("a", frozenset({"Pleural_Thickening"}))), {"a": ["pleural thickening"]}, AUTO
    )
    assert classes.of(["PLEURAL THICKENING"]) == {0}
