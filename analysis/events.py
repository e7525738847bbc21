"""A run's log as two frames: one row a trial, one row an epoch.

`search.record.fold` defines what a log means, one event at a time. This module computes the same for all epochs at
once, because a run of 10,000 trials has 200,000 of them. A test compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import compress, count
from typing import TYPE_CHECKING, Any

from search.record import (
    RUNNING,
    ClockRecord,
    EpochRecord,
    Look,
    RunFolder,
    TrialRecord,
    apply_event,
    counted,
    fold_clock,
    fold_looks,
    is_sound,
    lower_is_better,
    read_event,
)

if TYPE_CHECKING:
    import pandas as pd

# What an epoch measured: the fields of its record, under the names that the log has.
CURVE_COLUMNS = tuple(entry.name for entry in fields(EpochRecord))
_SCORES = tuple(name for name in CURVE_COLUMNS if name.startswith(("val_", "shifted_", "train_")))

_EPOCH = b'{"event":"epoch"'  # how `search.record.EventLog` begins an epoch's line

# The columns of a trial besides its hyperparameters, in their order.
TRIAL_COLUMNS = (
    "name",
    "status",
    "reason",
    "row",
    "repeat",
    "confirms",
    "seed",
    "epochs",
    "max_epochs",
    "epoch",
    *(name for name in _SCORES if name.startswith(("val_", "shifted_"))),
    *(name for name in _SCORES if name.startswith("train_")),
    "parameters",
    "trainable",
    "seconds",
    "host",
    "process",
    "suggested",
    "started",
    "ended",
    "retries",
    "memory_mb",
)

FEATURE_COLUMNS = ("backbone", "images", "seconds")


@dataclass
class LogReader:
    """Reads a run's log; reading it again takes only what was added since."""

    folder: RunFolder
    _damaged: dict[str, int] = field(default_factory=dict)  # by file, how many lines are no events
    _half_written: set[str] = field(default_factory=set)
    _offsets: dict[str, int] = field(default_factory=dict)
    _places: int = 0  # how many lines were read; a line's place orders it among all others
    _events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    _epochs: "list[pd.DataFrame]" = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """The lines of the log that could not be read, in words."""
        found = [
            f"log/{name}: {counted(count, 'damaged line')} skipped" for name, count in self._damaged.items() if count
        ]
        half = "its last line is half written (the search is writing it, or was killed); skipped"
        return found + [f"log/{name}: {half}" for name in sorted(self._half_written)]

    def read(self) -> bool:
        """Read what is new; returns whether anything was."""
        before = self._places
        sizes = {name: size for name, size in self.folder.sizes("log").items() if name.endswith(".jsonl")}
        begins = {name: self._offsets.get(name, 0) for name in sizes}
        grown = {name: begin for name, begin in begins.items() if sizes[name] > begin}
        for name, content in self.folder.read_many("log", grown).items():
            self._take_content(name, content)
        return self._places > before

    @property
    def clock(self) -> ClockRecord:
        """The time that the run has spent under a time budget, and what the clock has closed."""
        return fold_clock(event for _, event in self._events)

    @property
    def looks(self) -> tuple[Look, ...]:
        """The evaluations of the run, each a look at its test sets, in order."""
        return fold_looks(event for _, event in self._events)

    def feature_costs(self) -> "pd.DataFrame":
        """The cost of the features of frozen backbones, one row a backbone and session: `FEATURE_COLUMNS`."""
        import pandas as pd

        found = [event for _, event in self._events if event.get("event") == "features"]
        rows = [[event.get(name) for name in FEATURE_COLUMNS] for event in found]
        return pd.DataFrame(rows, columns=list(FEATURE_COLUMNS)).dropna()

    def frames(self, metric: str, weights: str) -> "tuple[pd.DataFrame, pd.DataFrame]":
        """Frames of all that was read: `trials` has one row a trial, `curves` one row an epoch."""
        import pandas as pd

        if len(self._epochs) > 1:
            self._epochs = [pd.concat(self._epochs, ignore_index=True)]
        epochs = self._epochs[0] if self._epochs else _empty_epochs()
        trials, suggested_at, changed_at = _fold_small(self._events)
        epochs = epochs[epochs["place"] > epochs["trial"].map(suggested_at).astype(float)]
        late = epochs.groupby("trial")["place"].max()
        for number in late.index[late > late.index.map(changed_at)]:
            trials[number].status = RUNNING
        curves = _first_reports(epochs)
        return _trial_frame(trials, curves, metric, weights), curves[["trial", *CURVE_COLUMNS, "host", "process"]]

    def _take_content(self, name: str, content: bytes) -> None:
        """Read what was added to a file."""
        complete, _, rest = content.rpartition(b"\n")
        if rest and read_event(rest) is not None:
            complete, rest = content, b""
        (self._half_written.add if rest else self._half_written.discard)(name)
        self._offsets[name] = self._offsets.get(name, 0) + len(content) - len(rest)
        self._damaged[name] = self._damaged.get(name, 0) + self._take_lines(complete.splitlines())

    def _take_lines(self, lines: Sequence[bytes]) -> int:
        """Read whole lines; returns how many of them are damaged."""
        # Most lines of a log are epochs. Arrow reads those together; Python reads the other lines only.
        is_epoch = [line.startswith(_EPOCH) and is_sound(line) for line in lines]
        epochs = [*zip(compress(count(self._places), is_epoch), compress(lines, is_epoch), strict=True)]
        damaged = 0
        for place, line in zip(count(self._places), lines, strict=False):
            if is_epoch[place - self._places] or not line.strip():
                continue
            event = read_event(line)
            if event is None:
                damaged += 1
            elif event.get("event") == "epoch":  # JSON with spaces, from another writer
                epochs.append((place, line))
            else:
                self._events.append((place, event))
        self._places += len(lines)
        if epochs:
            frame, lost = _epoch_frame(sorted(epochs))
            self._epochs.append(frame)
            damaged += lost
        return damaged


