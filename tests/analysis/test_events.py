"""A run's log as frames."""

import pandas as pd
import pytest

import analysis
from analysis.events import CURVE_COLUMNS, TRIAL_COLUMNS, LogReader, hyperparameter_column, scored_epochs
from search.record import RunFolder
from tests.analysis.logs import assert_folds_alike, epoch_event, suggested_event, write_log


@pytest.fixture
def log(tmp_path):
    """The log of a run, empty at first."""
    return RunFolder(str(tmp_path / "run"))


def test_frames_say_what_the_search_itself_reads_in_its_log(folder):
    assert_folds_alike(folder)


def test_frames_say_what_the_search_reads_in_a_log_with_retries_and_repeats(folder):
    write_log(
        folder,
        [
            epoch_event(0, 1, 0.1),  # never suggested: ignored
            suggested_event(0, learning_rate=0.1),
            {"event": "started", "time": 2.0, "trial": 0},
            epoch_event(0, 1, 0.9),
            {"event": "retried", "time": 3.0, "trial": 0, "reason": "lost"},
            epoch_event(0, 1, 0.8),  # repeated: the first report counts
            epoch_event(0, 3, 0.1),  # out of order: ignored
            epoch_event(0, 2, 0.7),
            suggested_event(1),
            epoch_event(1, 1, 0.4),
            epoch_event(1, 2, 0.4),  # of equal epochs the first is the best
            {"event": "ended", "time": 9.0, "trial": 1, "status": "finished", "reason": ""},
            suggested_event(2),
            {"event": "retried", "time": 3.0, "trial": 2, "reason": "lost"},
            suggested_event(3),
            epoch_event(3, 1, 0.2),
            suggested_event(3, layers=2),  # suggested anew: begins anew
        ],
        "00000000000000000001.jsonl",
    )
    assert_folds_alike(folder)
    assert list(analysis.load(folder).trials["status"]) == ["running", "finished", "waiting", "waiting"]


def test_a_log_without_epochs_has_trials_and_no_curves(folder):
    write_log(folder, [suggested_event(0, layers=1)], "00000000000000000001.jsonl")
    assert_folds_alike(folder)
    assert analysis.load(folder).curves.empty


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([1, None], [1.0, None]),
        ([[16, 8], [], None], ["16-8", "none", None]),
        ([True, False], [True, False]),
        (["a", 1], ["a", "1"]),
        ([True, None], ["true", None]),
    ],
)
def test_hyperparameters_become_columns(values, expected):
    column = hyperparameter_column(values)
    assert [None if pd.isna(value) else value for value in column] == expected


def test_the_columns_are_the_same_with_and_without_epochs(log):
    write_log(log, [suggested_event(0, layers=1)])
    reader = LogReader(log)
    assert reader.read() is True
    for _ in range(2):
        trials, curves = reader.frames("val_loss", "best")
        assert list(trials.columns) == [*TRIAL_COLUMNS, "layers"]
        assert list(curves.columns) == ["trial", *CURVE_COLUMNS, "host", "process"]
        write_log(log, [epoch_event(0, 1, 0.5)], "2.jsonl")
        reader.read()
    assert curves[["trial", "epoch", "val_loss", "host", "process"]].to_numpy().tolist() == [[0, 1, 0.5, "node", 7]]


def test_a_log_is_read_from_where_it_was_left(log):
    write_log(log, [suggested_event(0)])
    reader = LogReader(log)
    assert reader.read() is True
    assert reader.read() is False
    write_log(log, [suggested_event(0), suggested_event(1)])  # the file has grown by a line
    assert reader.read() is True
    assert list(reader.frames("val_loss", "best")[0].index) == [0, 1]


def test_lines_that_say_nothing_are_counted_by_file(log):
    write_log(log, [suggested_event(0), {"event": "epoch", "trial": 0, "metrics": {"epoch": "one"}}])
    log.write(b"[1]\n{\n", "log", "2.jsonl")
    log.write(b'{"event": "suggested", "tri', "log", "3.jsonl")
    reader = LogReader(log)
    reader.read()
    damaged, more, half = reader.problems
    assert damaged.startswith("log/1.jsonl: 1 damaged line")
    assert more.startswith("log/2.jsonl: 2 damaged lines")
    assert half.startswith("log/3.jsonl: its last line is half written")
    assert len(reader.frames("val_loss", "best")[0]) == 1


@pytest.mark.parametrize(
    ("metric", "weights", "epochs"),
    [("val_loss", "best", [2, 1]), ("val_accuracy", "best", [1, 1]), ("val_loss", "last", [3, 1])],
)
def test_a_trial_is_judged_by_its_best_epoch_or_its_last(metric, weights, epochs):
    curves = pd.DataFrame(
        {
            "trial": [0, 0, 0, 1],
            "epoch": [1, 2, 3, 1],
            "val_loss": [0.5, 0.4, 0.4, 0.1],  # of equal epochs the first
            "val_accuracy": [0.9, 0.8, None, 0.7],
        }
    )
    assert scored_epochs(curves, metric, weights)["epoch"].tolist() == epochs


def test_feature_costs_are_those_of_whole_events(log):
    cost = {"event": "features", "time": 1.0, "backbone": "vgg16", "images": 600, "seconds": 2.0}
    write_log(log, [cost, {"event": "features", "time": 2.0, "backbone": "vgg16"}])
    reader = LogReader(log)
    reader.read()
    assert reader.feature_costs().to_dict("list") == {"backbone": ["vgg16"], "images": [600.0], "seconds": [2.0]}
