"""Tables of how trials ended: epochs spent and saved, and failures."""

import pandas as pd

from analysis.table import Table
from search.record import DIVERGED, FAILED, FINISHED, STOPPED


def early_stopping(trials: pd.DataFrame) -> pd.DataFrame:
    """Epochs spent and saved, by status and number of epochs; the last row is the total.

    Saved are the epochs up to `max_epochs` that a trial did not train; a failed or unfinished trial saves none.
    """
    ended_well = trials["status"].isin([FINISHED, STOPPED, DIVERGED])
    saved = (trials["max_epochs"] - trials["epochs"]).where(ended_well, 0)
    frame = trials.assign(saved=saved).groupby(["status", "epochs"], as_index=False)
    table = frame.agg(trials=("name", "size"), epochs_spent=("epochs", "sum"), epochs_saved=("saved", "sum"))
    # The grouping column is the number of epochs after which the trials ended.
    table = table.rename(columns={"epochs": "ended_after"})
    total = {"status": "total", **table[["trials", "epochs_spent", "epochs_saved"]].sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    planned = table["epochs_spent"] + table["epochs_saved"]
    table["share_saved"] = table["epochs_saved"].astype(float) / planned.where(planned > 0).astype(float)
    counts = ("trials", "epochs_spent", "epochs_saved")
    return table.astype({"ended_after": "Int64"} | dict.fromkeys(counts, "int64"))


def failures(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that failed or diverged, or whose process was lost, each with its reason."""
    troubled = trials[trials["status"].isin([FAILED, DIVERGED]) | (trials["retries"] > 0)]
    columns = ["status", "reason", "epochs", "retries", "host", "memory_mb"]
    extra = [name for name in ("backbone", "learning_rate", "batch_size", "row") if name in troubled]
    return troubled[[*columns, *extra]].reset_index()


TABLES = (
    Table(
        "early_stopping",
        "Epochs spent and saved",
        "Epochs passées et épargnées",
        lambda run: early_stopping(run.trials),
        headings_fr={
            "ended_after": "arrêt après",
            "epochs_spent": "epochs passées",
            "epochs_saved": "epochs épargnées",
            "share_saved": "part épargnée",
        },
        section="search",
        caption="Epochs that were not trained because a trial ended before its time.",
    ),
    Table(
        "failures",
        "Trials that failed, diverged or lost their process",
        "Essais échoués, divergents ou dont le processus est mort",
        lambda run: failures(run.trials),
        headings_fr={"reason": "raison", "retries": "reprises", "host": "machine"},
        section="search",
        caption="With the reason that was recorded.",
        nothing="None failed, diverged or lost its process.",
        texts=("reason",),
    ),
)
