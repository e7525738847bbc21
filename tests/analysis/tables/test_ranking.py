import numpy as np
import pytest

from analysis import load
from analysis.page.trials import trial_rows
from search.record import to_json
from search.record.ranking import to_confirm
from tests.analysis.hand_made import trial_events


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


def test_what_means_something_where_classes_are_of_unequal_size_is_shown_first(run):
    columns = [name for name in run.table("ranking") if not name.endswith(("_low", "_high"))]
    order = ["val_balanced_accuracy", "val_auc", "val_accuracy"]
    assert [name for name in columns if name in order] == order
    order = ["test_balanced_accuracy", "test_auc", "test_average_precision", "test_accuracy", "test_sensitivity"]
    assert [name for name in columns if name in order] == order
    rows = trial_rows(run)
    order = ["val_balanced_accuracy", "val_auc", "val_accuracy", "test_balanced_accuracy", "test_accuracy"]
    assert [name for name in rows["columns"] if name in order] == order


def test_ranking_makes_image_intervals_for_the_first_only(run):
    ranking = run.table("ranking", top=1)
    assert ranking["test_auc"].notna().tolist() == [True, False, False, False]


def test_a_confirmation_says_what_it_confirms(folder, run):
    assert "confirms" not in run.table("ranking")
    events = list(trial_events(9, {"layers": 1}, (0.05,), "finished", repeat=1))
    folder.write("".join(to_json({**event, "confirms": 1}) + "\n" for event in events).encode(), "log", "2.jsonl")
    again = load(folder.url)
    ranking = again.table("ranking").set_index("trial")
    assert ranking["confirms"][9] == 1
    assert ranking["confirms"].drop(9).isna().all()
    shown = trial_rows(again)
    place = shown["columns"].index("confirms")
    assert {row[0]: row[place] for row in shown["rows"] if row[place] is not None} == {9: 1}


def test_a_run_goes_on_until_what_is_asked_for_is_confirmed(folder, run):
    assert run.status == "finished"
    record = folder.read_run()
    record.config["search"] = {"confirm": 1}
    folder.write_run(record)
    assert load(folder.url).status == "interrupted"
    trials = folder.read_trials()
    (best,) = to_confirm(trials.values(), 1, run.metric)
    events = trial_events(len(trials), {"layers": 1}, (0.05,), "finished", repeat=1)
    lines = [to_json({**event, "confirms": best.number}) + "\n" for event in events]
    folder.write("".join(lines).encode(), "log", "2.jsonl")
    assert load(folder.url).status == "finished"
