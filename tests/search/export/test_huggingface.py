"""The folder for the Hugging Face hub."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from search.evaluate.exported import open_winner
from search.export.__main__ import main
from search.export.huggingface import LICENCE_LINE, card_header
from search.record import Evaluation, FindingScore, RunFolder, RunRecord

RUN = RunRecord("one", 0.0, "", "val_loss", ("normal", "pneumonia"), {}, {}, {})
SCORED = Evaluation(2, "test", "best", 1, 263, 0.5, 0.91234, 0.9, 0.95, None, 0.75, [[100, 40], [41, 82]])


def read_header(text: str) -> dict:
    """The header of a card."""
    _, header, _ = text.split("---\n", 2)
    return yaml.safe_load(header)


def test_a_header_lists_the_scores_on_every_set_and_leaves_the_licence_to_the_author() -> None:
    text = card_header(RUN, [SCORED])
    assert LICENCE_LINE in text.splitlines()
    header = read_header(text)
    assert header["library_name"] == "keras"
    assert "license" not in header
    ((index,), (result,)) = header["model-index"], header["model-index"][0]["results"]
    assert index["name"] == "one"
    assert result["dataset"] == {"name": "test, 263 images", "type": "one-test"}
    scores = {each["type"]: each["value"] for each in result["metrics"]}
    assert scores == {
        "accuracy": 0.9123, "balanced_accuracy": 0.9, "roc_auc": 0.95, "specificity": 0.75, "loss": 0.5
    }  # fmt: skip


def test_a_header_of_several_findings_has_their_means_alone() -> None:
    run = dataclasses.replace(RUN, config={"data": {"task": "multilabel"}})
    header = read_header(card_header(run, [dataclasses.replace(SCORED, findings=(FindingScore(9, 0.95, 0.5),) * 2)]))
    (result,) = header["model-index"][0]["results"]
    assert {each["name"]: each["value"] for each in result["metrics"]} == {"mean auc": 0.95, "mean loss": 0.5}
    assert header["metrics"] == ["loss", "roc_auc"]


def test_the_folder_is_a_winner_that_predict_opens(exported_run: RunFolder, tmp_path: Path) -> None:
    assert main([exported_run.url, "--to", "huggingface", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md", "checklist.md", "model.keras", "signature.json", "winner.json"
    ]  # fmt: skip
    opened = open_winner(str(tmp_path))
    assert (opened.signature.classes, opened.point) == (("normal", "pneumonia"), open_winner(exported_run.url).point)
    card = (tmp_path / "README.md").read_text()
    assert read_header(card)["model-index"] == [{"name": "one", "results": []}]
    assert "# Winner of one: the mean of trials 0000, 0001, calibrated on validation" in card
    manifest_root = str(Path(__file__).parents[3])
    assert manifest_root not in card


def test_a_winner_without_its_run_has_no_card(
    exported_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([exported_run.child("winner"), "--to", "huggingface", str(tmp_path)]) == 2
    assert "Give the run's folder." in capsys.readouterr().err
