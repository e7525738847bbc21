"""A run's folder: its files, on a disk, in a bucket or packed into one, and the records that they hold."""

import contextlib
import dataclasses
import json
import os
import posixpath
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import fsspec

from search.record.clock import ClockRecord, fold_clock
from search.record.events import fold, read_event
from search.record.looks import Look, fold_looks
from search.record.names import inside, is_inside
from search.record.patience import patiently
from search.record.schema import (
    RATES,
    SCHEMA_VERSION,
    Decisions,
    EarlierTrial,
    Evaluation,
    FindingScore,
    OperatingPoint,
    Rate,
    RecordError,
    RunRecord,
    TrialRecord,
    WarmStart,
    Winner,
    finite,
    from_json,
)

T = TypeVar("T")

PACKED = ".zip"
_CLIENTS = {"s3": {"config_kwargs": {"max_pool_connections": 64}}}  # it has 10, which are what is read at a time


@dataclasses.dataclass(frozen=True)
class RunLog:
    """What a run's log holds, read once.

    Attributes:
        events: in the order in which they were written.
        damaged: how many lines of each file are damaged and skipped; sound files are left out.
    """

    events: tuple[dict[str, Any], ...]
    damaged: dict[str, int]

    @property
    def trials(self) -> dict[int, TrialRecord]:
        """All trials of the run by number, in order; new records at each call."""
        return fold(self.events)

    @property
    def clock(self) -> ClockRecord:
        """The time that the run has spent under a time budget, and what the clock has closed."""
        return fold_clock(self.events)

    @property
    def looks(self) -> tuple[Look, ...]:
        """The evaluations of the run, each a look at its test sets, in order."""
        return fold_looks(self.events)


