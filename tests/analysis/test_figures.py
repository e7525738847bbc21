import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from analysis import figures, load, panels, style
from analysis.figures.predictions import GRID
from analysis.scored import scored_trial, scored_winner, winner
from benchmarks.analysis_data import write_run
from search.record import FINISHED, STOPPED, RunFolder

SMALL_RUN = {"trials": 40, "epochs": 9, "evaluated": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load(write_run(str(tmp_path_factory.mktemp("runs") / "small"), **SMALL_RUN).url)


@pytest.fixture(scope="module")
def run_of_three_classes(tmp_path_factory):
    return load(write_run(str(tmp_path_factory.mktemp("runs") / "three"), classes=3, **SMALL_RUN).url)


def epochs(*losses, trial=0, time=0.0):
    return pd.DataFrame(
        {
            "trial": trial,
            "epoch": range(1, len(losses) + 1),
            "time": [time + place for place in range(len(losses))],
            "train_loss": losses,
            "train_accuracy": 0.5,
            "val_loss": losses,
            "val_accuracy": 0.5,
        }
    )


def one_trial(status=FINISHED, epoch=2, max_epochs=3, reason=""):
    content = {"status": [status], "epoch": pd.array([epoch], dtype="Int64"), "max_epochs": [max_epochs]}
    return pd.DataFrame({**content, "reason": [reason]})


def test_best_so_far_counts_the_epochs_of_all_trials_in_the_order_of_time():
    curves = pd.concat([epochs(0.9, 0.7, trial=0, time=0.0), epochs(0.8, 0.4, trial=1, time=0.5)])
    steps = figures.best_so_far(curves, "val_loss")
    assert steps.to_dict("list") == {"spent": [1, 2, 3, 4], "best": [0.9, 0.8, 0.7, 0.4], "trial": [0, 1, 0, 1]}


def test_best_so_far_carries_the_last_best_to_the_end_and_skips_missing_values():
    steps = figures.best_so_far(epochs(np.nan, 0.5, 0.6, 0.7), "val_loss")
    assert steps["spent"].tolist() == [2, 4]
    assert steps["best"].tolist() == [0.5, 0.5]


def test_a_learning_curve_marks_the_judged_epoch_and_an_early_stop():
    finished = figures.learning_curve(one_trial(), epochs(0.9, 0.5, 0.6), 0)
    stopped = figures.learning_curve(one_trial(STOPPED, 1, 9), epochs(0.9, 0.95), 0)
    assert (finished.judged, finished.stopped) == (2, None)
    assert (stopped.judged, stopped.stopped) == (1, 2)


def test_learning_curves_are_blue_for_training_and_orange_for_validation():
    drawn = figures.draw_learning_curve(figures.learning_curve(one_trial(), epochs(0.9, 0.5, 0.6), 0))
    colors = {trace.name: trace.line.color for trace in drawn.data if trace.mode != "markers"}
    assert colors == {"training": style.TRAIN, "validation": style.VALIDATION}


def test_a_curve_of_an_unknown_trial_is_refused():
    with pytest.raises(ValueError, match="got 7"):
        figures.learning_curve(one_trial(), epochs(0.9), 7)


def test_a_rung_sees_the_best_epoch_up_to_it():
    search = {"scheduler": "asha", "max_epochs": 3, "asha": {"grace_period": 2, "reduction_factor": 3.0}}
    found = figures.rungs(epochs(0.3, 0.5, 0.1), "val_loss", search)
    assert found.points[["rung", "value", "went_on"]].to_numpy().tolist() == [[2, 0.3, True]]


def test_rungs_tell_who_went_on():
    curves = pd.concat([epochs(0.9, trial=0), epochs(0.5, 0.4, 0.3, trial=1)])
    search = {"scheduler": "asha", "max_epochs": 3, "asha": {"grace_period": 1, "reduction_factor": 3.0}}
    found = figures.rungs(curves, "val_loss", search)
    assert found.reached.to_dict("list") == {"rung": [1], "reached": [2], "went_on": [1]}
    assert figures.rungs(curves, "val_loss", {**search, "scheduler": "none"}) is None


def test_a_timeline_has_a_lane_a_process_and_a_span_a_stretch_of_a_trial():
    trials = pd.DataFrame({"status": [FINISHED, STOPPED]}, index=pd.Index([0, 1], name="trial"))
    first = epochs(0.9, trial=0, time=120.0).assign(process=1)
    other = epochs(0.9, trial=1, time=180.0).assign(process=1)
    again = epochs(0.8, 0.7, trial=0, time=240.0).assign(process=2)
    curves = pd.concat([first, again, other], ignore_index=True).assign(host="a", seconds=60.0)
    spans = figures.timeline(trials, curves)
    assert spans["trial"].tolist() == [0, 1, 0]
    assert spans["worker"].tolist() == ["a, process 1", "a, process 1", "a, process 2"]
    assert spans["start"].tolist() == [0.0, 1.0, 2.0]
    assert spans["end"].tolist() == pytest.approx([1.0, 2.0, 3 + 1 / 60])
    assert spans["status"].tolist() == [FINISHED, STOPPED, FINISHED]
    assert figures.timeline(trials, curves[:0]).empty


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        ([1e-5, 1e-4, 1e-2], "log", ()),
        (np.linspace(0.001, 0.5, 30), "linear", ()),
        ([1, 3, 2, 1], "category", ("1", "2", "3")),
        (["16-8", "8", "none", None], "category", ("8", "16-8", "none")),
    ],
)
def test_a_column_gets_the_scale_that_fits_it(values, kind, categories):
    scale = figures.scale_of(pd.Series(values, name="column"))
    assert (scale.kind, scale.categories) == (kind, categories)