def _epoch_frame(epochs: Sequence[tuple[int, bytes]]) -> "tuple[pd.DataFrame, int]":
    """The epochs of a log's lines, and how many of the lines are damaged."""
    import pyarrow as pa

    try:
        return _read_epochs(epochs), 0
    except pa.ArrowInvalid:
        sound = [(place, line) for place, line in epochs if _is_epoch(read_event(line))]
    return _read_epochs(sound) if sound else _empty_epochs(), len(epochs) - len(sound)


def _is_epoch(event: Mapping[str, Any] | None) -> bool:
    """Whether an event has what an epoch needs, each of the right type."""
    if event is None or not isinstance(event.get("metrics"), dict) or not isinstance(event.get("trial"), int):
        return False
    metrics = event["metrics"]
    numbers = all(isinstance(metrics.get(name), int | float | None) for name in CURVE_COLUMNS)
    return numbers and isinstance(metrics.get("epoch"), int) and isinstance(event.get("host", ""), str)


def _read_epochs(epochs: Sequence[tuple[int, bytes]]) -> "pd.DataFrame":
    """One row a line: place, trial, host, process and `CURVE_COLUMNS`.

    Raises:
        pyarrow.ArrowInvalid: a line is no JSON, or a value has the wrong type.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import json as arrow_json

    metrics = pa.struct([(name, pa.int64() if name == "epoch" else pa.float64()) for name in CURVE_COLUMNS])
    schema = pa.schema([("trial", pa.int64()), ("host", pa.string()), ("process", pa.int64()), ("metrics", metrics)])
    content = b"\n".join(line for _, line in epochs)
    table = arrow_json.read_json(
        # Neither threads nor a Python file: Arrow may hang or abort at exit with both (apache/arrow 34314, 50482).
        pa.BufferReader(content),
        # A block must hold the longest line.
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=1 << 24),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != len(epochs) or table["trial"].null_count or table["metrics"].null_count:
        raise pa.ArrowInvalid("An epoch's line holds one object with a trial and its metrics.")
    flat = table.flatten().rename_columns(["trial", "host", "process", *CURVE_COLUMNS])
    if flat["epoch"].null_count:
        raise pa.ArrowInvalid("An epoch's metrics hold its number.")
    frame: pd.DataFrame = flat.to_pandas()
    frame["host"] = frame["host"].fillna("").astype(object)
    frame["process"] = frame["process"].fillna(0).astype("int64")
    frame.insert(0, "place", np.array([place for place, _ in epochs], np.int64))
    return frame


def _empty_epochs() -> "pd.DataFrame":
    import pandas as pd

    types = dict.fromkeys(CURVE_COLUMNS, "float64") | {"epoch": "int64"}
    columns = {"place": "int64", "trial": "int64", "host": "object", "process": "int64", **types}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def _fold_small(
    events: Sequence[tuple[int, dict[str, Any]]],
) -> tuple[dict[int, TrialRecord], dict[int, int], dict[int, int]]:
    """The trials from all events but epochs; the place where each was last suggested, and last changed."""
    trials: dict[int, TrialRecord] = {}
    suggested_at: dict[int, int] = {}
    changed_at: dict[int, int] = {}
    for place, event in events:
        try:
            apply_event(trials, event)
        except (KeyError, TypeError, ValueError):
            continue  # an event without its content changes nothing
        number = event.get("trial")
        if isinstance(number, int) and number in trials:
            changed_at[number] = place
            if event["event"] == "suggested":
                suggested_at[number] = place
    return trials, suggested_at, changed_at


def _first_reports(epochs: "pd.DataFrame") -> "pd.DataFrame":
    """The epochs that count: 1, 2, 3, ... of each trial. A retried trial may report one twice; the first counts."""
    expected = epochs.groupby("trial").cumcount() + 1
    odd = epochs["trial"].isin(epochs.loc[epochs["epoch"] != expected, "trial"].unique())
    if odd.any():
        reached: dict[int, int] = {}
        kept = []
        for label, trial, epoch in epochs.loc[odd, ["trial", "epoch"]].itertuples():
            if epoch == reached.get(trial, 0) + 1:
                reached[trial] = epoch
                kept.append(label)
        epochs = epochs.loc[[*epochs.index[~odd], *kept]]
    return epochs.sort_values(["trial", "epoch"], ignore_index=True)


def scored_epochs(curves: "pd.DataFrame", metric: str, weights: str) -> "pd.DataFrame":
    """The epoch that each trial is judged by, indexed by trial: its best one, or its last."""
    if weights == "last":
        return curves.drop_duplicates("trial", keep="last").set_index("trial")
    known = curves[curves[metric].notna()]
    # Stable, so that the first of equal epochs is the best one.
    ordered = known.sort_values(metric, ascending=lower_is_better(metric), kind="stable")
    return ordered.drop_duplicates("trial").set_index("trial").sort_index()


def _trial_frame(
    trials: Mapping[int, TrialRecord], curves: "pd.DataFrame", metric: str, weights: str
) -> "pd.DataFrame":
    """One row a trial: `TRIAL_COLUMNS`, then the hyperparameters."""
    import pandas as pd

    records = [trials[number] for number in sorted(trials)]
    index = pd.Index([record.number for record in records], name="trial", dtype="int64")
    plain = {"name", "status", "reason", "row", "repeat", "seed", "max_epochs", "suggested", "started", "ended"}
    frame = pd.DataFrame(
        {name: [getattr(record, name) for record in records] for name in TRIAL_COLUMNS if name in plain}, index=index
    )
    frame["confirms"] = pd.array([record.confirms for record in records], dtype="Int64")
    frame["parameters"] = [record.parameter_count for record in records]
    frame["trainable"] = pd.array([record.trainable_count for record in records], dtype="Int64")
    frame["retries"] = [record.retries for record in records]
    by_trial = curves.groupby("trial")
    last = curves.drop_duplicates("trial", keep="last").set_index("trial").reindex(index)
    frame["epochs"] = by_trial.size().reindex(index, fill_value=0)
    frame["seconds"] = by_trial["seconds"].sum().reindex(index, fill_value=0.0)
    frame["memory_mb"] = by_trial["memory_mb"].max().reindex(index)
    # Host and process stand in the events of epochs; a trial without one has those of its start, if any.
    hosts, processes = ([getattr(record, name) for record in records] for name in ("host", "process"))
    frame["host"] = last["host"].where(last["host"].notna() & (last["host"] != ""), pd.Series(hosts, index, object))
    frame["process"] = last["process"].where(last["process"] > 0, pd.Series(processes, index)).astype("int64")
    scored = scored_epochs(curves, metric, weights).reindex(index)
    frame["epoch"] = scored["epoch"].astype("Int64")
    frame[list(_SCORES)] = scored[list(_SCORES)]
    hyperparameters = _hyperparameters([record.parameters for record in records], index)
    return pd.concat([frame[list(TRIAL_COLUMNS)], hyperparameters], axis=1)


def _hyperparameters(parameters: Sequence[Mapping[str, Any]], index: Any) -> "pd.DataFrame":
    """One column a hyperparameter; where a trial lacks it, None, or NaN among numbers."""
    import pandas as pd

    names = list(dict.fromkeys(name for values in parameters for name in values))
    columns = {
        name if name not in TRIAL_COLUMNS else f"parameter {name}": hyperparameter_column(
            [values.get(name) for values in parameters]
        )
        for name in names
    }
    return pd.DataFrame(columns).set_axis(index) if columns else pd.DataFrame(index=index)


def hyperparameter_column(values: Sequence[Any]) -> "pd.Series":
    """A hyperparameter's values: numbers where all are numbers, else text; a list is `16-8`, an empty one `none`."""
    import pandas as pd

    types = {type(value) for value in values}
    if types in ({int}, {bool}):
        return pd.Series(values)
    if types - {type(None)} and types <= {int, float, type(None)}:
        return pd.Series(values, dtype="float64")
    return pd.Series([None if value is None else _text(value) for value in values], dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_text, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
