"""Runs that replay published rows, or search, with scores made to order."""

import io

import numpy as np
import pandas as pd

import analysis
from search.evaluate.predictions import evaluation, prediction_table, write_predictions
from search.record import RunFolder, RunRecord, to_json

IMAGES = 200


def write_run(path, trials, classes=("normal", "pneumonia"), images=IMAGES, data=None, per_patient=1):
    """A run of finished trials: dictionaries of row, seed, wrong (share of test images) or status, and more."""
    folder = RunFolder(str(path))
    folder.write_run(RunRecord(path.name, 1.0, "", "val_loss", classes, {}, {}, data or {}))
    events, evaluations = [], []
    labels = np.arange(images) % len(classes)
    names, patients = [f"{i:04d}" for i in range(images)], np.arange(images) // per_patient
    for number, trial in enumerate(trials):
        status = trial.get("status", "finished")
        events.append(
            {
                "event": "suggested",
                "time": 1.0,
                "trial": number,
                "parameters": trial.get("parameters", {}),
                "seed": trial.get("seed", 0),
                "max_epochs": 1,
                "row": trial.get("row", ""),
            }
        )
        accuracy = trial.get("val_accuracy", 0.5)
        metrics = dict.fromkeys(("train_loss", "train_accuracy", "val_balanced_accuracy", "val_auc"), 0.5)
        metrics |= {"epoch": 1, "seconds": 1.0, "learning_rate": 0.1, "val_accuracy": accuracy}
        metrics["val_loss"] = trial.get("val_loss", 0.5)
        events.append({"event": "epoch", "time": 2.0, "trial": number, "metrics": metrics})
        events.append({"event": "ended", "time": 3.0, "trial": number, "status": status, "reason": ""})
        if "wrong" not in trial:
            continue
        predicted = labels.copy()
        count = round(trial["wrong"] * images)
        predicted[:count] = (labels[:count] + 1) % len(classes)
        p = np.full((images, len(classes)), 0.2)
        p[np.arange(images), predicted] = 0.8
        p /= p.sum(axis=1, keepdims=True)
        evaluations.append(evaluation(number, "test", "best", 1, labels, p, patients))
        write_predictions(folder, prediction_table("test", names, labels, p, classes), f"{number:04d}")
    buffer = io.BytesIO()
    manifest = {
        "image_id": names,
        "pool": "test",
        "label": labels,
        "group": patients.astype(str),
    }
    absent = dict.fromkeys(("content_hash", "width", "height", "split"), "")
    pd.DataFrame(manifest | absent).to_parquet(buffer)
    folder.write(buffer.getvalue(), "manifest.parquet")
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    folder.write("".join(to_json(entry) + "\n" for entry in evaluations).encode(), "evaluation.jsonl")
    return analysis.load(folder)


def replays(row, wrongs):
    return [{"row": row, "seed": 10 + repeat, "wrong": wrong} for repeat, wrong in enumerate(wrongs)]
