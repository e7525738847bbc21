"""What a run leaves behind: its folder, its log of events, and the records that the log adds up to.

The log is the single source of truth. The driver appends one JSON line an event; everything else
(trial records, ASHA's rungs, the Optuna study, the tables) is rebuilt from it. Nothing here needs
Ray, TensorFlow or pandas, so that a run can be read anywhere, while it is still going on.
"""

import dataclasses
import errno
import json
import math
import os
import posixpath
import time
import uuid
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import IO, Any, TypeVar

import fsspec

from search.record.patience import patiently

T = TypeVar("T")

SCHEMA_VERSION = 1

# A trial's status. The first two can still go on; the others are final.
WAITING = "waiting"  # for a process, or at a rung for its turn
RUNNING = "running"
FINISHED = "finished"  # all its epochs, or its own early stopping
STOPPED = "stopped"  # by the scheduler: others at its rung did better
DIVERGED = "diverged"  # its loss became NaN or infinite
FAILED = "failed"  # its process died, or it raised, more than `search.max_failures` times
FINAL = (FINISHED, STOPPED, DIVERGED, FAILED)

# The sets of images that trials are scored on; outside test sets have names of their own.
VALIDATION = "validation"
SHIFTED = "shifted"  # validation as another hospital might have made it
TEST = "test"

PACKED = ".zip"

_SEAL = b',"crc":'
_FLUSH_SECONDS = 5.0  # between the parts of a log in an object store


class RecordError(ValueError):
    """A run folder that cannot be read as one."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of one trial; accuracies, AUC and rates in [0, 1], `None` where undefined.

    What begins with `shifted` is of a copy of validation as another hospital might have made it
    (data_pipeline.shift), which is scored where `search.metric` asks for it.

    Attributes:
        epoch: 1 for the first.
        seconds: wall time of the epoch, training and validation.
        learning_rate: the rate that this epoch was trained with.
        memory_mb: peak resident memory of the trial's process so far, in MiB.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    val_balanced_accuracy: float | None
    val_auc: float | None
    val_sensitivity: float | None = None
    val_specificity: float | None = None
    shifted_loss: float | None = None
    shifted_accuracy: float | None = None
    shifted_balanced_accuracy: float | None = None
    shifted_auc: float | None = None
    memory_mb: float = 0.0
    time: float = 0.0  # when the epoch ended, seconds since 1970


@dataclass
class TrialRecord:
    """One trial as the log tells it.

    Attributes:
        number: 0 for the first trial of the run.
        parameters: the hyperparameters that were sampled or listed, by name.
        seed: of weights, shuffling, augmentation and dropout.
        max_epochs: how many epochs it may train.
        row: the published row that it replays (`table2/6`), or empty.
        repeat: 0 for the first seed of a configuration.
        status: one of `WAITING`, `RUNNING` and `FINAL`.
        reason: why it ended, in words; empty while it runs.
        parameter_count: of the whole model, and `trainable_count` of it that training changes
            (`None` where it is not known).
        started, ended: seconds since 1970, 0 where not yet; `busy_seconds` sums its epochs.
        retries: how often its process was lost.
    """

    number: int
    parameters: dict[str, Any]
    seed: int
    max_epochs: int
    row: str = ""
    repeat: int = 0
    status: str = WAITING
    reason: str = ""
    epochs: list[EpochRecord] = field(default_factory=list)
    parameter_count: int = 0
    trainable_count: int | None = 0
    host: str = ""
    process: int = 0
    retries: int = 0
    suggested: float = 0.0
    started: float = 0.0
    ended: float = 0.0

    @property
    def name(self) -> str:
        """The trial's name in folders and tables: its number in four digits."""
        return trial_name(self.number)

    @property
    def is_final(self) -> bool:
        """Whether the trial has ended for good."""
        return self.status in FINAL

    @property
    def busy_seconds(self) -> float:
        """Wall time of all its epochs, in seconds."""
        return sum(epoch.seconds for epoch in self.epochs)

    def scored_epoch(self, metric: str, weights: str = "best") -> EpochRecord | None:
        """The epoch that the trial is judged by: its best one, or its `last` as the report did."""
        if weights == "last":
            return self.epochs[-1] if self.epochs else None
        return self.best_epoch(metric)

    def scored_value(self, metric: str, weights: str = "best") -> float | None:
        """The `metric` of the epoch that the trial is judged by; `None` where there is none."""
        epoch = self.scored_epoch(metric, weights)
        return getattr(epoch, metric) if epoch else None

    def best_epoch(self, metric: str) -> EpochRecord | None:
        """The epoch with the best `metric`; the first of equals; `None` before the first epoch."""
        values = [(getattr(epoch, metric), epoch) for epoch in self.epochs]
        scored = [epoch for value, epoch in values if value is not None and math.isfinite(value)]
        if not scored:
            return None
        sign = 1 if lower_is_better(metric) else -1
        return min(scored, key=lambda epoch: (sign * getattr(epoch, metric), epoch.epoch))


