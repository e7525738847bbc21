import pytest

from search.plan.meaning import check_meaning
from search.plan.settings import SettingsError
from search.plan.space_file import read_space
from search.plan.words import load_settings, resume_settings

OTHERS = ("cat", "dog", "eel")


def lines(words: list[str], classes: tuple[str, ...]) -> list[str]:
    settings = load_settings(words)
    return check_meaning(read_space(settings), settings, classes)


@pytest.mark.parametrize(
    "words", [["space=transfer3"], ["space=cnn3", "train.class_weights=favour_normal"], ["space=report3"]]
)
def test_weights_that_favour_normal_need_a_normal_class(words: list[str]) -> None:
    assert lines(words, ("normal", "bacterial", "viral")) == []
    with pytest.raises(SettingsError, match="Received: the classes cat, dog, eel, of which"):
        lines(words, OTHERS)
    lines([*words, "data.positive=null"], OTHERS)  # as runs of before had it


def test_other_weights_do_not() -> None:
    assert lines(["space=cnn3"], OTHERS) == []


@pytest.mark.parametrize("word", ["evaluate.operating_point={sensitivity: 0.9}", "evaluate.prevalence=0.02"])
def test_decisions_are_between_two_classes(word: str) -> None:
    assert lines(["space=cnn2", word], ("normal", "pneumonia")) == []
    with pytest.raises(SettingsError, match=r"the positive one of two classes. Received: the classes cat, dog, eel"):
        lines(["space=cnn2", word], OTHERS)


def test_images_are_not_mirrored_where_a_class_names_a_side() -> None:
    (line,) = lines(["space=cnn2"], ("left", "right"))
    assert "mirrors no image" in line
    assert lines(["space=cnn2", "train.flip=true"], ("left", "right")) == []
    assert lines(["space=cnn2"], ("normal", "bright")) == []


def test_earlier_runs_keep_what_they_meant() -> None:
    settings = load_settings(["space=cnn2", "data.split.method=patient"])
    stored = settings.to_dict()
    for name in ("patient", "positive", "keep_aspect"):
        del stored["data"][name]
    del stored["train"]["flip"]
    resumed = resume_settings(stored, [])
    assert (resumed.data.patient, resumed.data.positive, resumed.data.keep_aspect) == (None, None, False)
    assert resumed.train.flip is True
    assert resumed.data.split.method == "patient"


def test_findings_say_what_judges_them_and_have_no_normal_class() -> None:
    words = ["space=cnn2", "data.root=/x", "data.labels=/x/a.csv", "data.task=multilabel"]
    operating = "evaluate.operating_point={sensitivity: 0.9}"
    assert lines([*words, operating], OTHERS) == ["trials are judged by shifted_auc, a mean over the findings"]
    with pytest.raises(SettingsError, match="favour_normal weighs the normal class"):
        lines([*words, "space.parameters.class_weights=favour_normal"], ("normal", "mass"))
