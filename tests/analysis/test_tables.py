import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis import tables
from analysis.command import CommandError
from analysis.export import FORMATS, cell_text, headings, latex_document, to_text
from analysis.replay import published_rows, report_table
from search.record import Evaluation, RunFolder, RunRecord, to_json
from search.trial.metrics import score

CLASSES = ("normal", "pneumonia")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])  # ten test images


def epoch_event(trial, epoch, val_loss, seconds):
    metrics = {
        "epoch": epoch,
        "seconds": seconds,
        "learning_rate": 0.01,
        "train_loss": 0.5,
        "train_accuracy": 0.5,
        "val_loss": val_loss,
        "val_accuracy": 1 - val_loss,
        "val_balanced_accuracy": 1 - val_loss,
        "val_auc": 1 - val_loss,
        "memory_mb": 100.0 * (trial + 1),
        "time": 10.0,
    }
    return {"event": "epoch", "time": 10.0, "trial": trial, "metrics": metrics, "host": "node", "process": 7}


def trial_events(trial, parameters, losses, status, seconds=1800.0, row="", repeat=0, reason=""):
    yield {
        "event": "suggested",
        "time": 1.0,
        "trial": trial,
        "parameters": parameters,
        "seed": 100 + repeat,
        "max_epochs": 4,
        "row": row,
        "repeat": repeat,
        "parameter_count": 96_969,
        "trainable_count": 96_969,
    }
    for epoch, loss in enumerate(losses, 1):
        yield epoch_event(trial, epoch, loss, seconds)
    yield {"event": "ended", "time": 11.0, "trial": trial, "status": status, "reason": reason}


def write_run(path, events, probabilities, name="hand"):
    """A run folder; `probabilities` of pneumonia on the ten test images, by trial."""
    folder = RunFolder(str(path))
    data = {"counts": {"train": [3, 5], "validation": [1, 1], "test": [4, 6]}}
    config = {"evaluate": {"weights": "best"}}
    folder.write_run(RunRecord(name, 1.0, "", "val_loss", CLASSES, config, {}, data))
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    evaluations = []
    for trial, ones in probabilities.items():
        p = np.stack([1 - np.array(ones), ones], axis=1)
        scores = score(LABELS, p)
        evaluations.append(
            Evaluation(
                trial=trial,
                dataset="test",
                weights="best",
                epoch=1,
                images=len(LABELS),
                loss=scores.loss,
                accuracy=scores.accuracy,
                balanced_accuracy=scores.balanced_accuracy,
                auc=scores.auc,
                sensitivity=scores.sensitivity,
                specificity=scores.specificity,
                confusion=scores.confusion.tolist(),
            )
        )
        frame = pd.DataFrame(
            {"dataset": "test", "image_id": [f"{i}.jpeg" for i in range(len(LABELS))], "label": LABELS}
        )
        buffer = io.BytesIO()
        frame.assign(p_normal=p[:, 0], p_pneumonia=p[:, 1]).to_parquet(buffer)
        folder.write(buffer.getvalue(), "predictions", f"{trial:04d}.parquet")
    folder.write("".join(to_json(entry) + "\n" for entry in evaluations).encode(), "evaluation.jsonl")
    return folder


PERFECT = [0.2] * 4 + [0.8] * 6
TWO_WRONG = [0.2, 0.2, 0.2, 0.6] + [0.8] * 5 + [0.4]


@pytest.fixture
def run(tmp_path):
    """Two finished trials, one stopped after 1 of 4 epochs, one failed, one diverged."""
    events = [
        *trial_events(0, {"backbone": "cnn", "layers": 1}, [0.5, 0.4, 0.3, 0.35], "finished"),
        *trial_events(1, {"backbone": "cnn", "layers": 2}, [0.5, 0.3, 0.2, 0.25], "finished"),
        *trial_events(2, {"backbone": "cnn", "layers": 2}, [0.1], "stopped"),
        *trial_events(3, {"backbone": "vgg16"}, [0.6], "failed", reason="its process <died>"),
        *trial_events(4, {"backbone": "vgg16"}, [], "diverged", reason="loss is NaN"),
    ]
    return analysis.load(write_run(tmp_path / "hand", events, {0: PERFECT, 1: TWO_WRONG}))


def test_ranking_puts_what_finished_before_what_was_stopped(run):
    ranking = run.table("ranking")
    assert list(ranking["trial"]) == [1, 0, 2, 3]
    assert list(ranking["rank"]) == [1, 2, 3, 4]
    assert list(ranking["epoch"]) == [3, 3, 1, 1]


