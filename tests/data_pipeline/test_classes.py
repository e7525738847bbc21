import pytest

from data_pipeline.classes import AUTO, names_a_side, order_classes, reads_as_normal
from data_pipeline.manifest import DataError


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["Abnormal", "Normal"], ("Normal", "Abnormal")),
        (["Normal", "Pneumonia"], ("Normal", "Pneumonia")),
        (["Effusion", "No Finding"], ("No Finding", "Effusion")),
        (["covid_negative", "covid_positive"], ("covid_negative", "covid_positive")),
        (["COVID", "non-COVID"], ("non-COVID", "COVID")),
        (["Cases", "Healthy_Controls"], ("Healthy_Controls", "Cases")),
        (["Bacterial", "Normal", "Viral"], ("Normal", "Bacterial", "Viral")),
        (["cat", "dog", "eel"], ("cat", "dog", "eel")),
    ],
)
def test_the_normal_class_is_recognized_and_comes_first(names: list[str], ordered: tuple[str, ...]) -> None:
    assert order_classes(names, AUTO) == ordered


@pytest.mark.parametrize("name", ["Abnormal", "not normal", "non-healthy", "no controls", "Pneumonia", "notable"])
def test_other_names_do_not_read_as_normal(name: str) -> None:
    assert not reads_as_normal(name)


@pytest.mark.parametrize("names", [["dog", "cat"], ["healthy", "normal"]])
def test_a_positive_class_that_cannot_be_told_is_asked_for(names: list[str]) -> None:
    asked = " or ".join(f"data.positive={name}" for name in sorted(names))
    with pytest.raises(DataError, match=f"Write {asked}"):
        order_classes(names, AUTO)


def test_the_positive_class_is_the_one_that_is_named() -> None:
    assert order_classes(["cat", "dog"], "CAT") == ("dog", "cat")
    assert order_classes(["Abnormal", "Normal"], "Normal") == ("Abnormal", "Normal")
    with pytest.raises(DataError, match=r"Received: 'eel'\. Choose cat or dog"):
        order_classes(["cat", "dog"], "eel")
    with pytest.raises(DataError, match="one of two classes"):
        order_classes(["cat", "dog", "eel"], "eel")


def test_earlier_runs_keep_the_order_of_names() -> None:
    assert order_classes(["Normal", "Abnormal"], None) == ("Abnormal", "Normal")


def test_sides_are_recognized() -> None:
    assert [name for name in ("left lung", "Right", "bright", "normal") if names_a_side(name)] == ["left lung", "Right"]
