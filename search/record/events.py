"""The meaning of a log: one event as a sealed line of JSON, and the trials that all events add up to."""

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from search.record.schema import OWN_FAULT, RUNNING, WAITING, EpochRecord, TrialRecord, from_json

_SEAL = b',"crc":'


def fold(events: Iterable[Mapping[str, Any]]) -> dict[int, TrialRecord]:
    """The trials that a log adds up to, by number.

    Events of a trial that was never suggested are skipped: the line that suggested it was lost with a disk, and half a
    trial is worse than none.
    """
    trials: dict[int, TrialRecord] = {}
    for event in events:
        apply_event(trials, event)
    return trials


def apply_event(trials: dict[int, TrialRecord], event: Mapping[str, Any]) -> None:
    """Bring `trials` up to date with one more event of the log.

    Raises:
        KeyError, TypeError: the event lacks what its kind must have.
    """
    kind, number = event.get("event"), event.get("trial")
    if not isinstance(number, int):
        return
    if kind == "suggested":
        trials[number] = _suggested_trial(number, event)
    elif number in trials:
        _change(trials[number], kind, event)


def _suggested_trial(number: int, event: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(
        number=number,
        parameters=dict(event["parameters"]),
        seed=event["seed"],
        max_epochs=event["max_epochs"],
        row=event.get("row", ""),
        repeat=event.get("repeat", 0),
        confirms=event.get("confirms"),
        parameter_count=event.get("parameter_count", 0),
        trainable_count=event.get("trainable_count", 0),
        suggested=event["time"],
    )


def _change(trial: TrialRecord, kind: Any, event: Mapping[str, Any]) -> None:
    """Bring one trial up to date; an event of another kind changes nothing."""
    if kind == "started":
        trial.status = RUNNING
        trial.started = trial.started or event["time"]
    elif kind == "epoch":
        trial.status = RUNNING
        trial.host, trial.process = event.get("host") or trial.host, event.get("process") or trial.process
        epoch = from_json(EpochRecord, event["metrics"])
        # A retried trial may repeat its last epoch; the first report of an epoch counts.
        if epoch.epoch == len(trial.epochs) + 1:
            trial.epochs.append(epoch)
    elif kind == "retried":
        trial.status = WAITING
        trial.retries += 1
        trial.failures += event.get("cause") == OWN_FAULT
        trial.reason = event.get("reason", "")
    elif kind == "paused":
        trial.status = WAITING
    elif kind == "ended":
        trial.status, trial.reason = event["status"], event.get("reason", "")
        trial.ended = event["time"]


def seal(line: str) -> str:
    """A line of JSON, an object, with its own checksum as its last entry."""
    return f"{line[:-1]}{_SEAL.decode()}{zlib.crc32(line.encode())}}}"


def is_sound(line: bytes) -> bool:
    """Whether a line is as it was sealed. A line without a seal, from an older version, counts as sound."""
    content, mark, checksum = line.rpartition(_SEAL)
    return not mark or checksum.strip() == b"%d}" % zlib.crc32(content + b"}")


def read_event(line: bytes) -> dict[str, Any] | None:
    """The event on a line of the log; `None` if the line was cut short or changed."""
    try:
        event = json.loads(line) if is_sound(line) else None
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
