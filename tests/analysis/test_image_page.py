"""The page of a new image: what the winner is asked, and what its answer means. test_browser.py drops an image."""

from dataclasses import replace
from pathlib import Path

import pytest
from dash import dcc, html

from analysis import load
from analysis.app import asking
from analysis.app.asking import Reply, ask, read_reply
from analysis.app.image_page import answer_parts, image_page, meaning
from data_pipeline.dataset import Dataset
from search import predict
from search.record import RunFolder
from tests.data_pipeline.conftest import NORMAL
from tests.exported_run import write_exported_run

REPLY = Reply(
    "a.png", ("normal", "pneumonia"), (0.5, 0.5), "sensitivity 0.95", 0.4, (0.1, 0.9), "pneumonia", ("the view X",)
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, small_dataset: Dataset) -> RunFolder:
    return write_exported_run(RunFolder(str(tmp_path_factory.mktemp("exported") / "one")), small_dataset)


def text_of(component) -> str:
    """All text of components."""
    if component is None or isinstance(component, str):
        return component or ""
    if isinstance(component, list | tuple):
        return " ".join(map(text_of, component))
    return text_of(getattr(component, "children", None))


def test_the_winner_is_asked_in_a_process_of_its_own(exported: RunFolder, image_cache: Path) -> None:
    reply = ask(exported.url, "../x.jpeg", NORMAL[0].read_bytes(), str(image_cache))
    assert (reply.reason, reply.name, reply.classes) == ("", "../x.jpeg", ("normal", "pneumonia"))
    assert sum(reply.probabilities) == pytest.approx(1, abs=1e-5)
    assert reply.decision == reply.classes[reply.probabilities[1] >= 0.5]
    assert reply.similar[0].label == "normal"
    assert reply.similar[0].likeness > 0.99  # it is one of them
    assert len(reply.similar) == 4
    for picture in (reply.picture, reply.cam, *(each.picture for each in reply.similar)):
        assert picture.startswith("data:image/png;base64,iVBOR")
    assert Reply.from_store(reply.to_store()) == reply


def test_what_is_no_image_is_answered_with_the_reason(
    exported: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "prepare_process", lambda threads: None)  # as other tests have done in this process
    text, pictures = tmp_path / "image", tmp_path / "pictures"
    text.write_text("text")
    predict.main([exported.url, str(text), "--explain", str(pictures)])
    reply = read_reply("x.txt", pictures)
    assert reply.reason == "not a JPEG, PNG, BMP, TIFF, WebP or DICOM image"
    assert "There is no answer: not a JPEG" in text_of(answer_parts(reply, None))
    assert ask("nowhere", "x.png", b"").reason.startswith(
        "Error: A winner is a run's, or a folder with its model.keras"
    )
    monkeypatch.setattr(asking, "_SECONDS", 0.01)
    assert "took longer" in ask(exported.url, "x.txt", b"text").reason


def test_a_probability_is_put_into_words() -> None:
    equal, decision = meaning(REPLY, None)
    assert equal.startswith("Where every class is equally frequent, 90 in 100 images with this answer show pneumonia.")
    assert decision == "The decision is pneumonia: 0.900 is at or above 0.4 (sensitivity 0.95)."
    assert meaning(replace(REPLY, point="equal", threshold=0.5), None)[1].endswith("0.900 is at or above 0.5.")
    rare = meaning(REPLY, 0.02)[1]
    assert rare.startswith("Among patients of whom 2 % have pneumonia, it is 16 in 100 images")
    assert "3 in 1,000" in meaning(replace(REPLY, probabilities=(0.997, 0.003), decision="normal"), None)[0]
    shares = meaning(replace(REPLY, shares=(0.25, 0.75)), None)[0]
    assert shares.startswith("At the class shares of the training images (normal 25%, pneumonia 75%)")
    assert meaning(replace(REPLY, shares=()), 0.02)[0].startswith("The probabilities hold at no known class shares")


def test_more_classes_have_the_words_of_the_one_that_is_decided_on() -> None:
    three = replace(REPLY, classes=("a", "b", "c"), shares=(1 / 3,) * 3, probabilities=(0.2, 0.3, 0.5), decision="c")
    (words,) = meaning(three, None)
    assert "50 in 100 images with this answer show c" in words


def test_findings_are_shown_with_their_thresholds_those_called_present_first() -> None:
    told = replace(
        REPLY,
        classes=("mass", "edema", "hernia"),
        probabilities=(0.5, 0.2, 0.3),
        thresholds=(0.6, 0.1, 0.2),
        decision="edema, hernia",
        cam_of="mass",
        shares=(),
    )
    parts = answer_parts(told, None)
    table = next(part for part in parts if isinstance(part, html.Table))
    assert [text_of(row).split() for row in table.children[1].children] == [
        ["hernia", "0.3000", "0.2000", "yes"],
        ["edema", "0.2000", "0.1000", "yes"],
        ["mass", "0.5000", "0.6000"],
    ]
    shown = text_of(parts)
    assert "a.png: edema, hernia" in shown
    assert "what in it speaks for mass (Grad-CAM)" in shown
    assert "no known class shares" not in shown
    assert Reply.from_store(told.to_store()) == told


def test_warnings_and_missing_pictures_are_said() -> None:
    shown = text_of(answer_parts(REPLY, None))
    assert "The view X." in shown
    assert "it is no diagnosis" in shown
    assert "not in this machine's cache" in shown


def test_a_run_without_a_model_says_so(exported: RunFolder, tmp_path: Path) -> None:
    assert any(isinstance(part, dcc.Upload) for part in image_page(load(exported.url)))
    bare = RunFolder(str(tmp_path / "bare"))
    for name in ("run.json", "manifest.parquet"):
        bare.write(exported.read(name), name)
    (log,) = exported.names("log")
    bare.write(exported.read("log", log), "log", log)
    page = image_page(load(bare.url))
    assert "has no exported model" in text_of(page)
    assert not any(isinstance(part, dcc.Upload) for part in page)
