"""Small runs whose every number is written by hand."""

import numpy as np

from search.evaluate.predictions import evaluation, prediction_table, write_predictions
from search.record import RunFolder, RunRecord, to_json

CLASSES = ("normal", "pneumonia")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])  # ten test images
# Probabilities of pneumonia on them: all right, and the fourth and the last wrong.
PERFECT = [0.2] * 4 + [0.8] * 6
TWO_WRONG = [0.2, 0.2, 0.2, 0.6] + [0.8] * 5 + [0.4]


def epoch_event(trial, epoch, val_loss, seconds):
    metrics = {
        "epoch": epoch,
        "seconds": seconds,
        "learning_rate": 0.01,
        "train_loss": 0.5,
        "train_accuracy": 0.5,
        "val_loss": val_loss,
        "val_accuracy": 1 - val_loss,
        "val_balanced_accuracy": 1 - val_loss,
        "val_auc": 1 - val_loss,
        "memory_mb": 100.0 * (trial + 1),
        "time": 10.0,
    }
    return {"event": "epoch", "time": 10.0, "trial": trial, "metrics": metrics, "host": "node", "process": 7}


def trial_events(trial, parameters, losses, status, seconds=1800.0, row="", repeat=0, reason=""):
    yield {
        "event": "suggested",
        "time": 1.0,
        "trial": trial,
        "parameters": parameters,
        "seed": 100 + repeat,
        "max_epochs": 4,
        "row": row,
        "repeat": repeat,
        "parameter_count": 96_969,
        "trainable_count": 96_969,
    }
    for epoch, loss in enumerate(losses, 1):
        yield epoch_event(trial, epoch, loss, seconds)
    yield {"event": "ended", "time": 11.0, "trial": trial, "status": status, "reason": reason}


def write_run(path, events, probabilities, name="hand"):
    """A run folder; `probabilities` of pneumonia on the ten test images, by trial."""
    folder = RunFolder(str(path))
    data = {"counts": {"train": [3, 5], "validation": [1, 1], "test": [4, 6]}}
    config = {"evaluate": {"weights": "best"}}
    folder.write_run(RunRecord(name, 1.0, "", "val_loss", CLASSES, config, {}, data))
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    evaluations = []
    for trial, ones in probabilities.items():
        p = np.stack([1 - np.array(ones), ones], axis=1)
        evaluations.append(evaluation(trial, "test", "best", 1, LABELS, p, np.arange(len(LABELS))))
        names = [f"{i}.jpeg" for i in range(len(LABELS))]
        write_predictions(folder, prediction_table("test", names, LABELS, p, CLASSES), f"{trial:04d}")
    folder.write("".join(to_json(entry) + "\n" for entry in evaluations).encode(), "evaluation.jsonl")
    return folder
