"""A run's folder: the records that its files hold."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from search.record.clock import ClockRecord, fold_clock
from search.record.events import fold, read_event
from search.record.looks import Look, fold_looks
from search.record.schema import (
    RATES,
    SCHEMA_VERSION,
    Decisions,
    EarlierTrial,
    Evaluation,
    FindingCalibration,
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
from search.record.storage import Storage


@dataclasses.dataclass(frozen=True)
class RunLog:
    """What a run's log holds, read once.

    Attributes:
        events: in the order in which they were written.
        damaged: how many lines of each file are damaged and skipped; sound files are left out.
        url: of the run.
    """

    events: tuple[dict[str, Any], ...]
    damaged: dict[str, int]
    url: str = ""

    @property
    def trials(self) -> dict[int, TrialRecord]:
        """All trials of the run by number, in order; new records at each call.

        Raises:
            RecordError: an event lacks what its kind must have.
        """
        try:
            return fold(self.events)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"The events of a log have what their kinds must have. Received: {self.url}/log, where one has not "
                f"({error!r}). Restore the log, or leave this run out."
            ) from error

    @property
    def clock(self) -> ClockRecord:
        """The time that the run has spent under a time budget, and what the clock has closed."""
        return fold_clock(self.events)

    @property
    def looks(self) -> tuple[Look, ...]:
        """The evaluations of the run, each a look at its test sets, in order."""
        return fold_looks(self.events)


class RunFolder(Storage):
    """A run's folder, wherever it lies, and the records in it.

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

    Args: those of `Storage`; the URL is `runs/NAME` or `s3://bucket/runs/NAME`, or of a packed run `NAME.zip`.
    """

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
        return RunLog(events, dict(Counter(name for name, event in lines if event is None)), self.url)

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
            "finding_calibrations": tuple(map(_read_calibration, content.get("finding_calibrations", ()))),
        }
        return from_json(Winner, content | parts)


def read_evaluation(content: Mapping[str, Any]) -> Evaluation:
    """The evaluation that a JSON object holds."""
    findings = tuple(from_json(FindingScore, entry) for entry in content.get("findings") or ())
    return from_json(Evaluation, {**content, "findings": findings})


def _read_calibration(content: Mapping[str, Any]) -> FindingCalibration:
    return from_json(FindingCalibration, {**content, "held_out_losses": tuple(content["held_out_losses"])})


def _read_decisions(content: Mapping[str, Any]) -> Decisions:
    return from_json(Decisions, {**content, **{name: from_json(Rate, content[name]) for name in RATES}})


def _indented_json(record: RunRecord | WarmStart | Winner) -> bytes:
    """A record as a JSON file that people read, too."""
    return json.dumps(finite(dataclasses.asdict(record)), indent=1).encode()