def test_what_is_absent_has_no_place():
    assert np.isnan(figures.scale_of(pd.Series(["a", None], dtype=object)).places).tolist() == [False, True]


def test_a_sample_keeps_both_ends_and_its_size():
    frame = pd.DataFrame({"value": np.random.default_rng(0).permutation(1000)})
    kept = figures.sampled(frame, 100, frame["value"])
    assert len(kept) == 100
    assert set(range(10)) | set(range(990, 1000)) <= set(kept["value"])


def test_importance_finds_the_hyperparameter_that_matters():
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({"matters": rng.uniform(0, 1, 120), "does_not": rng.uniform(0, 1, 120)})
    trials["val_loss"] = (trials["matters"] - 0.4) ** 2 + rng.normal(0, 0.005, 120)
    found = figures.importance(trials, "val_loss", ["matters", "does_not"])
    assert found["parameter"].tolist() == ["matters", "does_not"]
    assert found["importance"].iloc[0] > 0.8
    assert found["importance"].sum() == pytest.approx(1)


def test_importance_says_nothing_of_few_trials():
    assert figures.importance(pd.DataFrame({"a": [1.0, 2.0], "val_loss": [1.0, 2.0]}), "val_loss", ["a"]).empty


def test_a_contour_is_the_mean_of_trials_and_empty_far_from_them():
    trials = pd.DataFrame({"a": ["x", "x", "y"], "b": ["u", "u", "v"], "val_loss": [0.2, 0.4, 0.9]})
    found = figures.contour(trials, "val_loss", "a", "b")
    assert found.surface[0, 0] == pytest.approx(0.3)
    assert found.surface[1, 1] == pytest.approx(0.9)
    assert np.isnan(found.surface[0, 1])


def predictions(labels, scores):
    return pd.DataFrame({"label": labels, "p_no": 1 - np.asarray(scores), "p_yes": scores})


