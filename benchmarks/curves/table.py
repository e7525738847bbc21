"""The table of a space's learning curves: one row for each epoch of each trial, a Parquet file that git keeps.

Several searches fill it, each with a seed of its own, also on several machines.
Its file also says what the trials have in common: the space, the search and the training that made them. Test scores
are no part of it; they lie in a file of their own (`benchmarks.curves.held_out`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.checkout import ROOT
from search.plan.domains import Choice, Integer
from search.plan.lengths import BATCH
from search.plan.settings import AshaSettings, SearchSettings, Settings, SpaceSettings, TrainSettings
from search.plan.space_file import read_space
from search.plan.spaces import Space, train_settings
from search.record import DIVERGED, FINISHED, EpochRecord, RunRecord, TrialRecord, from_json
from search.record.passes import steps_of_epoch

SCORES = tuple(entry.name for entry in fields(EpochRecord) if entry.name.startswith(("train_", "val_", "shifted_")))
_ABOUT = b"curves"  # the file's own metadata
_KEY = ["search_seed", "trial"]
_NONE = -1  # confirms no trial


@dataclass(frozen=True)
class About:
    """What all curves of a table have in common.

    Attributes:
        space, search, train: settings of the search that trained them, as its run records them; where several did,
            those of the last, which differs from the others in its seed and its number of trials.
        size: pixels, height and width of the images.
        images: how many trained.
        fingerprint: of the images and their labels.
        processor: of the machine that the seconds were measured on, or of the several.
    """

    space: Mapping[str, Any]
    search: Mapping[str, Any]
    train: Mapping[str, Any]
    size: int
    images: int
    fingerprint: str
    processor: str

    @property
    def shapes(self) -> dict[str, Any]:
        """What a curve follows from besides its configuration and its seed."""
        search = {name: self.search[name] for name in ("metric", "max_epochs")}
        data = {"size": self.size, "images": self.images, "fingerprint": self.fingerprint}
        return {"space": dict(self.space), "train": dict(self.train), **search, **data}

    @property
    def steps(self) -> int:
        """The steps of an epoch, each of `BATCH` images."""
        return steps_of_epoch(self.images, BATCH, self.train["epoch_images"])

    @property
    def settings(self) -> Settings:
        """The settings as a search has them; those that do not shape a trial are the defaults."""
        search = from_json(SearchSettings, self.search)
        return Settings(
            space=from_json(SpaceSettings, self.space),
            search=replace(search, asha=from_json(AshaSettings, self.search["asha"])),
            train=from_json(TrainSettings, self.train),
        )


@dataclass(frozen=True)
class Curves:
    """The table in memory.

    Attributes:
        trials: those that came to their end, finished or diverged, in order of their numbers. Read from a table they
            are numbered by their place in it.
    """

    about: About
    trials: tuple[TrialRecord, ...]

    @property
    def space(self) -> Space:
        """The space that the configurations were drawn from."""
        return read_space(self.about.settings)


def table_path(space: str, quick: bool = False) -> Path:
    """The file of a space's table."""
    folder = ROOT / "build" / "quick" / "curves" if quick else Path(__file__).parent
    return folder / f"{space}.parquet"


def about_run(run: RunRecord) -> About:
    """What the trials of a run have in common."""
    config = run.config
    return About(
        space=config["space"],
        search=config["search"],
        train=config["train"],
        size=config["data"]["size"],
        images=sum(run.data["counts"]["train"]),
        fingerprint=run.data["fingerprint"],
        processor=run.environment["processor"],
    )


