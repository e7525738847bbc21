import numpy as np
import pytest

import analysis
from analysis.claims.published import published_rows
from analysis.claims.replay import HEADINGS_FR, report_table
from analysis.export import headings, to_text
from analysis.frames import all_trials
from tests.analysis.hand_made import PERFECT, TWO_WRONG, trial_events, write_run


def test_a_report_table_sets_measured_beside_published(tmp_path):
    parameters = {"backbone": "cnn"}
    events = [
        *trial_events(0, parameters, [0.4], "finished", row="table1/2", repeat=0),
        *trial_events(1, parameters, [0.2], "finished", row="table1/2", repeat=1),
        *trial_events(2, parameters, [], "diverged", row="table1/1"),
        *trial_events(3, parameters, [0.3], "finished", row="table1/3"),
    ]
    run = analysis.load(write_run(tmp_path / "replay", events, {0: PERFECT, 1: TWO_WRONG}))
    table = run.table("report2").set_index("row")
    assert list(table.index) == [f"table1/{number}" for number in range(1, 9)]
    line = table.loc["table1/2"]
    assert line[["parameters", "parameters_measured"]].tolist() == [96_969, 96_969]
    assert line["test_accuracy"] == 0.81
    assert line["test_accuracy_measured"] == pytest.approx(0.9)
    half = 12.7062 * np.std([1, 0.8], ddof=1) * np.sqrt(1 + 1 / 2)  # Student's t for one degree of freedom
    assert half > 1
    assert (line["test_accuracy_measured_low"], line["test_accuracy_measured_high"]) == (0, 1)
    half = 12.7062 * np.std([0.4, 0.2], ddof=1) * np.sqrt(1 + 1 / 2)
    assert line["val_loss_measured_high"] == pytest.approx(0.3 + half, rel=1e-5)
    assert line["test_accuracy_difference"] == pytest.approx(0.09)
    assert line["val_loss_measured"] == pytest.approx(0.3)
    assert line["status"] == "2 repeats, on 10 test images, not 624"
    assert table.loc["table1/1", "status"] == "0 repeats, 1 diverged"
    assert table.loc["table1/3", "status"] == "1 repeat, not evaluated"
    assert table.loc["table1/4", "status"] == "not run"
    assert np.isnan(table.loc["table1/4", "test_accuracy_measured"])


def test_report_tables_have_the_reports_columns_and_rows(run):
    empty = all_trials([run])
    second = report_table("table2", empty, {})
    assert second.loc[0, "confusion"] == "[[170, 19, 45], [2, 230, 10], [2, 32, 114]]"
    french = headings(
        [name for name in second.columns if name in published_rows().columns], "fr", HEADINGS_FR["table2"]
    )
    assert french == [
        "modèle",
        "paramètres",
        "epochs",
        "data augmentation",
        "learning rate",
        "loss test",
        "accuracy test",
        "confusion matrix",
    ]
    assert list(report_table("report_transfer", empty, {})["model"]) == ["VGG16", "ResNet50", "ResNet101", "ResNet152"]


def test_report_tables_in_french_use_the_reports_words(run):
    lines = to_text(run.table("table1"), "csv", language="fr", headings_fr=HEADINGS_FR["table1"]).splitlines()
    assert lines[0].startswith("ligne,Modèle,Data Augmentation,Nb param.")
    assert [line.split(",")[-1] for line in lines[1:]] == ["non exécuté"] * 8
    assert ["oui" in line.split(",") for line in lines[1:]] == [False] * 6 + [True, False]


def test_replayed_confusion_matrices_are_averaged(run):
    trials = all_trials([run]).assign(row=["table2/1", "table2/1", "", "", ""])
    matrices = {("hand", 0): [[3, 1], [0, 4]], ("hand", 1): [[2, 2], [0, 4]]}
    assert report_table("table2", trials, matrices).loc[0, "confusion_measured"] == "[[2.5, 1.5], [0, 4]]"


def test_what_the_report_tells_in_prose_has_a_table_of_its_own(tmp_path):
    events = [
        *trial_events(0, {"backbone": "cnn"}, [0.4], "finished", row="prose/7"),
        *trial_events(1, {"backbone": "resnet50"}, [0.4], "finished", row="table4/1"),
    ]
    run = analysis.load(write_run(tmp_path / "prose", events, {0: PERFECT, 1: PERFECT}))
    table = run.table("prose").set_index("row")
    assert list(table.index) == [f"prose/{number}" for number in range(1, 8)]
    assert table.loc["prose/7", ["test_loss", "test_accuracy", "test_accuracy_measured"]].tolist() == [0.38, 0.84, 1.0]
    assert table["parameters"].isna().all()  # the report prints none of them
    assert "random" not in table.loc["prose/7", "status"]


def test_random_weights_are_told_beside_the_published_ones(tmp_path):
    events = list(trial_events(0, {"backbone": "resnet50"}, [0.4], "finished", row="table4/1"))
    run = analysis.load(write_run(tmp_path / "random", events, {0: PERFECT}))
    trials = all_trials([run])
    assert not trials["random_weights"].any()  # of a run that does not say, pretrained ones
    told = report_table("table4", trials.assign(random_weights=True), {}).loc[0, "status"]
    assert told == "1 repeat, from random weights, not ImageNet's, not evaluated"
