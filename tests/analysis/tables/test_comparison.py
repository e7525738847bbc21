import json

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

import analysis
from analysis.tables.comparison import comparison
from search.record import to_json
from tests.analysis.hand_made import TWO_WRONG, trial_events, write_run


def test_comparison_of_two_trials_by_hand(run):
    (line,) = run.table("comparison").to_dict("records")
    assert (line["first"], line["second"], line["images"]) == (1, 0, 10)
    assert line["accuracy_difference"] == pytest.approx(-0.2)
    assert (line["only_first_right"], line["only_second_right"]) == (0, 2)
    assert line["mcnemar_p"] == pytest.approx(0.5)
    assert line["auc_difference"] == pytest.approx(-1 / 24)


def test_the_tests_of_all_pairs_are_corrected_together(averaged):
    table = comparison(averaged)
    assert len(table) > 2
    for test in ("mcnemar", "delong"):
        p_values, holm, rate = (table[f"{test}_{end}"].to_numpy() for end in ("p", "holm", "fdr"))
        assert holm == pytest.approx(multipletests(p_values, method="holm")[1])
        assert rate == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


def test_evaluations_of_a_replay_say_of_which_row(run, tmp_path):
    assert not {"row", "repeat"} & set(run.table("evaluations"))
    events = [*trial_events(0, {"backbone": "cnn"}, [0.4], "finished", row="table1/2", repeat=3)]
    replay = analysis.load(write_run(tmp_path / "replay", events, {0: TWO_WRONG})).table("evaluations")
    assert replay[["trial", "row", "repeat", "accuracy"]].to_numpy().tolist() == [[0, "table1/2", 3, 0.8]]


def test_older_records_get_the_intervals_that_newer_ones_hold(run):
    newer = run.table("evaluations")
    lines = [json.loads(line) for line in run.folder.read("evaluation.jsonl").splitlines()]
    for line in lines:
        line["accuracy_low"] = line["accuracy_high"] = None
    run.folder.write("".join(to_json(line) + "\n" for line in lines).encode(), "evaluation.jsonl")
    older = analysis.load(run.folder).table("evaluations")
    assert (newer["accuracy_low"] < newer["accuracy"]).all()
    assert older[["accuracy_low", "accuracy_high"]].equals(newer[["accuracy_low", "accuracy_high"]])


def test_calibration_by_hand(run):
    table = run.table("calibration").set_index("trial")
    # Trial 0 says 0.8 for what is always right.
    assert table.loc[0, ["accuracy", "confidence", "ece", "brier"]].tolist() == pytest.approx([1, 0.8, 0.2, 0.04])
    assert table.loc[0, "loss"] == pytest.approx(-np.log(0.8))
