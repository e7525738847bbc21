"""Logs written by hand, and the check that frames say of them what the search itself reads."""

import math

import pandas as pd
import pytest

import analysis
from analysis.events import CURVE_COLUMNS
from search.record import to_json


def epoch_event(trial, epoch, val_loss, time=0.0):
    metrics = dict.fromkeys(CURVE_COLUMNS, 0.5) | {"epoch": epoch, "val_loss": val_loss, "time": time}
    return {"event": "epoch", "time": time, "trial": trial, "metrics": metrics, "host": "node", "process": 7}


def suggested_event(trial, **parameters):
    return {
        "event": "suggested",
        "time": 1.0,
        "trial": trial,
        "parameters": parameters,
        "seed": 5,
        "max_epochs": 3,
        "parameter_count": 10,
    }


def write_log(folder, events, name="1.jsonl"):
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", name)


def assert_folds_alike(folder, metric="val_loss", weights="best"):
    """That the frames say of every trial what `search.record.fold` says."""
    run = analysis.load(folder)
    records = folder.read_trials()
    assert list(run.trials.index) == sorted(records)
    for number, record in records.items():
        row = run.trials.loc[number]
        for name in ("name", "status", "reason", "row", "repeat", "seed", "max_epochs", "started", "ended", "retries"):
            assert row[name] == getattr(record, name), (number, name)
        assert row["epochs"] == len(record.epochs)
        assert row["seconds"] == pytest.approx(record.busy_seconds)
        assert row["parameters"] == record.parameter_count
        scored = record.scored_epoch(metric, weights)
        curve = run.curves[run.curves["trial"] == number]
        for name in CURVE_COLUMNS:
            expected = pd.Series([getattr(epoch, name) for epoch in record.epochs], dtype=float)
            assert list(curve[name]) == pytest.approx(list(expected), nan_ok=True)
        if scored is None:
            assert pd.isna(row["epoch"])
            assert math.isnan(row["val_loss"])
        else:
            assert row["epoch"] == scored.epoch
            assert row["val_loss"] == scored.val_loss
            assert row["train_accuracy"] == scored.train_accuracy
