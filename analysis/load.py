"""Runs as frames: `load(PATH)` reads a run's records from a folder or a bucket.

A run may be finished, going on, interrupted or damaged. `Run.problems` lists what is missing or cannot be read; the
rest is loaded. Only a folder without a readable run.json is refused.
"""

import functools
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from analysis.events import CURVE_COLUMNS, TRIAL_COLUMNS, LogReader, scored_epochs
from search.record import (
    FINAL,
    EpochRecord,
    Evaluation,
    Look,
    RunFolder,
    RunRecord,
    TrialRecord,
    Winner,
    counted,
    finite,
    readable,
    run_names,
    scan_runs,
    trial_name,
)
from search.record.awaited import Wanted, is_awaited

if TYPE_CHECKING:
    import pandas as pd

# In the order that they are shown: first what means something where classes are of unequal size.
VALIDATION_SCORES = ("val_balanced_accuracy", "val_auc", "val_loss", "val_accuracy")
TEST_SCORES = ("test_balanced_accuracy", "test_auc", "test_loss", "test_accuracy")
TEST_COLUMNS = ("loss", "accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity", "average_precision")
# Evaluations of older runs have none.
_LATER = ("average_precision", "patients", "accuracy_low", "accuracy_high")
EVALUATION_COLUMNS = tuple(entry.name for entry in fields(Evaluation))
MANIFEST_COLUMNS = ("image_id", "pool", "label", "group", "content_hash", "width", "height", "split")

# A run is interrupted when its log has been silent this long, or for three of its longest epochs if that is longer.
QUIET_SECONDS = 600.0