def test_curves_and_their_areas_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    scores = np.round(np.clip(0.3 * labels + rng.uniform(0, 0.7, 200), 0, 1), 2)  # with ties
    table = predictions(labels, scores)
    (roc,) = figures.roc_bands(table, ("no", "yes"))
    (precision,) = figures.precision_bands(table, ("no", "yes"))
    assert roc.area == pytest.approx(roc_auc_score(labels, scores))
    assert precision.area == pytest.approx(average_precision_score(labels, scores))
    assert roc.area_low < roc.area < roc.area_high
    assert len(roc.middle) == len(GRID)
    assert (np.diff(roc.middle) >= 0).all()
    assert (np.diff(precision.middle) <= 1e-12).all()
    assert precision.base == pytest.approx(labels.mean())


def test_one_class_has_no_curve():
    assert figures.roc_bands(predictions([1, 1], [0.2, 0.9]), ("no", "yes")) == []
    assert figures.roc_bands(predictions([], np.zeros(0)), ("no", "yes")) == []


def test_a_confusion_matrix_has_the_shares_of_its_rows():
    found = figures.confusion([[3, 1], [0, 0]], ("a", "b"))
    assert found.shares[0].tolist() == [0.75, 0.25]
    assert np.isnan(found.shares[1]).all()


def test_the_pareto_front_is_what_no_smaller_trial_beats():
    trials = pd.DataFrame({"parameters": [10, 20, 30, 40], "val_accuracy": [0.5, 0.8, 0.7, 0.9]})
    found = figures.size_and_score(trials, "val_accuracy")
    assert found["best"].tolist() == [True, True, False, True]


def test_splits_are_counted_with_their_shares():
    found = figures.split_counts({"train": [1, 3], "test": [2, 2]}, ("a", "b"))
    assert found["images"].tolist() == [1, 3, 2, 2]
    assert found["share"].tolist() == [0.25, 0.75, 0.5, 0.5]


@pytest.mark.parametrize(
    ("parameters", "classes", "total"),
    [
        ({"layers": 1, "filters": 8, "kernel": 3, "dense": "none"}, 3, 295_787),  # the report's model 1
        ({"layers": 1, "filters": 8, "kernel": 3, "batch_norm": "flatten"}, 3, 690_059),  # model 4
        ({"layers": 2, "filters": 8, "kernel": 3}, 3, 141_219),  # model 5
        ({"layers": 2, "filters": 8, "kernel": 3, "growth": 1.0}, 3, 70_651),  # model 7
        ({"layers": 1, "filters": 8, "kernel": 4, "batch_norm": "conv"}, 2, 96_969),  # 1conv
        ({"layers": 1, "filters": 8, "kernel": 4, "batch_norm": "block"}, 2, 96_969),
        ({"layers": 1, "filters": 8, "kernel": 4, "batch_norm": "conv+classifier", "dense": "16-8"}, 2, 1_549_161),
    ],
)
def test_an_architecture_summary_adds_up_to_the_published_count(parameters, classes, total):
    found = figures.summary(figures.layers_of({"backbone": "cnn", **parameters}, (224, 224, 1), classes))
    assert found["parameters"].iloc[-1] == total
    assert found["output shape"].iloc[0] == "224 x 224 x 1"


def test_a_backbone_has_what_the_head_leaves():
    layers = figures.layers_of({"backbone": "vgg16", "dense": "128"}, (224, 224, 1), 2, 14_780_481)
    assert {layer.name: layer.parameters for layer in layers}["vgg16"] == 14_714_688
    own = {"backbone": "resnet50", "dense": "128", "pooling": "flatten"}
    layers = figures.layers_of(own, (112, 112, 1), 2, 23_587_712 + (4 * 4 * 2048 + 1) * 128 + 129)
    assert (layers[1].shape, layers[1].parameters) == ((4, 4, 2048), 23_587_712)
    layers = figures.layers_of({"backbone": "densenet121"}, (224, 224, 1), 3, 7_000_000)
    assert (layers[-1].shape, layers[-1].parameters) == ((3,), 7_000_000)


def test_mistakes_are_the_surest_first():
    table = predictions([0, 0, 1, 1], np.array([0.6, 0.95, 0.8, 0.1]))
    table["image_id"] = ["a", "b", "c", "d"]
    assert [mistake.image_id for mistake in figures.mistakes(table, ("no", "yes"))] == ["b", "d", "a"]


