"""What each step of the choice of a winner gives."""

import numpy as np
import pytest

from analysis import paired
from analysis.load import load
from analysis.scored import finished_by_metric, scored_winner
from analysis.tables.selection import COLUMNS, selection_table, winner_table
from benchmarks.analysis_data import write_run


def test_the_steps_lead_from_one_trial_to_the_exported_model(averaged):
    table = selection_table(averaged)
    test = table[table["dataset"] == "test"].reset_index(drop=True)
    members = averaged.winner.trials
    assert test["selection"].iloc[0] == "best by val_accuracy"
    assert list(test["selection"].iloc[-2:]) == [
        f"mean of the 3 best by {averaged.metric}",
        "calibrated on validation: the winner",
    ]
    assert list(test["trials"].iloc[-2:]) == [len(members)] * 2
    assert np.isnan(test["mcnemar_p"].iloc[0])
    assert test["mcnemar_p"].iloc[1:].between(0, 1).all()
    winner = scored_winner(averaged).evaluations["test"]
    assert test.iloc[-1][["accuracy", "balanced_accuracy", "auc", "loss"]].to_list() == pytest.approx(
        [winner.accuracy, winner.balanced_accuracy, winner.auc, winner.loss], abs=1e-6
    )


def test_a_step_stands_beside_the_one_before_it_with_paired_differences_and_corrected_tests(averaged):
    table = selection_table(averaged)
    assert len(table) > 2
    for score in ("accuracy", "auc", "loss"):
        found = table[[f"{score}_difference{end}" for end in ("_low", "", "_high")]].to_numpy()
        assert np.isnan(found[0]).all()
        assert found[1:, 1] == pytest.approx(np.diff(table[score]), abs=1e-6)
        assert (np.diff(found[1:]) >= 0).all()
    # A slope above 0 leaves the order of two classes as it is.
    assert table.iloc[-1][["auc_difference_low", "auc_difference_high"]].abs().max() < 1e-6
    p_values = table["mcnemar_p"].to_numpy()
    assert table["mcnemar_holm"].to_numpy() == pytest.approx(paired.holm(p_values), nan_ok=True)
    assert table["mcnemar_fdr"].to_numpy() == pytest.approx(paired.false_discovery_rates(p_values), nan_ok=True)


def test_a_step_chooses_by_its_own_score_among_the_finished_trials(averaged):
    row = selection_table(averaged).iloc[0]
    best = finished_by_metric(averaged, "val_accuracy").index[0]
    own = averaged.evaluations.set_index(["trial", "dataset"]).loc[(best, "test")]
    assert row["accuracy"] == pytest.approx(own["accuracy"])
    assert row["auc"] == pytest.approx(own["auc"], abs=1e-6)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


def test_what_chooses_is_not_among_the_sets(averaged):
    assert set(selection_table(averaged)["dataset"]) == {"test"}


def test_an_average_is_the_mean_of_its_members(averaged):
    table = selection_table(averaged).set_index("selection")
    columns = [f"p_{name}" for name in averaged.classes]
    tables = [averaged.predictions(n).query("dataset == 'test'") for n in averaged.winner.trials]
    mean = np.mean([each[columns].to_numpy() for each in tables], axis=0)
    right = mean.argmax(axis=1) == tables[0]["label"].to_numpy()
    assert table.loc[f"mean of the 3 best by {averaged.metric}", "accuracy"] == pytest.approx(right.mean())


def test_nothing_is_said_before_there_is_a_winner(tmp_path):
    run = load(write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=0, scheduler="none").url)
    table = selection_table(run)
    assert list(table.columns) == [*COLUMNS]
    assert table.empty


def test_the_page_shows_the_steps(averaged_page):
    assert "calibrated on validation: the winner" in averaged_page


def test_the_winner_is_scored_on_every_set(averaged):
    table = winner_table(averaged).set_index("dataset")
    model = scored_winner(averaged)
    assert next(iter(table.index)) == "test"
    assert set(table.index) == set(model.evaluations)
    for dataset, entry in model.evaluations.items():
        row = table.loc[dataset]
        assert row[["accuracy", "auc", "loss", "sensitivity", "specificity"]].to_list() == pytest.approx(
            [entry.accuracy, entry.auc, entry.loss, entry.sensitivity, entry.specificity], abs=1e-6
        )
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    members = averaged.trials.loc[list(averaged.winner.trials)]
    assert set(table["parameters"]) == {members["parameters"].sum()}