@dataclass
class Run:
    """One run, as frames.

    Attributes:
        folder: the run's folder.
        record: the run's settings, data, machine and packages.
        trials: one row a trial, indexed by its number; columns `analysis.events.TRIAL_COLUMNS`, then one a
            hyperparameter, then `test_...` (NaN where not evaluated). Scores are those of the epoch that
            the trial is judged by, `epoch`. Losses in nats, other scores in [0, 1], times in seconds.
        curves: one row an epoch of a trial: `trial`, `analysis.events.CURVE_COLUMNS`, then `host` and `process`.
        evaluations: one row a trial and set of images; columns as `search.record.Evaluation`.
        problems: damaged and missing files, in words.
    """

    folder: RunFolder
    record: RunRecord
    trials: "pd.DataFrame"
    curves: "pd.DataFrame"
    evaluations: "pd.DataFrame"
    problems: list[str]
    _log: LogReader = field(repr=False)
    _stamps: tuple[Any, ...] = field(repr=False)

    @classmethod
    def read(cls, path: "str | RunFolder") -> Self:
        """The run in a folder; see `load`."""
        folder = path if isinstance(path, RunFolder) else RunFolder(str(path))
        with readable(folder.url):
            record = folder.read_run()
            log = LogReader(folder)
            stamps = _stamps(folder)
            log.read()
            trials, curves, evaluations, problems = _frames(folder, record, log)
        return cls(folder, record, trials, curves, evaluations, problems, log, stamps)

    @classmethod
    def read_all(cls, path: str) -> list[Self]:
        """The readable runs of a folder of runs; see `load_runs`."""
        scan = scan_runs(str(path), cls.read)
        for name, reason in scan.unreadable.items():
            warnings.warn(f"Run {name} is skipped: {reason}", stacklevel=3)
        return sorted(scan.found.values(), key=lambda run: -run.record.created)

    @property
    def name(self) -> str:
        """The run's name in its record."""
        return self.record.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of labels and probabilities."""
        return self.record.classes

    @property
    def metric(self) -> str:
        """The validation score that trials are ranked by, a column of `trials`."""
        return self.record.metric

    @property
    def weights(self) -> str:
        """The epoch that trials are judged by: `best` by the metric, or `last` as in the report."""
        return scored_weights(self.record, self.evaluations)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The columns of `trials` that are hyperparameters."""
        ours = {*TRIAL_COLUMNS, *(f"test_{name}" for name in TEST_COLUMNS)}
        return tuple(name for name in self.trials.columns if name not in ours)

    @property
    def is_replay(self) -> bool:
        """Whether some trial replays a row of the report."""
        return bool(self.trials["row"].ne("").any())

    @property
    def status(self) -> str:
        """`running`, `finished` (no trial is open or to come), or `interrupted` (some are, and the log is silent)."""
        if self.trials["status"].isin(FINAL).all() and not self._is_awaited:
            return "finished"
        newest = [self.curves["time"].max()] if len(self.curves) else []
        times = [self.record.created, *newest, *self.trials["started"]]
        silent = time.time() - max([*times, *self.trials["ended"], *self.trials["suggested"]])
        longest = self.curves["seconds"].max() if len(self.curves) else 0.0
        return "running" if silent < max(QUIET_SECONDS, 3 * longest) else "interrupted"

    @property
    def _is_awaited(self) -> bool:
        """Whether the settings ask for trials, or confirmations of trials, that have not begun."""
        if self.trials.empty:
            return True
        search = self.record.config.get("search", {})
        confirm, budget = int(search.get("confirm", 0)), search.get("time_budget")
        wanted = Wanted(planned_trials(self.record), confirm, budget, self.metric, self.weights)
        begun = int(self.trials.index.max()) + 1 - int(self.trials["confirms"].notna().sum())
        return is_awaited(begun, self._judged_trials(), self._log.clock, wanted)

    def _judged_trials(self) -> Iterator[TrialRecord]:
        """The trials, each with no epoch but the one that it is judged by."""
        judged = scored_epochs(self.curves, self.metric, self.weights)[list(CURVE_COLUMNS)]
        epochs = dict(zip(judged.index, judged.to_dict("records"), strict=True))
        parameters: list[dict[str, Any]] = self.trials[list(self.hyperparameters)].to_dict("records")  # type: ignore[assignment]
        lengths, states = self.trials["max_epochs"].tolist(), self.trials["status"].tolist()
        confirmed = [None if number < 0 else number for number in self.trials["confirms"].fillna(-1).tolist()]
        rows = zip(self.trials.index.tolist(), parameters, lengths, states, confirmed, strict=True)
        for number, values, length, status, confirms in rows:
            known = [EpochRecord(**finite(epochs[number]))] if number in epochs else []
            yield TrialRecord(number, values, 0, length, confirms=confirms, status=status, epochs=known)

    def predictions(self, trial: int) -> "pd.DataFrame":
        """One row an image: `dataset`, `image_id`, `label`, `p_<class>`, `patient`; no rows where the trial has none.

        Of several findings an image, each has its `label_<finding>`, 0 or 1, in place of `label`.

        `patient` numbers the patients; an image whose patient is not known has a number of its own. `age`, `sex` and
        `view` are there where the data set states them.
        """
        return self._read_predictions(trial_name(trial))

    @functools.cached_property
    def winner(self) -> Winner | None:
        """The model that the search exported, one trial or the mean of several; `None` before it was evaluated."""
        try:
            return self.folder.read_winner()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._note("winner/winner.json", error)
            return None

    @property
    def feature_costs(self) -> "pd.DataFrame":
        """The cost of the features of frozen backbones: `analysis.events.FEATURE_COLUMNS`, times in seconds."""
        return self._log.feature_costs()

    @property
    def looks(self) -> tuple[Look, ...]:
        """The evaluations of the run, each a look at its test sets, in order; older runs recorded none."""
        return self._log.looks

    @property
    def winner_predictions(self) -> "pd.DataFrame":
        """As `predictions`, of the exported model."""
        return self._read_predictions("winner")

    @functools.cached_property
    def manifest(self) -> "pd.DataFrame":
        """One row an image of the data set: `image_id`, `pool`, `label`, `group`, `split` and more."""
        return self._parquet(MANIFEST_COLUMNS, "manifest.parquet")

    @functools.cached_property
    def bad_files(self) -> "pd.DataFrame":
        """One row a file that was set aside: `path`, `reason`."""
        import pandas as pd

        try:
            return pd.read_csv(io.BytesIO(self.folder.read("bad_files.csv")), dtype=str)
        except (OSError, ValueError) as error:
            return self._missing(("path", "reason"), "bad_files.csv", error)

    def refresh(self) -> bool:
        """Read what was written since the run was read; returns whether anything was.

        Only new lines of the log are read. Frames are replaced, not changed: code that holds an old one keeps it.
        """
        stamps = _stamps(self.folder)
        grown = self._log.read()
        if not grown and stamps == self._stamps:
            return False
        self._stamps = stamps
        for name in ("_read_predictions", "winner"):
            self.__dict__.pop(name, None)
        self.trials, self.curves, self.evaluations, self.problems = _frames(self.folder, self.record, self._log)
        return True

    @functools.cached_property
    def _read_predictions(self) -> "Callable[[str], pd.DataFrame]":
        # This run's own cache, which `refresh` empties; 256 trials of 1,500 images take some 20 MB.
        return functools.lru_cache(maxsize=256)(self._load_predictions)

    @property
    def no_predictions(self) -> "pd.DataFrame":
        """As `predictions`, without a row."""
        import pandas as pd

        return pd.DataFrame(columns=[*self._prediction_columns, "patient"])

    @property
    def _prediction_columns(self) -> tuple[str, ...]:
        labels = [f"label_{each}" for each in self.classes] if self.record.is_multilabel else ["label"]
        return ("dataset", "image_id", *labels, *(f"p_{each}" for each in self.classes))

    def _load_predictions(self, name: str) -> "pd.DataFrame":
        frame = self._parquet(self._prediction_columns, "predictions", f"{name}.parquet")
        if "patient" in frame:
            return frame
        return frame.assign(patient=self.patient_names(frame["image_id"]).factorize()[0])  # of older versions

    def patient_names(self, image_ids: "pd.Series[str]") -> "pd.Series[str]":
        """The patients of images as the manifest has them; images that it does not list are a patient each."""
        return image_ids.map(lambda image_id: self._patients.get(image_id, image_id))

    @functools.cached_property
    def _patients(self) -> dict[str, str]:
        return dict(zip(self.manifest["image_id"], self.manifest["group"], strict=True))

    def _parquet(self, columns: tuple[str, ...], *parts: str) -> "pd.DataFrame":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            # Neither threads nor a Python file: Arrow may hang or abort at exit with both (apache/arrow 34314, 50482).
            table = pq.ParquetFile(pa.BufferReader(self.folder.read(*parts))).read(use_threads=False)
            frame: pd.DataFrame = table.to_pandas(use_threads=False)
        except (OSError, ValueError, pa.ArrowException) as error:
            return self._missing(columns, "/".join(parts), error)
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            return self._missing(columns, "/".join(parts), ValueError(f"it has no column {', '.join(absent)}"))
        return frame

    def _missing(self, columns: tuple[str, ...], name: str, error: Exception) -> "pd.DataFrame":
        import pandas as pd

        self._note(name, error)
        return pd.DataFrame(columns=list(columns))

    def _note(self, name: str, error: Exception) -> None:
        """Add to the problems that a file is missing or damaged."""
        reason = "missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({_first_line(error)})"
        problem = f"{name}: {reason}"
        if problem not in self.problems:
            self.problems.append(problem)


