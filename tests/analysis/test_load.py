import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.load import load_runs, run_labels
from benchmarks.analysis_data import write_run
from search.record import Evaluation, RecordError, RunFolder, Winner, rank_configurations, to_json
from tests.analysis.logs import assert_folds_alike, epoch_event, suggested_event, write_log

ROOT = Path(__file__).parents[2]


def test_a_trial_is_judged_by_its_last_epoch_where_the_run_says_so(folder):
    record = json.loads(folder.read("run.json"))
    record["config"]["evaluate"]["weights"] = "last"
    folder.write(json.dumps(record).encode(), "run.json")
    folder.remove("evaluation.jsonl")
    assert_folds_alike(folder, weights="last")
    run = analysis.load(folder)
    assert (run.weights, list(run.trials["epoch"])) == ("last", list(run.trials["epochs"]))


def test_test_scores_stand_beside_the_trials_that_were_evaluated(folder):
    run = analysis.load(folder)
    test = run.evaluations[run.evaluations["dataset"] == "test"].set_index("trial")
    assert len(test) == 2
    evaluated = run.trials[run.trials["test_accuracy"].notna()]
    assert evaluated["test_accuracy"].to_dict() == test["accuracy"].to_dict()
    assert run.problems == []
    assert run.status == "finished"


def test_predictions_and_manifest_are_read(folder):
    run = analysis.load(folder)
    trial = int(run.evaluations["trial"].iloc[0])
    assert run.predictions(trial)["dataset"].value_counts().to_dict() == {"validation": 1046, "test": 624}
    assert run.manifest["split"].value_counts().to_dict() == {"train": 4186, "validation": 1046, "test": 624}
    assert list(run.bad_files["reason"]) == ["truncated"]


def test_refresh_takes_in_only_what_is_new(folder):
    run = analysis.load(folder)
    held = run.trials
    assert run.refresh() is False
    log = folder.child("log", "00000000000000000001.jsonl")
    events = (suggested_event(40, layers=3), epoch_event(40, 1, 0.25), epoch_event(40, 2, 0.125))
    lines = [to_json(event) for event in events]
    with open(log, "a") as file:
        file.write(f"{lines[0]}\n{lines[1]}\n{lines[2][:40]}")  # the search is writing the last one
    assert run.refresh() is True
    assert run.trials.loc[40, ["status", "epochs", "val_loss"]].tolist() == ["running", 1, 0.25]
    assert len(held) == 40
    assert "half written" in run.problems[0]
    with open(log, "a") as file:
        file.write(f"{lines[2][40:]}\n")
    assert run.refresh() is True
    assert run.trials.loc[40, "val_loss"] == 0.125
    assert run.problems == []
    assert_folds_alike(folder)


def test_refresh_sees_new_evaluations(folder):
    run = analysis.load(folder)
    lines = folder.read("evaluation.jsonl").splitlines(keepends=True)
    folder.write(b"".join(lines[:2]), "evaluation.jsonl")
    assert run.refresh() is True
    assert run.trials["test_accuracy"].notna().sum() == 1


def test_damaged_lines_are_skipped_and_named(folder):
    log = folder.read("log", "00000000000000000001.jsonl")
    epochs = len(analysis.load(folder).curves)
    bad_type = to_json(epoch_event(0, 1, 0.5)).replace('"epoch":1', '"epoch":"one"')
    folder.write(
        b'{"event":"epoch","trial":\n[1]\n' + bad_type.encode() + b"\n" + log, "log", "00000000000000000001.jsonl"
    )
    evaluations = folder.read("evaluation.jsonl")
    folder.write(evaluations + b'{"trial": 3, "data', "evaluation.jsonl")
    run = analysis.load(folder)
    assert run.problems == [
        "evaluation.jsonl: 1 damaged line skipped",
        "log/00000000000000000001.jsonl: 3 damaged lines skipped",
    ]
    assert len(run.trials) == 40
    assert len(run.curves) == epochs
    write_log(folder, [suggested_event(40)], "2.jsonl")
    assert run.refresh() is True
    assert len(run.problems) == 2  # what was damaged stays damaged


def test_missing_and_damaged_files_are_named(folder):
    run = analysis.load(folder)
    trials = sorted(set(run.evaluations["trial"]))
    folder.write(b"no parquet", "predictions", f"{trials[0]:04d}.parquet")
    folder.remove("predictions", f"{trials[1]:04d}.parquet")
    folder.remove("manifest.parquet")
    run = analysis.load(folder)
    assert run.predictions(trials[0]).empty
    assert run.predictions(trials[1]).empty
    assert run.manifest.empty
    problems = "\n".join(run.problems)
    assert f"predictions: missing for 1 evaluated trials ({trials[1]:04d})" in problems
    assert f"predictions/{trials[0]:04d}.parquet: cannot be read" in problems
    assert "manifest.parquet: missing" in problems


def test_a_run_that_only_began_has_no_trials(folder):
    folder.fs.rm(folder.child("log"), recursive=True)
    folder.remove("evaluation.jsonl")
    run = analysis.load(folder)
    assert run.trials.empty
    assert run.problems[0] == "log: missing, so no trial is known"
    assert run.status == "interrupted"


def test_an_open_trial_runs_while_the_log_is_fresh(folder):
    record = json.loads(folder.read("run.json"))
    write_log(folder, [suggested_event(50), epoch_event(50, 1, 0.5, time=record["created"])], "2.jsonl")
    assert analysis.load(folder).status == "interrupted"
    write_log(folder, [epoch_event(50, 2, 0.5, time=pd.Timestamp.now().timestamp())], "3.jsonl")
    run = analysis.load(folder)
    assert run.status == "running"