@dataclass(frozen=True)
class Evaluation:
    """Scores of one trial's weights on one set of images; fractions in [0, 1].

    Attributes:
        trial: the trial's number.
        dataset: `VALIDATION`, `SHIFTED`, `TEST`, or the name of an outside test set.
        weights: `best` (best validation epoch) or `last`.
        epoch: the epoch that those weights come from.
        images: how many images were scored.
        confusion: rows are true classes, columns predicted ones.
    """

    trial: int
    dataset: str
    weights: str
    epoch: int
    images: int
    loss: float
    accuracy: float
    balanced_accuracy: float
    auc: float | None
    sensitivity: float | None
    specificity: float | None
    confusion: list[list[int]]


@dataclass(frozen=True)
class Winner:
    """The model that a search exports: the mean of the best trials' probabilities, calibrated.

    Attributes:
        trials: the numbers of its members, best first; the weights of each are those that were evaluated.
        calibrated_on: the set of images that slope and bias were fitted on; empty where nothing is changed.
        slope, bias: probabilities p become softmax(slope * log p + bias), one bias a class.
        evaluations: of the winner, one a set of images; their `trial` is the first member, their `epoch` 0.
        held_out_losses: what spoke for or against calibration: the loss as it is, and with the images of each way of
            change of the shifted copy (of each fold of patients, without one) calibrated on those of all others; empty
            where that was not tried.
    """

    trials: tuple[int, ...]
    calibrated_on: str
    slope: float
    bias: tuple[float, ...]
    evaluations: tuple[Evaluation, ...]
    held_out_losses: tuple[float, ...] = ()

    @property
    def what(self) -> str:
        """What it is, in words: `trial 0007, calibrated on validation`."""
        names = [trial_name(number) for number in self.trials]
        what = f"trial {names[0]}" if len(names) == 1 else f"the mean of trials {', '.join(names)}"
        return what + (f", calibrated on {self.calibrated_on}" if self.calibrated_on else "")

    @property
    def why_calibrated(self) -> str:
        """What spoke for or against calibration, in words; empty where that was not tried."""
        if not self.held_out_losses:
            return ""
        as_is, calibrated = self.held_out_losses
        shifted = any(entry.dataset == SHIFTED for entry in self.evaluations)
        where = (
            "on images changed in a way that it was not fitted on" if shifted else "on patients it was not fitted on"
        )
        return f"{where}, calibration takes the loss from {as_is:.4f} to {calibrated:.4f}"


@dataclass(frozen=True)
class RunRecord:
    """What was asked, on which data, with what: written once when a run is created.

    Attributes:
        config: the resolved configuration, as nested dictionaries.
        environment: versions, git commit, hardware.
        data: fingerprint, classes, counts per split and class.
    """

    name: str
    created: float
    command: str
    metric: str
    classes: tuple[str, ...]
    config: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    schema: int = SCHEMA_VERSION


def trial_name(number: int) -> str:
    """The name of trial `number`: `0007`."""
    return f"{number:04d}"


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of `metric` is the better one (losses)."""
    return metric.endswith("loss")


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity, however deep, replaced by `None`, as strict JSON asks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def to_json(value: Any) -> str:
    """One line of strict JSON for a dataclass, dictionary or list."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(finite(value), allow_nan=False, separators=(",", ":"))


def seal(line: str) -> str:
    """A line of JSON, an object, with the checksum of itself as its last entry."""
    return f"{line[:-1]}{_SEAL.decode()}{zlib.crc32(line.encode())}}}"


