"""The table of findings, and the page of a run whose images may show several."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from analysis.command import CommandError
from analysis.load import load
from analysis.page.answer import answer
from analysis.page.render import report_html
from analysis.tables import TABLES, default_tables, make_table
from analysis.tables.command import printed
from analysis.tables.findings import COLUMNS, findings_table
from analysis.tables.subgroups import FINDING_COLUMNS, finding_subgroup_table
from search.evaluate.predictions import evaluation, prediction_table, write_predictions
from search.plan.settings import EvaluateSettings
from search.record import UNKNOWN, RunFolder, RunRecord, TrialRecord, to_json
from tests.analysis.hand_made import trial_events
from tests.winners import make_winner

NAMES = ("mass", "edema", "hernia")  # no validation image shows the last one
OUTSIDE = "elsewhere"  # its labels do not tell of the last one
IMAGES = {"validation": 80, "test": 60, OUTSIDE: 50}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run of one trial with an exported winner, and its predictions on the test images: labels and probabilities."""
    folder = RunFolder(str(tmp_path_factory.mktemp("runs") / "findings"))
    config = {"data": {"task": "multilabel", "size": 8, "channels": 1}, "evaluate": {"weights": "best"}}
    counts = {"train": [9, 3, 1], "validation": [24, 8, 0], "test": [20, 5, 2]}
    data = {"fingerprint": "f", "counts": counts, "images": {"train": 100, **IMAGES}}
    folder.write_run(RunRecord("findings", 1.0, "", "val_auc", NAMES, config, {}, data))
    events = trial_events(0, {"backbone": "cnn", "layers": 1}, [0.5, 0.4], "finished")
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    rng, tables, entries, known = np.random.default_rng(0), [], [], {}
    for dataset, images in IMAGES.items():
        shown = (rng.random((images, 3)) < (0.3, 0.1, 0.1 * (dataset == "test"))).astype(np.int64)
        if dataset == OUTSIDE:
            shown[:, 2] = UNKNOWN
        p = np.clip(rng.normal(0.4 + 0.2 * shown, 0.15), 0.01, 0.99).astype(np.float32)
        patients = np.arange(images) // 2
        names = [f"{dataset}-{number:03d}" for number in range(images)]
        tables.append(
            prediction_table(dataset, names, shown, p, NAMES, {"patient": patients, "sex": ["F", "M"] * (images // 2)})
        )
        entries.append(evaluation(0, dataset, "best", 2, shown, p, patients))
        known[dataset] = shown, p
    write_predictions(folder, pa.concat_tables(tables), "0000")
    folder.write("".join(to_json(entry) + "\n" for entry in entries).encode(), "evaluation.jsonl")
    member = TrialRecord(0, {"backbone": "cnn"}, seed=0, max_epochs=2, status="finished")
    folder.write_winner(make_winner(folder, [member], EvaluateSettings(calibrate=False), {}, {}))
    return load(folder.url), known


def test_each_finding_has_its_scores_at_its_threshold(told):
    run, known = told
    table = findings_table(run)
    assert list(table.columns) == [*COLUMNS]
    assert table[["dataset", "finding"]].to_numpy().tolist() == [
        [dataset, name] for dataset in ("test", "validation", OUTSIDE) for name in NAMES
    ]
    shown, p = known["test"]
    for place, row in enumerate(table[table["dataset"] == "test"].itertuples()):
        own, scores = shown[:, place], p[:, place]
        assert row.positive_images == own.sum()
        assert row.auc == pytest.approx(roc_auc_score(own, scores))
        assert row.auc_low <= row.auc <= row.auc_high
        assert row.average_precision == pytest.approx(average_precision_score(own, scores))
        assert row.threshold == run.winner.finding_points[place].threshold
        called = scores.astype(np.float64) >= row.threshold
        assert row.sensitivity == pytest.approx(called[own == 1].mean())
        assert row.specificity == pytest.approx((~called[own == 0]).mean())
    unjudged, unknown = (table[table["dataset"] == name].iloc[-1] for name in ("validation", OUTSIDE))
    assert unjudged[["auc", "sensitivity"]].isna().all()
    assert (unjudged["positive_images"], unjudged["threshold"], unjudged["set_on"]) == (0, 0.5, "")
    assert unjudged["specificity"] > 0
    assert unknown[["positive_images", "auc", "sensitivity", "specificity"]].isna().all()


def test_what_needs_one_class_an_image_is_left_out(told):
    run, _ = told
    names = default_tables([run])
    assert "findings" in names
    assert not {"winner", "selection", "comparison", "calibration", "decisions", "subgroups", "splits"} & set(names)
    for name in names:
        make_table([run], name)
    with pytest.raises(ValueError, match="of images with one class each"):
        make_table([run], "winner")
    data = make_table([run], "data")
    assert data["share_of_split"].iloc[0] == pytest.approx(9 / 100)
    assert TABLES["ranking"].of([run])["test_auc"].notna().all()


def test_each_finding_has_its_scores_in_each_subgroup(told):
    run, known = told
    table = finding_subgroup_table(run)
    assert list(table.columns) == [*FINDING_COLUMNS]
    assert (
        table[["dataset", "by", "group", "finding"]].to_numpy().tolist()
        == [
            [dataset, "sex", group, name]
            for dataset in ("test", OUTSIDE)  # validation has no part in it
            for start, group in enumerate(("F", "M"))
            for place, name in enumerate(NAMES)
            if (known[dataset][0][start::2, place] == 1).any()
        ]
    )
    shown, p = known["test"]
    first = table.iloc[0]
    own = slice(0, None, 2)  # women
    assert first["positive_images"] == shown[own, 0].sum()
    assert first["auc"] == pytest.approx(roc_auc_score(shown[own, 0], p[own, 0]))
    called = p[own, 0].astype(np.float64) >= run.winner.finding_points[0].threshold
    assert first["sensitivity"] == pytest.approx(called[shown[own, 0] == 1].mean())
    assert "finding_subgroups" in default_tables([run])
    assert "The smallest subgroups of the test images: sex F (30)." in answer(run).reasons
    card = run.folder.read("winner", "card.md").decode()
    words = f"| test | sex | F | 30 | mass | {first['sensitivity']:.3f}"
    assert words in card
    assert "| images of | by | group | number | finding | sensitivity | specificity |" in card


def test_the_page_shows_the_findings_and_no_confusion(told):
    run, _ = told
    page = report_html([run])
    assert "model&#39;s findings" in page
    for absent in ("rows are true classes", "Net benefit", "Precision and recall", "Its mistakes"):
        assert absent not in page
    names = [score.name for score in answer(run).scores]
    assert names == [f"test {score}, mean over 3 of 3 findings, 60 images" for score in ("AUC", "average precision")]


def test_runs_of_classes_have_no_such_table(averaged):
    assert findings_table(averaged).empty
    assert "findings" not in default_tables([averaged])


def test_the_command_says_which_table_to_print(told):
    run, _ = told
    assert "| test | mass |" in printed([run.folder.url, "--table", "findings"])
    with pytest.raises(CommandError, match="Print --table findings"):
        printed([run.folder.url, "--table", "winner"])
