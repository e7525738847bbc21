"""What a search cost, and what it would have cost otherwise, counted by hand."""

import json

import numpy as np
import pytest

import analysis
from analysis.tables.costs import covered, most_at_once
from search.record import RunFolder, RunRecord, to_json

HOUR = 3600.0


def write_run(path, events, features="float32", **settings):
    folder = RunFolder(str(path))
    data = {"counts": {"train": [300, 500], "validation": [100, 100], "test": [40, 60]}}
    config = {"features": features, "data": {"size": 1024, "channels": 1}, **settings}
    folder.write_run(RunRecord("hand", 1.0, "", "val_loss", ("normal", "pneumonia"), config, {}, data))
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    return analysis.load(folder)


def trial_events(trial, ends, status, host="a", **parameters):
    """A trial of up to 4 epochs of half an hour each, which end at those hours."""
    yield {
        "event": "suggested",
        "time": 1.0,
        "trial": trial,
        "parameters": {"backbone": "cnn", **parameters},
        "seed": trial,
        "max_epochs": 4,
        "parameter_count": 10,
        "trainable_count": 5,
    }
    for epoch, end in enumerate(ends, 1):
        metrics = {"epoch": epoch, "seconds": HOUR / 2, "time": end * HOUR, "val_loss": 1.0}
        yield {"event": "epoch", "time": end * HOUR, "trial": trial, "metrics": metrics, "host": host, "process": 1}
    yield {"event": "ended", "time": 11.0, "trial": trial, "status": status, "reason": ""}


def lines(run):
    return run.table("savings").set_index("cost")


def test_early_stopping_saves_the_epochs_of_stopped_trials(tmp_path):
    events = [
        *trial_events(0, [1.0, 1.5, 2.0, 2.5], "finished"),
        *trial_events(1, [1.25], "stopped"),
        *trial_events(2, [2.0], "failed"),
        *trial_events(3, [], "diverged"),
        *trial_events(4, [9.0, 9.5, 10.0], "finished"),  # by train.early_stopping
    ]
    table = lines(write_run(tmp_path / "run", events))
    assert table["process_hours"].round(6).to_dict() == pytest.approx(
        {
            "spent on training": 4.5,
            "saved by early stopping": 2.0,
            "in all without them": 6.5,
            "saved by sharing": np.nan,
        },
        nan_ok=True,
    )
    # Something trained from 0.5 to 2.5 hours and from 8.5 to 10; at most two at once, 1,000 images of a MiB each.
    assert "for 210.0 minutes of wall time" in table.loc["spent on training", "basis"]
    assert table.loc["saved by early stopping", "basis"].startswith("4 epochs of 2 ")
    assert table.loc["saved by sharing", "basis"].endswith("1,000 MiB; with a copy in each process 2,000 MiB")


def test_images_are_in_memory_once_a_host_at_a_time(tmp_path):
    events = [
        *trial_events(0, [1.0], "finished"),
        *trial_events(1, [1.0], "finished", host="b"),
        *trial_events(2, [9.0], "finished", host="c"),  # where the run went on
        *trial_events(3, [1.0], "finished", host=""),  # found in a checkpoint
    ]
    basis = lines(write_run(tmp_path / "run", events)).loc["saved by sharing", "basis"]
    assert basis.startswith("images in memory 2,000 MiB")


def test_features_save_the_frozen_part_of_every_epoch(tmp_path):
    events = [
        *trial_events(0, [1.0, 1.5], "finished", backbone="vgg16", frozen="all"),
        *trial_events(1, [1.5], "finished", backbone="vgg16", frozen="none"),
        *trial_events(2, [1.5], "finished"),
        {"event": "features", "time": 1.0, "backbone": "vgg16", "images": 600, "seconds": HOUR},
        {"event": "features", "time": 2.0, "backbone": "vgg16", "images": 600, "seconds": HOUR},
        {"event": "features", "time": 3.0, "backbone": "vgg16"},  # damaged: it says nothing
    ]
    table = lines(write_run(tmp_path / "run", events))
    assert table.loc["spent on features", "process_hours"] == pytest.approx(2.0)
    # Two epochs of 1,000 images at 1,200 images in 2 hours, less these 2.
    assert table.loc["saved by features", "process_hours"] == pytest.approx(2000 / 600 - 2.0)
    # The others trained 2 hours, and ended 8 half hours before their last epochs.
    assert table.loc["in all without them", "process_hours"] == pytest.approx(2.0 + 4.0 + 2000 / 600)


def test_an_epoch_may_be_a_part_of_a_pass(tmp_path):
    trial = trial_events(0, [1.0, 1.5], "finished", backbone="vgg16", frozen="all")
    costs = {"event": "features", "time": 1.0, "backbone": "vgg16", "images": 600, "seconds": HOUR}
    run = write_run(tmp_path / "run", [*trial, costs], train={"epoch_images": 400})
    assert lines(run).loc["saved by features", "basis"].startswith("2 epochs of 600 images ")


def test_what_features_save_is_not_known_where_the_cache_had_them(tmp_path):
    run = write_run(tmp_path / "run", trial_events(0, [1.0], "finished", backbone="resnet50"))
    table = lines(run)
    assert np.isnan(table.loc["saved by features", "process_hours"])
    assert "resnet50" in table.loc["saved by features", "basis"]
    assert table.loc["in all without them", "process_hours"] == pytest.approx(0.5 + 1.5)  # it ended 3 epochs early


def test_a_search_without_features_or_without_trials_saves_none(tmp_path):
    trial = list(trial_events(0, [1.0], "finished", backbone="vgg16"))
    for name, events in (("off", trial), ("empty", [])):
        table = lines(write_run(tmp_path / name, events, features="off"))
        assert "saved by features" not in table.index
    assert table.loc["in all without them", "process_hours"] == 0


def test_overlapping_intervals_are_counted_once():
    assert covered([0, 1, 5], [2, 3, 6]) == 4
    assert most_at_once([0, 1, 2], [2, 3, 4]) == 2  # the third begins when the first ends
    assert (covered([], []), most_at_once([], [])) == (0, 0)


def test_the_log_keeps_what_features_cost(tmp_path):
    event = {"event": "features", "time": 1.0, "backbone": "vgg16", "images": 6, "seconds": 2.5}
    run = write_run(tmp_path / "run", [json.loads(to_json(event))])
    assert run.feature_costs.to_dict("records") == [{"backbone": "vgg16", "images": 6, "seconds": 2.5}]


def test_cost_is_in_process_hours(run):
    table = run.table("cost").set_index(["backbone", "status"])
    assert table.loc[("cnn", "finished"), "process_hours"] == pytest.approx(4.0)
    assert table.loc[("", "total"), ["trials", "epochs", "process_hours", "memory_mb"]].tolist() == [5, 10, 5.0, 400.0]
    assert table.loc[("cnn", "stopped"), "share"] == pytest.approx(0.1)
    assert table.loc[("cnn", "finished"), "seconds_per_epoch"] == 1800