ENTRY = {"image_id": "<script>", "label": "no", "predicted": "yes", "probabilities": {"no": 0.2, "yes": 0.8}}


def test_the_gallery_never_leaves_its_folder(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    (tmp_path / "secret.png").write_bytes(b"secret")
    entry = {**ENTRY, "file": "../../../secret.png", "cam": "cam.png"}
    folder.write(json.dumps([entry]).encode(), "winner", "gallery.json")
    folder.write(b"picture", "winner", "gallery", "cam.png")
    (mistake,) = figures.gallery(folder)
    assert mistake.picture == ""
    assert mistake.cam.startswith("data:image/png;base64,")
    assert mistake.probabilities == {"no": 0.2, "yes": 0.8}
    assert (mistake.truth, mistake.predicted) == ("no", "yes")


@pytest.mark.parametrize("content", ["[", "{}", "[7]", '[{"image_id": "a"}]'])
def test_a_damaged_gallery_shows_no_picture(tmp_path, content):
    folder = RunFolder(str(tmp_path / "run"))
    folder.write(content.encode(), "winner", "gallery.json")
    assert figures.gallery(folder) == []


def test_a_winner_shows_its_pictures_and_others_their_predictions(tmp_path):
    run = load(write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=12, scheduler="none").url)
    chosen = winner(run)
    entry = {**ENTRY, "file": "a.png", "cam": "b.png"}
    run.folder.write(json.dumps([entry]).encode(), "winner", "gallery.json")
    other = next(int(trial) for trial in run.trials.index if trial != chosen)
    assert [mistake.image_id for mistake in panels.mistakes(scored_trial(run, chosen))] == ["<script>"]
    assert len(panels.mistakes(scored_trial(run, other))) == 8
    run.evaluations = run.evaluations[run.evaluations["trial"] == chosen]
    assert panels.mistakes(scored_trial(run, other)) == panels.NOT_SCORED


def test_a_trial_without_a_mistake_says_so(tmp_path, run):
    trial = winner(run)
    right = run.predictions(trial)
    columns = [f"p_{name}" for name in run.classes]
    right[columns] = np.eye(len(run.classes))[right["label"]]
    alone = dataclasses.replace(run, folder=RunFolder(str(tmp_path)))
    alone.__dict__["_read_predictions"] = lambda _: right
    assert panels.mistakes(scored_trial(alone, trial)) == "No image was misclassified."


@pytest.mark.parametrize("panel", panels.RUN_PANELS, ids=lambda panel: panel.key)
def test_every_panel_draws_a_run(panel, run):
    drawn = panel.draw(run, run.trials)
    assert not isinstance(drawn, str), drawn
    assert len(drawn.data) > 0


@pytest.mark.parametrize("panel", panels.TRIAL_PANELS, ids=lambda panel: panel.key)
def test_every_panel_draws_a_trial(panel, run, run_of_three_classes):
    for each in (run, run_of_three_classes):
        drawn = panel.draw(scored_winner(each))
        assert not isinstance(drawn, str), drawn
        assert len(drawn.data) > 0


@pytest.mark.parametrize("panel", panels.RUN_PANELS, ids=lambda panel: panel.key)
def test_no_panel_breaks_on_a_run_without_trials(panel, run):
    assert panel.draw(run, run.trials.iloc[:0]) is not None


def test_text_from_a_run_is_no_markup():
    assert style.plain("<script>") == "&lt;script&gt;"
    drawn = figures.draw_best_so_far({"<b>a</b>": figures.best_so_far(epochs(0.5), "val_loss")}, "val_loss")
    assert drawn.data[0].name == "&lt;b&gt;a&lt;/b&gt;"


def test_a_theme_changes_the_ink_and_leaves_the_data():
    drawn = figures.draw_best_so_far({"a": figures.best_so_far(epochs(0.5), "val_loss")}, "val_loss")
    assert style.restyled(drawn, style.DARK).layout.template.layout.font.color == style.DARK.ink