def complete_trials(trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The trials that came to their end and have a curve."""
    return tuple(trial for trial in trials if trial.status in (FINISHED, DIVERGED) and trial.epochs)


def write_curves(curves: Curves, path: Path) -> None:
    """Write the curves of a search into a table, whole or not at all; other trials in it stay.

    Those of the same seed stay too: a search that began anew on another machine has not come to them yet.

    Raises:
        ValueError: the table holds curves of another space, of other images or of other training.
    """
    frame, about = _frame(curves), curves.about
    if path.is_file():
        table = pq.read_table(path)
        earlier = About(**json.loads(table.schema.metadata[_ABOUT]))
        if different := [name for name, value in earlier.shapes.items() if value != about.shapes[name]]:
            raise ValueError(
                "The curves of a table are of one space, trained on the same images in the same way. "
                f"Received curves of another {', '.join(different)} for {path}. Move it away to begin another table."
            )
        kept = table.to_pandas()
        is_old = (kept["search_seed"] == about.search["seed"]) & kept["trial"].isin({t.number for t in curves.trials})
        kept = kept[~is_old].astype(dict.fromkeys(_labels(kept), object))
        if len(kept):
            frame = pd.concat([kept, frame]).sort_values([*_KEY, "epoch"])
            processors = sorted({*earlier.processor.split("; "), about.processor})
            about = replace(about, processor="; ".join(processors))
    new = pa.Table.from_pandas(_small(frame), preserve_index=False)
    new = new.replace_schema_metadata({_ABOUT: json.dumps(asdict(about)).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pq.write_table(new, partial, compression="zstd", compression_level=19)
    partial.replace(path)


def _frame(curves: Curves) -> pd.DataFrame:
    about = curves.about
    parameters = [each.name for each in curves.space.parameters if not each.is_constant]
    train = about.settings.train
    rows = []
    for trial in curves.trials:
        batch = train_settings(train, trial.parameters).batch_size
        steps = steps_of_epoch(about.images, batch, train.epoch_images)
        constant = {
            "search_seed": about.search["seed"],
            "trial": trial.number,
            "confirms": _NONE if trial.confirms is None else trial.confirms,
            "status": trial.status,
            "parameter_count": trial.parameter_count,
            **{name: _label(trial.parameters.get(name)) for name in parameters},
        }
        for epoch in trial.epochs:
            scores = {name: getattr(epoch, name) for name in SCORES}
            trained = {"epoch": epoch.epoch, "steps": steps * epoch.epoch, "seconds": epoch.seconds}
            rows.append({**constant, **trained, **scores})
    return pd.DataFrame(rows)


def _labels(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name, column in frame.items() if isinstance(column.dtype, pd.CategoricalDtype)]


def read_curves(path: Path) -> Curves:
    """The table of a file that `write_curves` wrote; trials are numbered by their place in it."""
    table = pq.read_table(path)
    about = About(**json.loads(table.schema.metadata[_ABOUT]))
    space = read_space(about.settings)
    trials: list[TrialRecord] = []
    numbers: dict[tuple[int, int], int] = {}
    for (seed, trial), rows in table.to_pandas().groupby(_KEY, sort=True):
        first = rows.iloc[0]
        numbers[int(seed), int(trial)] = len(trials)
        trials.append(
            TrialRecord(
                number=len(trials),
                parameters=configuration(space, first.to_dict()),
                seed=0,
                max_epochs=about.settings.search.max_epochs,
                confirms=None if first["confirms"] == _NONE else numbers[int(seed), int(first["confirms"])],
                status=str(first["status"]),
                epochs=[_epoch(row) for row in rows.to_dict("records")],
                parameter_count=int(first["parameter_count"]),
            )
        )
    return Curves(about, tuple(trials))


def _label(value: Any) -> Any:
    """A value as a table holds it: a list or a mapping is represented by its JSON text."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _small(frame: pd.DataFrame) -> pd.DataFrame:
    """The table in small types: float32 for what was measured, whole numbers as small as they allow.

    Hyperparameters keep their floats, so that a configuration read back is the one that was trained.
    """
    changed: dict[str, Any] = {name: frame[name].astype(np.float32) for name in (*SCORES, "seconds")}
    for name, column in frame.items():
        if pd.api.types.is_integer_dtype(column):
            changed[str(name)] = pd.to_numeric(column, downcast="integer")
        elif pd.api.types.is_string_dtype(column):
            changed[str(name)] = column.astype("category")
    return frame.assign(**changed)


def configuration(space: Space, values: Mapping[Any, Any]) -> dict[str, Any]:
    """A configuration from labels of choices and from numbers: in each domain's own types, constants filled in."""
    found: dict[str, Any] = {}
    for parameter in space.parameters:
        if not parameter.is_active(found):
            continue
        domain = parameter.domain
        if parameter.is_constant:
            found[parameter.name] = domain.values[0] if isinstance(domain, Choice) else domain.low
        elif isinstance(domain, Choice):
            found[parameter.name] = domain.value(values[parameter.name])
        else:
            kind = int if isinstance(domain, Integer) else float
            found[parameter.name] = kind(values[parameter.name])
    return found


def _epoch(row: Mapping[str, Any]) -> EpochRecord:
    """The record of an epoch; what a table does not hold is left empty."""
    scores: dict[str, Any] = {name: None if np.isnan(row[name]) else float(row[name]) for name in SCORES}
    return EpochRecord(epoch=int(row["epoch"]), seconds=float(row["seconds"]), learning_rate=float("nan"), **scores)
