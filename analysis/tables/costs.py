"""Tables of a search's cost, and of what early stopping, features and sharing saved."""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.load import Run
from analysis.table import Table
from search.record import DIVERGED, FINISHED, STOPPED, counted
from search.record.passes import epochs_of_pass


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        cost: its name.
        process_hours: of all trial processes together, NaN where it is not known.
        basis: how it was counted or computed.
    """

    cost: str
    process_hours: float
    basis: str


def savings_table(run: Run) -> pd.DataFrame:
    """Process hours spent and saved, and their sum: columns `cost`, `process_hours`, `basis`.

    Epochs that a trial did not train count at its own pace. Without features, an epoch would have passed its images
    through the frozen part, at the pace at which the features were computed; the time to draw an augmentation is not
    counted. The time to compute the features is subtracted from what they save. Scoring the test images, at the end
    of the search, is in no line.
    """
    spent = [_trained(run), *_features(run)]
    saved = [_early_stopping(run), *_without_features(run)]
    known = [line.process_hours for line in spent + saved if np.isfinite(line.process_hours)]
    lines = [*spent, *saved, Line("in all without them", sum(known), "spent and saved"), _sharing(run)]
    return pd.DataFrame([astuple(line) for line in lines], columns=["cost", "process_hours", "basis"])


def _trained(run: Run) -> Line:
    curves = run.curves
    epochs = f"{counted(len(curves), 'epoch')} of {counted(len(run.trials), 'trial')}"
    wall = covered(curves["time"] - curves["seconds"], curves["time"])
    basis = f"{epochs}; something trained for {wall / 60:,.1f} minutes of wall time"
    return Line("spent on training", curves["seconds"].sum() / 3600, basis)


def _features(run: Run) -> list[Line]:
    costs = run.feature_costs
    if costs.empty:
        return []
    names = ", ".join(dict.fromkeys(costs["backbone"]))
    basis = f"{int(costs['images'].sum()):,} images through the frozen part of {names}, once"
    return [Line("spent on features", float(costs["seconds"].sum()) / 3600, basis)]


def _early_stopping(run: Run) -> Line:
    trials = run.trials[run.trials["status"].isin([FINISHED, STOPPED, DIVERGED]) & (run.trials["epochs"] > 0)]
    stopped = trials[trials["epochs"] < trials["max_epochs"]]
    left = stopped["max_epochs"] - stopped["epochs"]
    hours = float((left * stopped["seconds"] / stopped["epochs"]).sum()) / 3600
    return Line(
        "saved by early stopping",
        hours,
        f"{counted(left.sum(), 'epoch')} of {counted(len(stopped), 'trial')} that ended early, at their own pace",
    )


def _without_features(run: Run) -> list[Line]:
    if run.record.config.get("features", "off") == "off" or "backbone" not in run.trials:
        return []
    transfer = run.trials[run.trials["backbone"] != "cnn"]
    # All of them where the column is missing.
    frozen = transfer[transfer["frozen"] != "none"] if "frozen" in transfer else transfer
    if frozen.empty:
        return []
    epochs = frozen.groupby("backbone")["epochs"].sum()
    costs = run.feature_costs.groupby("backbone")[["images", "seconds"]].sum()
    pace = (costs["seconds"] / costs["images"]).reindex(epochs.index)
    images = _images_of_epoch(run)
    if pace.isna().any():
        basis = f"not known: the features of {', '.join(pace.index[pace.isna()])} came from an earlier run's cache"
        return [Line("saved by features", float("nan"), basis)]
    hours = (float((epochs * pace).sum()) * images - float(costs["seconds"].sum())) / 3600
    basis = f"{int(epochs.sum()):,} epochs of {images:,} images that did not pass the frozen part again"
    return [Line("saved by features", hours, basis)]


def _images_of_epoch(run: Run) -> int:
    """Images that an epoch trains on or scores."""
    train, limit = _count(run, "train"), run.record.config.get("train", {}).get("epoch_images")
    return round(train / epochs_of_pass(train, limit)) + _count(run, "validation")


def _count(run: Run, part: str) -> int:
    return run.record.images(part)


def _sharing(run: Run) -> Line:
    """Memory, not time: all processes of a host read one copy of the images."""
    data = run.record.config.get("data", {})
    pixels = int(data.get("size", 0)) ** 2 * int(data.get("channels", 1))
    images = (_count(run, "train") + _count(run, "validation")) * pixels / 2**20
    starts, ends = run.curves["time"] - run.curves["seconds"], run.curves["time"]
    processes = most_at_once(starts, ends)
    # Hosts at one time, each from its first epoch to its last: a resumed run may have moved. An epoch that comes from a
    # checkpoint names no host.
    of_host = run.curves["host"].replace("", None)
    hosts = max(1, most_at_once(starts.groupby(of_host).min(), ends.groupby(of_host).max()))
    basis = f"images in memory {images * hosts:,.0f} MiB; with a copy in each process {images * processes:,.0f} MiB"
    return Line("saved by sharing", float("nan"), basis)


def covered(starts: Any, ends: Any) -> float:
    """The length of the union of intervals."""
    total, reached = 0.0, -np.inf
    for start, end in sorted(zip(starts, ends, strict=True)):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def most_at_once(starts: Any, ends: Any) -> int:
    """The most intervals that overlap at one time; intervals that only touch do not overlap."""
    steps = sorted([(end, -1) for end in ends] + [(start, 1) for start in starts])
    return int(max(np.cumsum([step for _, step in steps]), default=0))


def cost(trials: pd.DataFrame) -> pd.DataFrame:
    """The cost of trials by backbone and status: process hours, time of an epoch, memory; the last row is the total."""
    keyed = trials.assign(backbone=trials.get("backbone", "")).fillna({"backbone": ""})
    groups = keyed.groupby(["backbone", "status"], as_index=False)
    table = groups.agg(
        trials=("name", "size"), epochs=("epochs", "sum"), seconds=("seconds", "sum"), memory_mb=("memory_mb", "max")
    )
    total = {"backbone": "", "status": "total", **table[["trials", "epochs", "seconds"]].sum()}
    total["memory_mb"] = table["memory_mb"].max()
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True).astype({"trials": "int64", "epochs": "int64"})
    seconds = table.pop("seconds")
    table.insert(4, "process_hours", seconds / 3600)
    table.insert(5, "share", seconds / seconds.iloc[-1] if seconds.iloc[-1] else np.nan)
    table.insert(6, "seconds_per_epoch", seconds / table["epochs"].where(table["epochs"] > 0))
    return table


TABLES = (
    Table(
        "savings",
        "What the search cost, and what it would have cost without early stopping, features and sharing",
        "Coût de la recherche, et ce qu'il aurait été sans arrêt précoce, caractéristiques ni partage",
        savings_table,
        headings_fr={"cost": "coût"},
        section="search",
        caption="In hours of all trial processes together.",
        texts=("cost", "basis"),
    ),
    Table(
        "cost",
        "Process hours",
        "Heures de processus",
        lambda run: cost(run.trials),
        headings_fr={"share": "part", "seconds_per_epoch": "secondes par epoch"},
        section="search",
        caption="By backbone and ending.",
        closed=True,
    ),
)
