"""Epochs and trials made up for figures."""

import pandas as pd

from search.record import FINISHED


def epochs(*losses, trial=0, time=0.0):
    return pd.DataFrame(
        {
            "trial": trial,
            "epoch": range(1, len(losses) + 1),
            "time": [time + place for place in range(len(losses))],
            "train_loss": losses,
            "train_accuracy": 0.5,
            "val_loss": losses,
            "val_accuracy": 0.5,
        }
    )


def one_trial(status=FINISHED, epoch=2, max_epochs=3, reason=""):
    content = {"status": [status], "epoch": pd.array([epoch], dtype="Int64"), "max_epochs": [max_epochs]}
    return pd.DataFrame({**content, "reason": [reason]})