def test_a_run_goes_on_while_any_trial_does_not_the_last_one_alone(folder):
    old = [suggested_event(51), *(epoch_event(51, epoch, 0.5, time=1.0) for epoch in range(1, 1100))]
    now = pd.Timestamp.now().timestamp()
    write_log(folder, [suggested_event(50), epoch_event(50, 1, 0.5, time=now), *old], "2.jsonl")
    assert analysis.load(folder).status == "running"


def test_a_winner_that_is_written_later_is_seen(folder):
    run = analysis.load(folder)
    assert run.winner is None
    entry = Evaluation(3, "test", "best", 0, 4, 0.5, 0.75, 0.75, None, 0.5, 1.0, [[2, 0], [1, 1]])
    winner = Winner((3, 5), "validation", 0.8, (0.0, 0.5), (entry,))
    folder.write_winner(winner)
    assert run.refresh()
    assert run.winner == winner
    assert winner.what == "the mean of trials 0003, 0005, calibrated on validation"


def test_a_damaged_winner_is_named_and_left_out(folder):
    folder.write(b"[1, 2]", "winner", "winner.json")
    run = analysis.load(folder)
    assert run.winner is None
    assert "winner/winner.json: cannot be read" in "\n".join(run.problems)


def test_a_search_that_stopped_between_two_trials_is_interrupted(folder):
    record = json.loads(folder.read("run.json"))
    record["config"]["search"]["num_trials"] = 41
    folder.write(json.dumps(record).encode(), "run.json")
    assert analysis.load(folder).status == "interrupted"
    record["config"]["search"]["searcher"] = "grid"
    folder.write(json.dumps(record).encode(), "run.json")
    assert analysis.load(folder).status == "finished"


# Its parts are there, and their parts are of other kinds.
ODD = json.dumps(
    {
        "schema": 1, "name": "x", "created": 1.0, "command": "", "metric": "val_loss", "classes": ["a", "b"],
        "config": [], "environment": {}, "data": {},
    }
)  # fmt: skip


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema": 99}', "{", '{"schema": 1, "name": "x"}', ODD])
def test_a_folder_without_a_sound_run_record_is_refused(tmp_path, content):
    (tmp_path / "bad").mkdir()
    with pytest.raises(RecordError, match=r"run\.json"):
        analysis.load(str(tmp_path / "bad"))
    (tmp_path / "bad" / "run.json").write_text(content)
    with pytest.raises(RecordError):
        analysis.load(str(tmp_path / "bad"))
    with pytest.warns(UserWarning, match="Run bad is skipped: "):
        assert load_runs(str(tmp_path)) == []


def test_a_folder_of_runs_gives_the_newest_first(tmp_path):
    for number, name in enumerate(("old", "new")):
        folder = write_run(str(tmp_path / name), trials=3, epochs=2, evaluated=0)
        record = json.loads(folder.read("run.json")) | {"created": float(number)}
        folder.write(json.dumps(record).encode(), "run.json")
    runs = load_runs(str(tmp_path))
    assert [run.name for run in runs] == ["new", "old"]
    assert run_labels(runs) == ["new", "old"]
    assert run_labels([runs[0], runs[0]]) == [runs[0].folder.url] * 2


def test_a_run_in_an_object_store_is_read(folder):
    remote = RunFolder("memory://bucket/runs/made")
    for part in (("run.json",), ("log", "00000000000000000001.jsonl"), ("evaluation.jsonl",)):
        remote.write(folder.read(*part), *part)
    ours, theirs = analysis.load("memory://bucket/runs/made"), analysis.load(folder)
    pd.testing.assert_frame_equal(ours.trials, theirs.trials)
    assert ours.refresh() is False


def test_importing_the_analysis_imports_nothing_heavy():
    heavy = ("pandas", "plotly", "scipy", "ray", "tensorflow")
    code = f"import sys, analysis; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_run_that_has_to_confirm_its_best_trials_is_interrupted_until_it_has(folder):
    record = folder.read_run()
    record.config["search"] = {"confirm": 2}
    folder.write_run(record)
    run = analysis.load(folder.url)
    assert run.status == "interrupted"
    first, second = (group[0] for group in rank_configurations(folder.read_trials().values(), run.metric)[:2])
    for number, confirmed in ((40, second), (41, first)):
        assert analysis.load(folder.url).status == "interrupted"
        again = suggested_event(number, **confirmed.parameters) | {"confirms": confirmed.number}
        ended = {"event": "ended", "time": 1.0, "trial": number, "status": "failed", "reason": ""}
        write_log(folder, [again, ended], f"{number}.jsonl")
    assert analysis.load(folder.url).status == "finished"


def test_a_run_that_its_clock_has_closed_is_finished(folder):
    record = folder.read_run()
    record.config["search"] = {"num_trials": 100_000, "time_budget": 60.0}
    folder.write_run(record)
    assert analysis.load(folder.url).status == "interrupted"
    closed = {"event": "closed", "time": 12.0, "what": "trials", "budget": 60.0, "elapsed": 40.0, "reason": "x"}
    folder.write((to_json(closed) + "\n").encode(), "log", "2.jsonl")
    assert analysis.load(folder.url).status == "finished"
    record.config["search"]["time_budget"] = 90.0  # resumed with more time
    folder.write_run(record)
    assert analysis.load(folder.url).status == "interrupted"