class RunFolder:
    """A run's folder, on a disk or in a bucket (any URL that fsspec opens).

    ```
    NAME/
      run.json  config.yaml  manifest.parquet  bad_files.csv    settings, environment and data
      warm_start.json                                           what was taken from earlier runs, if any
      log/*.jsonl                                               events, one JSON line each
      trials/0007/                                              checkpoints (weights only)
      evaluation.jsonl  predictions/{0007,winner}.parquet       made after the search
      winner/                                                   model.keras, winner.json, card.md, checklist.md, gallery
                                                                of mistakes, and signature.json: what the model takes
                                                                and gives
      trials.jsonl  tensorboard/  optuna.log                    views made from the log
    ```

    Args:
        url: the folder itself: `runs/NAME` or `s3://bucket/runs/NAME`; or a packed one, `NAME.zip`.
        patience: how many seconds to wait for a storage that fails.
        say: called with a line when the wait begins and when it ends well.

    Raises:
        RecordError: the packed run or the storage cannot be opened.
    """

    def __init__(self, url: str, patience: float = 0.0, say: Callable[[str], None] = print) -> None:
        self.url = url.rstrip("/")
        # A packed run (search.pack) is read inside its file.
        try:
            url = f"zip://::{self.url}" if self.is_packed else self.url
            options = _CLIENTS.get(self.url.split(":")[0], {})
            self.fs, self.path = fsspec.core.url_to_fs(url, **options)
        except (FileNotFoundError, zipfile.BadZipFile) as error:
            raise RecordError(
                f"A packed run is a file that search.pack wrote. Received: {self.url} ({error}). "
                "Check the path, or pack the run again."
            ) from error
        except (ImportError, ValueError) as error:  # no library for its kind of storage, or no such kind
            raise RecordError(
                f"A run lies on a disk or in a storage that fsspec opens. Received: {self.url} ({error}). "
                "Check the URL, and install the library for its kind of storage."
            ) from error
        self.is_local = "file" in _protocols(self.fs)
        self._patience, self._say = patience, say

    @property
    def is_packed(self) -> bool:
        """Whether it is a file that `search.pack` wrote; such a run can only be read."""
        return self.url.endswith(PACKED)

    def reach(self, work: Callable[[], T]) -> T:
        """What `work` on the storage returns; after a failure it is tried again until the folder's patience ends.

        Raises:
            OSError: the storage still fails then.
        """
        return patiently(work if self.is_local else lambda: _with_os_errors(work), self._patience, self._say)

    @property
    def name(self) -> str:
        """The run's name: the folder's last part."""
        return posixpath.basename(self.url).removesuffix(PACKED) if self.is_packed else posixpath.basename(self.path)

    @property
    def absolute_url(self) -> str:
        """The folder's name for every process, independent of the working directory."""
        return os.path.realpath(self.path) if self.is_local else self.url

    def patient(self, seconds: float, say: Callable[[str], None] = print) -> "RunFolder":
        """The same folder, with this patience."""
        return RunFolder(self.url, seconds, say)

    def child(self, *parts: str) -> str:
        """The path of something inside the folder, in the file system's own terms; without parts, the folder's.

        Raises:
            RecordError: the parts lead out of the folder.
        """
        return posixpath.join(str(self.path), inside(*parts)) if parts else str(self.path)

    def exists(self, *parts: str) -> bool:
        """Whether something of that name is in the folder."""
        target = self.child(*parts)
        return self.reach(lambda: bool(self.fs.exists(target)))

    def read(self, *parts: str) -> bytes:
        """The content of a file in the folder.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if self.is_packed and not self.exists(*parts):  # a ZIP file system raises KeyError
            raise FileNotFoundError(f"{self.url} holds no {'/'.join(parts)}")
        target = self.child(*parts)
        content: bytes = self.reach(lambda: self.fs.cat_file(target))
        return content

    def read_many(self, folder: str, begins: Mapping[str, int]) -> dict[str, bytes]:
        """Files of a sub-folder from these bytes on, by name; an object store reads them side by side.

        Raises:
            FileNotFoundError: one of them is missing.
        """
        paths, starts = [self.child(folder, name) for name in begins], [each or None for each in begins.values()]
        read = self.reach(lambda: self.fs.cat_ranges(paths, starts, [None] * len(paths), on_error="raise"))
        return dict(zip(begins, read, strict=True))

    def sizes(self, *parts: str) -> dict[str, int]:
        """The bytes of each file in a sub-folder, by name in order, from one listing; empty where there is none."""
        folder = self.child(*parts)
        self.fs.invalidate_cache(folder)
        try:
            entries = self.reach(lambda: self.fs.ls(folder, detail=True))
        except FileNotFoundError:
            return {}
        found = {posixpath.basename(entry["name"]): entry["size"] for entry in entries if entry["type"] == "file"}
        return {name: found[name] for name in sorted(found) if is_inside(name)}

    def write(self, content: bytes, *parts: str) -> None:
        """Write a whole file or nothing: a reader never sees a part of it."""
        target = self.child(*parts)
        if self.is_local:
            self.reach(lambda: _write_whole(target, content))
        else:
            self.reach(lambda: self.fs.pipe_file(target, content))  # an object store shows complete objects only

    def create(self, content: bytes, *parts: str) -> bool:
        """Write a whole file unless there is one; returns whether it was written.

        Disks and S3 decide that themselves, so that of two writers one wins; other storages as far as fsspec can.
        """
        target = self.child(*parts)
        try:
            if self.is_local:
                self.reach(lambda: _write_new(target, content))
            else:
                self.reach(lambda: self.fs.pipe_file(target, content, mode="create"))
        except FileExistsError:
            return False
        return True

    def changed(self, *parts: str) -> float:
        """When a file was last written, in seconds of the storage's own clock.

        Raises:
            FileNotFoundError: there is no such file.
        """
        target = self.child(*parts)
        self.fs.invalidate_cache(posixpath.dirname(target))
        return float(self.reach(lambda: self.fs.modified(target)).timestamp())

    def remove(self, *parts: str) -> None:
        """Remove a file of the folder, if it is there."""
        target = self.child(*parts)
        with contextlib.suppress(FileNotFoundError):
            self.reach(lambda: self.fs.rm_file(target))

    def names(self, *parts: str) -> list[str]:
        """The sorted names of what is in a sub-folder; empty where there is none.

        A bucket may hold keys such as `log/../x`, which no run writes: `..` and its like are left out.
        """
        folder = self.child(*parts)
        self.fs.invalidate_cache(folder)
        try:
            paths = self.reach(lambda: self.fs.ls(folder, detail=False))
        except FileNotFoundError:
            return []
        names = (posixpath.basename(str(path).rstrip("/")) for path in paths)
        return sorted(name for name in names if is_inside(name))

    def files(self, *parts: str) -> list[str]:
        """The sorted names of all files in a sub-folder and below it, each relative to the run's folder.

        Raises:
            RecordError: the storage holds a name that leads out of the folder.
        """
        folder = self.child(*parts)
        self.fs.invalidate_cache(folder)
        paths = map(str, self.reach(lambda: self.fs.find(folder)))
        # a name that ends in / is an empty object that some consoles write for a folder
        return sorted(inside(path.removeprefix(f"{self.path}/")) for path in paths if not path.endswith("/"))

    def read_run(self) -> RunRecord:
        """The run's record.

        Raises:
            RecordError: the folder holds no run, or one of a schema that this version cannot read.
        """
        try:
            content = json.loads(self.read("run.json"))
        except FileNotFoundError as error:
            raise RecordError(
                f"A run's folder holds a run.json. Received: {self.url}, which has none. Give the folder of one run."
            ) from error
        except ValueError as error:  # no JSON, or no text
            raise RecordError(
                f"A run.json is JSON. Received: {self.url}/run.json ({error}). Restore it, or leave this run out."
            ) from error
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA_VERSION:
            raise RecordError(
                f"This version reads runs of schema {SCHEMA_VERSION}. Received: {self.url}, of schema {schema}. "
                "Use the version of the project that wrote it, which run.json names under environment."
            )
        try:
            known = {"classes": tuple(content["classes"]), "created": float(content["created"])}
            return RunRecord(**{**content, **known})
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"A run.json holds a run's record. Received: a damaged {self.url}/run.json ({error}). "
                "Restore it, or leave this run out."
            ) from error

    def write_run(self, run: RunRecord) -> None:
        """Write the run's record."""
        self.write(_indented_json(run), "run.json")

    def write_warm_start(self, warm: WarmStart) -> None:
        """Write what the run takes from earlier ones."""
        self.write(_indented_json(warm), "warm_start.json")

    def read_warm_start(self) -> WarmStart:
        """What the run took from earlier ones.

        Raises:
            FileNotFoundError: it took nothing.
        """
        content = json.loads(self.read("warm_start.json"))
        parts = {name: tuple(from_json(EarlierTrial, entry) for entry in entries) for name, entries in content.items()}
        return from_json(WarmStart, parts)

    def read_log(self) -> RunLog:
        """The run's log, in one pass.

        A damaged line is skipped: it was cut short, because the driver was killed while it wrote, or changed later. A
        session never appends to another session's file, so only the last line of a file can be cut short.
        """
        names = [name for name in self.names("log") if name.endswith(".jsonl")]
        lines = [
            (name, read_event(line))
            for name, content in self.read_many("log", dict.fromkeys(names, 0)).items()
            for line in content.splitlines()
        ]
        events = tuple(event for _, event in lines if event is not None)
        return RunLog(events, dict(Counter(name for name, event in lines if event is None)))

    def read_events(self) -> Iterator[dict[str, Any]]:
        """The log's events in the order in which they were written."""
        return iter(self.read_log().events)

    def read_trials(self) -> dict[int, TrialRecord]:
        """All trials of the run by number, in order."""
        return self.read_log().trials

    def read_evaluations(self) -> list[Evaluation]:
        """All evaluations of the run; empty before `search.evaluate` wrote them."""
        if not self.exists("evaluation.jsonl"):
            return []
        lines = self.read("evaluation.jsonl").splitlines()
        return [read_evaluation(json.loads(line)) for line in lines]

    def write_winner(self, winner: Winner) -> None:
        """Write the winner's record."""
        self.write(_indented_json(winner), "winner", "winner.json")

    def read_winner(self) -> Winner | None:
        """The winner's record; `None` before `search.evaluate` wrote it."""
        if not self.exists("winner", "winner.json"):
            return None
        content = json.loads(self.read("winner", "winner.json"))
        tuples = ("trials", "bias", "held_out_losses", "shares")
        points = (from_json(OperatingPoint, entry) for entry in content.get("finding_points", ()))
        content |= {name: tuple(value) for name, value in content.items() if name in tuples}
        parts = {
            "evaluations": tuple(map(read_evaluation, content["evaluations"])),
            "decisions": tuple(map(_read_decisions, content.get("decisions", ()))),
            "operating_point": from_json(OperatingPoint, content.get("operating_point", {})),
            "finding_points": tuple(points),
        }
        return from_json(Winner, content | parts)


def read_evaluation(content: Mapping[str, Any]) -> Evaluation:
    """The evaluation that a JSON object holds."""
    findings = tuple(from_json(FindingScore, entry) for entry in content.get("findings") or ())
    return from_json(Evaluation, {**content, "findings": findings})


def _read_decisions(content: Mapping[str, Any]) -> Decisions:
    return from_json(Decisions, {**content, **{name: from_json(Rate, content[name]) for name in RATES}})


def _indented_json(record: RunRecord | WarmStart | Winner) -> bytes:
    """A record as a JSON file that people read, too."""
    return json.dumps(finite(dataclasses.asdict(record)), indent=1).encode()


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


def _write_new(target: str, content: bytes) -> None:
    """As `_write_whole`, but never over a file that is there.

    Raises:
        FileExistsError: there is one.
    """
    partial = f"{target}.{uuid.uuid4().hex[:8]}.new"
    _write_whole(partial, content)
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(target, "xb") as file:
            file.write(content)
    finally:
        os.remove(partial)


def _with_os_errors(work: Callable[[], T]) -> T:
    """What `work` returns; an error of an object store's own client is raised as an `OSError`."""
    try:
        return work()
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _protocols(fs: Any) -> tuple[str, ...]:
    protocol = fs.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