def is_sound(line: bytes) -> bool:
    """Whether a line is as it was sealed; one that never was is taken as it is."""
    content, mark, checksum = line.rpartition(_SEAL)
    return not mark or checksum.strip() == b"%d}" % zlib.crc32(content + b"}")


def read_event(line: bytes) -> dict[str, Any] | None:
    """The event on a line of the log, or `None` if it was cut short or changed."""
    try:
        event = json.loads(line) if is_sound(line) else None
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


class RunFolder:
    """A run's folder, on a disk or in a bucket (any URL that fsspec opens).

    ```
    NAME/
      run.json  config.yaml  manifest.parquet  bad_files.csv    what was asked, on which data
      log/*.jsonl                                               events, one JSON line each
      trials/0007/                                              checkpoints (weights only)
      evaluation.jsonl  predictions/{0007,winner}.parquet       made after the search
      winner/                                                   model.keras, winner.json, card, its surest mistakes
      trials.jsonl  tensorboard/  optuna.log                    views made from the log
    ```

    Args:
        url: the folder itself: `runs/NAME` or `s3://bucket/runs/NAME`; or a packed one, `NAME.zip`.
        patience: seconds that a storage which fails is waited for.
        say: is told of it.

    Raises:
        RecordError: a packed one cannot be opened.
    """

    def __init__(self, url: str, patience: float = 0.0, say: Callable[[str], None] = print) -> None:
        self.url = url.rstrip("/")
        # A packed run (search.pack) is read inside its file.
        try:
            self.fs, self.path = fsspec.core.url_to_fs(f"zip://::{self.url}" if self.is_packed else self.url)
        except (FileNotFoundError, zipfile.BadZipFile) as error:
            raise RecordError(f"A packed run is a file that search.pack wrote; {self.url}: {error}.") from error
        except (ImportError, ValueError) as error:  # no library for its kind of storage, or no such kind
            raise RecordError(f"The storage of {self.url} cannot be opened: {error}.") from error
        self.is_local = "file" in _protocols(self.fs)
        self._patience, self._say = patience, say

    @property
    def is_packed(self) -> bool:
        """Whether it is a file of `search.pack`, which can only be read."""
        return self.url.endswith(PACKED)

    def reach(self, work: Callable[[], T]) -> T:
        """What `work` on the storage returns; it is tried again for as long as the folder's patience lasts.

        Raises:
            OSError: the storage fails.
        """
        return patiently(work if self.is_local else lambda: _with_os_errors(work), self._patience, self._say)

    @property
    def name(self) -> str:
        """The run's name: the folder's last part."""
        return posixpath.basename(self.url).removesuffix(PACKED) if self.is_packed else posixpath.basename(self.path)

    @property
    def absolute_url(self) -> str:
        """The folder as every process must name it, whatever its working directory."""
        return os.path.realpath(self.path) if self.is_local else self.url

    def patient(self, seconds: float, say: Callable[[str], None] = print) -> "RunFolder":
        """The same folder, with this patience."""
        return RunFolder(self.url, seconds, say)

    def child(self, *parts: str) -> str:
        """The path of something inside the folder, in the file system's own terms."""
        return posixpath.join(str(self.path), *parts)

    def exists(self, *parts: str) -> bool:
        """Whether something of that name is in the folder."""
        return self.reach(lambda: bool(self.fs.exists(self.child(*parts))))

    def read(self, *parts: str) -> bytes:
        """The content of a file in the folder.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if self.is_packed and not self.exists(*parts):  # a ZIP file system raises KeyError
            raise FileNotFoundError(f"{self.url} holds no {'/'.join(parts)}")
        content: bytes = self.reach(lambda: self.fs.cat_file(self.child(*parts)))
        return content

    def write(self, content: bytes, *parts: str) -> None:
        """Write a file whole or not at all: a reader never sees a part of it."""
        target = self.child(*parts)
        if self.is_local:
            self.reach(lambda: _write_whole(target, content))
        else:
            self.reach(lambda: self.fs.pipe_file(target, content))  # an object store shows complete objects only

    def remove(self, *parts: str) -> None:
        """Remove a file of the folder, if it is there."""
        if self.exists(*parts):
            self.reach(lambda: self.fs.rm_file(self.child(*parts)))

    def names(self, *parts: str) -> list[str]:
        """The sorted names of what is in a sub-folder; empty where there is none."""
        folder = self.child(*parts)
        if not self.exists(*parts):
            return []
        self.fs.invalidate_cache(folder)
        paths = self.reach(lambda: self.fs.ls(folder, detail=False))
        return sorted(posixpath.basename(str(path).rstrip("/")) for path in paths)

    def read_run(self) -> RunRecord:
        """The run's record.

        Raises:
            RecordError: the folder holds no run, or one of a schema that this version cannot read.
        """
        try:
            content = json.loads(self.read("run.json"))
        except FileNotFoundError as error:
            raise RecordError(
                f"A run folder holds a run.json; {self.url} has none. Give the folder of one run."
            ) from error
        except json.JSONDecodeError as error:
            raise RecordError(f"{self.url}/run.json is not JSON ({error}); the run cannot be read.") from error
        if content.get("schema") != SCHEMA_VERSION:
            raise RecordError(
                f"{self.url} has schema {content.get('schema')}; this version reads {SCHEMA_VERSION}. "
                "Use the version of the project that wrote it (run.json, environment)."
            )
        return RunRecord(**{**content, "classes": tuple(content["classes"])})

    def write_run(self, run: RunRecord) -> None:
        """Write the run's record."""
        self.write(json.dumps(finite(dataclasses.asdict(run)), indent=1).encode(), "run.json")

    def read_events(self) -> Iterator[dict[str, Any]]:
        """The log's events in the order in which they were written.

        A line that was cut short (the driver was killed while it wrote) or changed is passed over: a session never
        appends to another session's file, so that the first kind can only be a file's last one.
        """
        return (event for _, event in self._read_log() if event is not None)

    def damaged_lines(self) -> dict[str, int]:
        """How many lines of each file of the log are passed over; files without any are left out."""
        return dict(Counter(name for name, event in self._read_log() if event is None))

    def _read_log(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Each line's file and event, in order; `None` for a line that is damaged."""
        for name in self.names("log"):
            for line in self.read("log", name).splitlines() if name.endswith(".jsonl") else ():
                yield name, read_event(line)

    def read_trials(self) -> dict[int, TrialRecord]:
        """All trials of the run by number, in order."""
        return fold(self.read_events())

    def read_evaluations(self) -> list[Evaluation]:
        """All evaluations of the run; empty before `search.evaluate` wrote them."""
        if not self.exists("evaluation.jsonl"):
            return []
        lines = self.read("evaluation.jsonl").splitlines()
        return [Evaluation(**_known(Evaluation, json.loads(line))) for line in lines]

    def write_winner(self, winner: Winner) -> None:
        """Write the winner's record."""
        self.write(json.dumps(finite(dataclasses.asdict(winner)), indent=1).encode(), "winner", "winner.json")

    def read_winner(self) -> Winner | None:
        """The winner's record; `None` before `search.evaluate` wrote it."""
        if not self.exists("winner", "winner.json"):
            return None
        content = _known(Winner, json.loads(self.read("winner", "winner.json")))
        evaluations = tuple(Evaluation(**_known(Evaluation, entry)) for entry in content["evaluations"])
        lists = ("trials", "bias", "held_out_losses")
        numbers = {name: tuple(value) for name, value in content.items() if name in lists}
        return Winner(**{**content, **numbers, "evaluations": evaluations})


class EventLog:
    """Appends events to a run's log; one file a session, so that no session touches another's.

    On a disk every event is a line appended and flushed at once. An object store cannot append, so there
    the events of this session are written as numbered objects, every few seconds and at each `flush`.
    What a killed driver had not written yet is found again in the trials' checkpoints.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        # Names sort in time order: sessions of one run follow each other, they never overlap.
        self._session = f"{time.time_ns():020d}"
        self._file: IO[bytes] | None = None
        self._buffer: list[str] = []
        self._part = 0
        self._flushed = time.monotonic()

    def append(self, event: str, trial: int | None = None, **content: Any) -> dict[str, Any]:
        """Write one event; returns it as a reader of the log will see it."""
        entry: dict[str, Any] = {"event": event, "time": time.time()}
        if trial is not None:
            entry["trial"] = trial
        line = seal(to_json({**entry, **content}))
        if self.folder.is_local:
            self.folder.reach(lambda: self._append_line(line))
        else:
            self._buffer.append(line)
            if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                self.flush()
        read_back: dict[str, Any] = json.loads(line)
        return read_back

    def _append_line(self, line: str) -> None:
        if self._file is None:
            path = self.folder.child("log", f"{self._session}.jsonl")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        content, begin = line.encode() + b"\n", os.fstat(self._file.fileno()).st_size
        if self._file.write(content) < len(content):  # a disk that becomes full takes a part, without an error
            self._file.truncate(begin)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)

    def flush(self) -> None:
        """Make all events so far durable (an object store; a disk has them already)."""
        if self._buffer:
            name = f"{self._session}-{self._part:06d}.jsonl"
            self.folder.write(("\n".join(self._buffer) + "\n").encode(), "log", name)
            self._buffer.clear()
            self._part += 1
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


def fold(events: Iterable[Mapping[str, Any]]) -> dict[int, TrialRecord]:
    """The trials that a log adds up to, by number.

    Events of a trial that was never suggested are passed over: their line was lost with a disk,
    and half a trial is worse than none.
    """
    trials: dict[int, TrialRecord] = {}
    for event in events:
        apply_event(trials, event)
    return trials


def apply_event(trials: dict[int, TrialRecord], event: Mapping[str, Any]) -> None:
    """Bring `trials` up to date with one more event of the log."""
    kind, number = event.get("event"), event.get("trial")
    if kind == "suggested" and isinstance(number, int):
        trials[number] = TrialRecord(
            number=number,
            parameters=dict(event["parameters"]),
            seed=event["seed"],
            max_epochs=event["max_epochs"],
            row=event.get("row", ""),
            repeat=event.get("repeat", 0),
            parameter_count=event.get("parameter_count", 0),
            trainable_count=event.get("trainable_count", 0),
            suggested=event["time"],
        )
        return
    trial = trials.get(number) if isinstance(number, int) else None
    if trial is None:
        return
    if kind == "started":
        trial.status = RUNNING
        trial.started = trial.started or event["time"]
    elif kind == "epoch":
        trial.status = RUNNING
        trial.host, trial.process = event.get("host") or trial.host, event.get("process") or trial.process
        epoch = EpochRecord(**_known(EpochRecord, event["metrics"]))
        # A retried trial may repeat its last epoch; the first report of an epoch counts.
        if epoch.epoch == len(trial.epochs) + 1:
            trial.epochs.append(epoch)
    elif kind == "retried":
        trial.status = WAITING
        trial.retries += 1
        trial.reason = event.get("reason", "")
    elif kind == "paused":
        trial.status = WAITING
    elif kind == "ended":
        trial.status, trial.reason = event["status"], event.get("reason", "")
        trial.ended = event["time"]


def rank(trials: Iterable[TrialRecord], metric: str, weights: str = "best") -> list[TrialRecord]:
    """Trials from best to worst by the `metric` of the epoch they are judged by; those without are left out."""
    sign = 1 if lower_is_better(metric) else -1
    values = [(trial.scored_value(metric, weights), trial) for trial in trials]
    kept = [(sign * value, trial.number, trial) for value, trial in values if value is not None]
    return [trial for _, _, trial in sorted(kept, key=lambda entry: entry[:2])]


def rank_configurations(trials: Iterable[TrialRecord], metric: str, weights: str = "best") -> list[list[TrialRecord]]:
    """The repeats of each configuration, by number; configurations from best to worst by the mean of the `metric`.

    Trials without a value are left out.
    """
    repeats: dict[str, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda entry: entry.number):
        if trial.scored_value(metric, weights) is not None:
            key = json.dumps([trial.parameters, trial.max_epochs], sort_keys=True)
            repeats.setdefault(key, []).append(trial)
    sign = 1 if lower_is_better(metric) else -1

    def mean(group: list[TrialRecord]) -> float:
        return fmean(trial.scored_value(metric, weights) or 0.0 for trial in group)

    return sorted(repeats.values(), key=lambda group: sign * mean(group))


def _known(record: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `content` that are fields of `record`: a newer minor version may add some."""
    names = {entry.name for entry in dataclasses.fields(record)}
    return {key: value for key, value in content.items() if key in names}


def _write_whole(target: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, target)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def _with_os_errors(work: Callable[[], T]) -> T:
    """What `work` returns; an object store's client has errors of its own for one that it cannot reach."""
    try:
        return work()
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _protocols(fs: Any) -> tuple[str, ...]:
    protocol = fs.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