def load(path: "str | RunFolder") -> Run:
    """The run in a folder, on a disk or in a bucket.

    Args:
        path: the run's own folder: `runs/NAME`, `s3://bucket/runs/NAME`.

    Raises:
        RecordError: the folder holds no run, or one of a schema that this version cannot read.
    """
    return Run.read(path)


def load_runs(path: str) -> list[Run]:
    """All readable runs of a folder of runs (`runs`), the newest first.

    Folders that are no run are left out. A run that cannot be read is skipped, with a warning that names it.
    """
    return Run.read_all(path)


def run_labels(runs: Sequence[Run]) -> list[str]:
    """A label a run: their names, or their URLs where two have the same name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [run.folder.url for run in runs]


def run_urls(path: str) -> list[str]:
    """The folders inside a folder of runs that hold a run.json."""
    return [f"{str(path).rstrip('/')}/{name}" for name in run_names(str(path))]


def scored_weights(record: RunRecord, evaluations: "pd.DataFrame") -> str:
    """`best` or `last`: the epoch that was evaluated; before an evaluation, the one that the settings ask for."""
    if len(evaluations):
        return str(evaluations["weights"].iloc[-1])
    return str(record.config.get("evaluate", {}).get("weights", "best"))


def planned_trials(record: RunRecord) -> int:
    """The number of trials that the settings ask for; 0 where the space lists them (rows, a grid)."""
    search = record.config.get("search", {})
    if record.config.get("space", {}).get("rows") or search.get("searcher") == "grid":
        return 0
    return int(search.get("num_trials", 0))


def _frames(
    folder: RunFolder, record: RunRecord, log: LogReader
) -> "tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]":
    evaluations, problems = _read_evaluations(folder)
    if not folder.exists("log"):
        problems.append("log: missing, so no trial is known")
    problems += log.problems
    trials, curves = log.frames(record.metric, scored_weights(record, evaluations))
    present = set(folder.names("predictions"))
    evaluated = sorted(set(evaluations["trial"]))
    absent = [number for number in evaluated if f"{trial_name(number)}.parquet" not in present]
    if absent:
        shown = ", ".join(map(trial_name, absent[:5])) + (", ..." if len(absent) > 5 else "")
        problems.append(f"predictions: missing for {len(absent)} evaluated trials ({shown})")
    test = evaluations[evaluations["dataset"] == "test"].drop_duplicates("trial", keep="last").set_index("trial")
    scores = test[list(TEST_COLUMNS)].astype("float64").add_prefix("test_")
    return trials.join(scores), curves, evaluations, problems


def _read_evaluations(folder: RunFolder) -> "tuple[pd.DataFrame, list[str]]":
    """The evaluations, and the lines that could not be read, in words."""
    import pandas as pd

    content = folder.read("evaluation.jsonl") if folder.exists("evaluation.jsonl") else b""
    entries, damaged = [], 0
    for line in content.splitlines():
        try:
            entry = json.loads(line)
            later = (*_LATER, "findings")
            entries.append([entry.get(name) if name in later else entry[name] for name in EVALUATION_COLUMNS])
        except (ValueError, KeyError, TypeError):
            damaged += 1
    frame = pd.DataFrame(entries, columns=list(EVALUATION_COLUMNS))
    frame = frame.astype(dict.fromkeys((*TEST_COLUMNS, *_LATER), "float64") | {"trial": "int64"})
    lines = counted(damaged, "damaged line")
    return frame, [f"evaluation.jsonl: {lines} skipped"] if damaged else []


def _stamps(folder: RunFolder) -> tuple[Any, ...]:
    """Stamps of the files that change when evaluations, predictions or the winner are written."""
    return tuple(_stamp(folder, *parts) for parts in (("evaluation.jsonl",), ("winner", "winner.json")))


def _stamp(folder: RunFolder, *parts: str) -> tuple[Any, ...]:
    """A file's size and time of change; empty where it is missing."""
    if not folder.exists(*parts):
        return ()
    folder.fs.invalidate_cache(folder.child(*parts[:-1]))
    info = folder.fs.info(folder.child(*parts))
    return info.get("size"), str(info.get("mtime", info.get("LastModified", "")))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