def test_ranking_has_hand_computed_test_scores(run):
    first, second = run.table("ranking").iloc[0], run.table("ranking").iloc[1]
    # Trial 1: 3 of 4 normal ones right, 5 of 6 with pneumonia.
    assert first["test_accuracy"] == pytest.approx(0.8)
    # Wilson for 8 of 10: (0.8 + 0.19207) / 1.38415 -+ 1.96 sqrt(0.016 + 0.0096036) / 1.38415
    assert (first["test_accuracy_low"], first["test_accuracy_high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert first["test_sensitivity"] == pytest.approx(5 / 6)
    assert first["test_specificity"] == pytest.approx(3 / 4)
    assert first["test_balanced_accuracy"] == pytest.approx((5 / 6 + 3 / 4) / 2)
    # Of 24 pairs, those of the 0.4 with the 0.6 are lost: one; none is tied.
    assert first["test_auc"] == pytest.approx(23 / 24)
    assert first["test_auc_low"] < 23 / 24 < first["test_auc_high"] <= 1
    assert first["test_brier"] == pytest.approx((8 * 0.04 + 2 * 0.36) / 10)
    assert second["test_accuracy"] == 1
    assert second["test_ece"] == pytest.approx(0.2)
    assert np.isnan(run.table("ranking").iloc[2]["test_accuracy"])


def test_ranking_makes_image_intervals_for_the_first_only(run):
    ranking = run.table("ranking", top=1)
    assert ranking["test_auc"].notna().tolist() == [True, False, False, False]


def test_comparison_of_two_trials_by_hand(run):
    (line,) = run.table("comparison").to_dict("records")
    assert (line["first"], line["second"], line["images"]) == (1, 0, 10)
    assert line["accuracy_difference"] == pytest.approx(-0.2)
    assert (line["only_first_right"], line["only_second_right"]) == (0, 2)
    assert line["mcnemar_p"] == pytest.approx(0.5)
    assert line["auc_difference"] == pytest.approx(-1 / 24)


def test_isolation_gives_the_best_of_each_value(run):
    table = run.table("isolation", hyperparameters=["layers"])
    assert table["value"].tolist() == [1.0, 2.0]
    assert table["trials"].tolist() == [1, 2]
    assert table["finished"].tolist() == [1, 1]
    assert table["best"].tolist() == [0.3, 0.1]
    assert table["best_trial"].tolist() == [0, 2]
    assert table["median"].tolist() == pytest.approx([0.3, 0.15])
    # The best trial with two layers was stopped, so it has no test score, whatever another one has.
    assert table["test_accuracy"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_many_numbers_are_put_in_bins():
    wide = tables.bin_values(pd.Series(10.0 ** np.linspace(-5, -1, 40)))
    assert wide.cat.categories[0] == "1e-05 to 3.2e-05"
    assert wide.value_counts().sum() == 40
    even = tables.bin_values(pd.Series(np.linspace(0.1, 0.5, 40)))
    assert even.value_counts().tolist() == [4] * 10


def test_early_stopping_counts_epochs_spent_and_saved(run):
    table = run.table("early_stopping").set_index(["status", "ended_after"])
    assert table.loc[("stopped", 1), ["trials", "epochs_spent", "epochs_saved"]].tolist() == [1, 1, 3]
    assert table.loc[("diverged", 0), ["trials", "epochs_spent", "epochs_saved"]].tolist() == [1, 0, 4]
    assert table.loc[("failed", 1), "epochs_saved"] == 0
    total = table.iloc[-1]
    assert total[["trials", "epochs_spent", "epochs_saved"]].tolist() == [5, 10, 7]
    assert total["share_saved"] == pytest.approx(7 / 17)


def test_failures_have_their_reasons(run):
    table = run.table("failures")
    assert table[["trial", "status", "reason"]].to_numpy().tolist() == [
        [3, "failed", "its process <died>"],
        [4, "diverged", "loss is NaN"],
    ]


def test_cost_is_in_process_hours(run):
    table = run.table("cost").set_index(["backbone", "status"])
    assert table.loc[("cnn", "finished"), "process_hours"] == pytest.approx(4.0)
    assert table.loc[("", "total"), ["trials", "epochs", "process_hours", "memory_mb"]].tolist() == [5, 10, 5.0, 400.0]
    assert table.loc[("cnn", "stopped"), "share"] == pytest.approx(0.1)
    assert table.loc[("cnn", "finished"), "seconds_per_epoch"] == 1800


def test_calibration_by_hand(run):
    table = run.table("calibration").set_index("trial")
    # Trial 0 says 0.8 for what is always right.
    assert table.loc[0, ["accuracy", "confidence", "ece", "brier"]].tolist() == pytest.approx([1, 0.8, 0.2, 0.04])
    assert table.loc[0, "loss"] == pytest.approx(-np.log(0.8))


def test_data_counts_stand_beside_the_reports():
    counts = {"train": [826, 3360], "validation": [523, 523], "test": [234, 389]}
    table = tables.data_counts(counts, CLASSES).set_index(["split", "class"])
    assert table.loc[("test", "pneumonia"), ["images", "published", "difference"]].tolist() == [389, 390, -1]
    assert table.loc[("validation", "normal"), "share_of_split"] == 0.5
    splits = tables.split_counts(counts, CLASSES).set_index("split")
    assert splits.loc["train", ["images", "published"]].tolist() == [4186, 4186]
    assert splits["share_of_all"].sum() == pytest.approx(1)


def test_data_counts_of_other_classes_have_no_published_ones():
    table = tables.data_counts({"test": [1, 2, 3, 4]}, ("a", "b", "c", "d"))
    assert table["published"].isna().all()
    assert table["images"].sum() == 10


def test_the_reports_confusion_matrices_give_its_accuracies():
    rows = published_rows()
    matrices = rows["confusion"].dropna()
    assert len(matrices) == 8
    for row, matrix in matrices.items():
        found = np.array(matrix)
        assert found.sum() == 624
        assert found.sum(axis=1).tolist() == [234, 242, 148]
        assert np.trace(found) / 624 == pytest.approx(rows.loc[row, "test_accuracy"], abs=0.001), row


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


def test_evaluations_of_a_replay_say_of_which_row(run, tmp_path):
    assert not {"row", "repeat"} & set(run.table("evaluations"))
    events = [*trial_events(0, {"backbone": "cnn"}, [0.4], "finished", row="table1/2", repeat=3)]
    replay = analysis.load(write_run(tmp_path / "replay", events, {0: TWO_WRONG})).table("evaluations")
    assert replay[["trial", "row", "repeat", "accuracy"]].to_numpy().tolist() == [[0, "table1/2", 3, 0.8]]


def test_report_tables_have_the_reports_columns_and_rows(run):
    empty = tables.all_trials([run])
    second = report_table("table2", empty, {})
    assert second.loc[0, "confusion"] == "[[170, 19, 45], [2, 230, 10], [2, 32, 114]]"
    french = headings([name for name in second.columns if name in published_rows().columns], "fr", "table2")
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
    lines = to_text(run.table("table1"), "csv", language="fr", table="table1").splitlines()
    assert lines[0].startswith("ligne,Modèle,Data Augmentation,Nb param.")
    assert [line.split(",")[-1] for line in lines[1:]] == ["non exécuté"] * 8
    assert ["oui" in line.split(",") for line in lines[1:]] == [False] * 6 + [True, False]


def test_statuses_are_french_in_french():
    words = ["2 repeats, 1 stopped, on 600 and 610 test images, not 624", "diverged", "1 repeat, not evaluated"]
    lines = to_text(pd.DataFrame({"status": words}), "markdown", language="fr").splitlines()
    assert [line.strip("| ") for line in lines[2:]] == [
        "2 répétitions, 1 arrêté, sur 600 et 610 images de test au lieu de 624",
        "divergé",
        "1 répétition, non évalué",
    ]


def test_replayed_confusion_matrices_are_averaged(run):
    trials = tables.all_trials([run]).assign(row=["table2/1", "table2/1", "", "", ""])
    matrices = {("hand", 0): [[3, 1], [0, 4]], ("hand", 1): [[2, 2], [0, 4]]}
    assert report_table("table2", trials, matrices).loc[0, "confusion_measured"] == "[[2.5, 1.5], [0, 4]]"


def test_several_runs_stand_below_each_other(run, tmp_path):
    other = analysis.load(write_run(tmp_path / "other", trial_events(0, {}, [0.2], "finished"), {}, "other"))
    table = tables.make_table([run, other], "early_stopping")
    assert table["run"].unique().tolist() == ["hand", "other"]
    assert list(tables.make_table([run, other], "ranking")["run"]) == ["hand"] * 4 + ["other"]


@pytest.mark.parametrize("name", list(tables.TABLES))
@pytest.mark.parametrize("format_name", FORMATS)
def test_every_table_of_a_run_and_of_an_empty_run_can_be_written(run, tmp_path, name, format_name):
    empty = analysis.load(write_run(tmp_path / "empty", [], {}))
    for each in (run, empty):
        for language in ("en", "fr"):
            assert to_text(each.table(name), format_name, "title", language, name)


def test_unknown_tables_formats_and_languages_are_refused(run):
    with pytest.raises(ValueError, match="ranking"):
        run.table("rankin")
    with pytest.raises(ValueError, match="csv"):
        to_text(pd.DataFrame({"a": [1]}), "pdf")
    with pytest.raises(ValueError, match="fr"):
        headings(["a"], "de")
    with pytest.raises(ValueError, match="at least one run"):
        tables.make_table([], "ranking")


HOSTILE = "<script>alert('&')</script> | a_b 100% $x$ #1 {y} ~^\\ [z] `q` é ☃ -- \n\\end{tabular}"


def test_markup_in_values_stays_text():
    frame = pd.DataFrame({HOSTILE: [HOSTILE]})
    page = to_text(frame, "html", HOSTILE)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 3
    lines = to_text(frame, "markdown").splitlines()
    assert len(lines) == 3
    assert "<script" not in lines[2]
    latex = to_text(frame, "latex", HOSTILE)
    assert latex.count(r"\end{tabular}") == 1
    assert r"\textbackslash{}end\{tabular\}" in latex
    back = pd.read_csv(io.StringIO(to_text(frame, "csv")))
    assert back.iloc[0, 0] == HOSTILE


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_tables_compile(run, tmp_path):
    wide = pd.DataFrame({f"column_{place}": [HOSTILE, 0.5] for place in range(12)})
    texts = {name: to_text(run.table(name), "latex", tables.TABLES[name].title, "fr", name) for name in tables.TABLES}
    texts |= {"hostile": to_text(pd.DataFrame({HOSTILE: [HOSTILE] * 60}), "latex", HOSTILE)}
    texts |= {"wide": to_text(wide, "latex", "wide")}
    tables.write_tables(texts, "latex", str(tmp_path))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert answer.returncode == 0, answer.stdout[-2000:]


def test_the_latex_document_names_its_tables():
    assert r"\input{ranking}" in latex_document(["ranking"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_087_393, "1,087,393"),
        (0.1, "0.1"),
        (0.90384, "0.9038"),
        (2.8e-5, "2.80e-5"),
        (1e-6, "1e-6"),
        (81.041, "81.041"),
        (float("nan"), ""),
        (None, ""),
        (pd.NA, ""),
        (True, "yes"),
        (np.float64(0.5), "0.5"),
        ("16-8", "16-8"),
        (float("-inf"), "-∞"),
    ],
)
def test_cells_read_as_people_write_them(value, text):
    assert cell_text(value) == text


def test_the_command_line_prints_and_writes(run, tmp_path, capsys):
    out = tmp_path / "tables"
    assert tables.main([run.folder.url, "--table", "cost"]) == 0
    assert "| backbone | status |" in capsys.readouterr().out
    assert tables.main([run.folder.url, "--format", "csv", "--out", str(out)]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"ranking.csv", "cost.csv", "claims.csv"} <= names
    assert not any(name.startswith("table1") for name in names)  # nothing of it was replayed
    assert pd.read_csv(out / "ranking.csv")["trial"].tolist() == [1, 0, 2, 3]


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    assert tables.main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err


# The report, written in French, says these in English; so do the settings.
SAME_IN_FRENCH = {
    "epoch",
    "epochs",
    "images",
    "loss",
    "accuracy",
    "AUC",
    "ECE",
    "second",
    "id",
    "verdict",
    "backbone",
    "learning rate",
    "batch size",
}


def test_every_title_and_heading_is_there_in_french(run):
    for name, table in tables.TABLES.items():
        assert table.heading("fr") != table.heading("en") == table.title
        columns = [str(column) for column in run.table(name).columns if column not in run.hyperparameters]
        for english, french in zip(headings(columns, "en", name), headings(columns, "fr", name), strict=True):
            assert english != french or english in SAME_IN_FRENCH, (name, english)


def test_the_command_line_prints_in_french(run, capsys):
    assert tables.main([run.folder.url, "--table", "table1", "--table", "early_stopping", "--lang", "fr"]) == 0
    printed = capsys.readouterr().out
    assert "Tableau 1 du rapport : modèle CNN à 2 classes" in printed
    assert "| ligne | Modèle | Data Augmentation | Nb param. |" in printed
    assert "| état | arrêt après | essais | epochs passées |" in printed


def test_rows_are_chosen_by_a_value(run):
    table = run.table("ranking")
    assert list(tables.chosen_rows(table, ["status=finished", "trial=1"])["trial"]) == [1]
    assert len(tables.chosen_rows(table, [])) == len(table)
    for condition, message in (("trial", "COLUMN=VALUE"), ("trail=1", "no column 'trail'")):
        with pytest.raises(CommandError, match=message):
            tables.chosen_rows(table, [condition])


def test_a_chosen_column_brings_its_interval(run):
    table = tables.chosen_columns(run.table("ranking"), ["trial", "test_accuracy"])
    assert list(table) == ["trial", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
    text = to_text(table, "markdown")
    assert r"| 0 | 1.000 \[0.722, 1.000\] |" in text
    with pytest.raises(CommandError, match="no column 'accuracy'; it has rank, trial"):
        tables.chosen_columns(run.table("ranking"), ["accuracy"])
