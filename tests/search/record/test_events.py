import json
from typing import Any

import pytest

from search.record import FINISHED, OWN_FAULT, RUNNING, WAITING, fold, is_sound, read_event, seal, to_json
from tests.conftest import make_epoch

SUGGESTED = {"event": "suggested", "trial": 0, "time": 1.0, "parameters": {"a": 1}, "seed": 3, "max_epochs": 5}


def epoch(number: int, val_loss: float, **changes: Any) -> dict[str, Any]:
    metrics = json.loads(to_json(make_epoch(number, val_loss)))
    return {"event": "epoch", "trial": 0, "time": 2.0, "metrics": metrics, "host": "a", "process": 7, **changes}


def event(kind: str, **content: Any) -> dict[str, Any]:
    return {"event": kind, "trial": 0, "time": 4.0, **content}


def test_a_log_adds_up_to_trials() -> None:
    trials = fold(
        [
            SUGGESTED,
            event("started"),
            epoch(1, 0.6),
            event("retried", reason="killed"),
            epoch(2, 0.4),
            event("ended", status=FINISHED, time=9.0),
        ]
    )
    assert list(trials) == [0]
    assert [each.val_loss for each in trials[0].epochs] == [0.6, 0.4]
    assert (trials[0].status, trials[0].retries, trials[0].host, trials[0].ended) == (FINISHED, 1, "a", 9.0)


def test_a_suggestion_is_a_trial_that_waits() -> None:
    content = {"row": "table2/6", "repeat": 1, "parameter_count": 10, "trainable_count": None}
    (trial,) = fold([{**SUGGESTED, **content}]).values()
    assert (trial.number, trial.parameters, trial.seed, trial.max_epochs) == (0, {"a": 1}, 3, 5)
    assert (trial.row, trial.repeat, trial.parameter_count, trial.trainable_count) == ("table2/6", 1, 10, None)
    assert (trial.status, trial.suggested, trial.epochs) == (WAITING, 1.0, [])


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (event("started"), {"status": RUNNING, "started": 4.0}),
        (epoch(1, 0.5), {"status": RUNNING, "host": "a", "process": 7}),
        (event("retried", reason="lost"), {"status": WAITING, "retries": 1, "reason": "lost"}),
        (event("retried", cause="lost host"), {"retries": 1, "failures": 0}),
        (event("retried", cause=OWN_FAULT), {"retries": 1, "failures": 1}),
        (event("paused"), {"status": WAITING, "retries": 0}),
        (event("ended", status="failed", reason="x"), {"status": "failed", "reason": "x", "ended": 4.0}),
        (event("a kind of a newer version"), {"status": WAITING}),
    ],
    ids=lambda value: value.get("event", ""),
)
def test_each_kind_of_event_changes_its_own(last: dict[str, Any], expected: dict[str, Any]) -> None:
    (trial,) = fold([SUGGESTED, last]).values()
    assert {name: getattr(trial, name) for name in expected} == expected


def test_a_trial_keeps_when_it_first_started_and_where_it_last_ran() -> None:
    (trial,) = fold([SUGGESTED, event("started"), event("started", time=8.0)]).values()
    assert trial.started == 4.0
    (trial,) = fold([SUGGESTED, epoch(1, 0.5), epoch(2, 0.4, host="", process=0)]).values()
    assert (trial.host, trial.process) == ("a", 7)


def test_the_first_report_of_an_epoch_counts_and_none_is_left_out() -> None:
    (trial,) = fold([SUGGESTED, epoch(1, 0.6), epoch(1, 0.9), epoch(3, 0.1), epoch(2, 0.4)]).values()
    assert [(each.epoch, each.val_loss) for each in trial.epochs] == [(1, 0.6), (2, 0.4)]


def test_a_trial_that_is_suggested_again_begins_again() -> None:
    (trial,) = fold([SUGGESTED, epoch(1, 0.6), {**SUGGESTED, "seed": 4}]).values()
    assert (trial.seed, trial.epochs, trial.status) == (4, [], WAITING)


def test_events_of_no_trial_or_of_one_without_a_suggestion_are_skipped() -> None:
    others = [epoch(1, 0.1, trial=5), event("ended", trial="0", status=FINISHED), {"event": "features"}, {}]
    trials = fold([SUGGESTED, *others])
    assert list(trials) == [0]
    assert trials[0].status == WAITING


def test_measurements_of_a_newer_version_are_left_out() -> None:
    newer = epoch(1, 0.5)
    newer["metrics"]["val_brier"] = 0.1
    (trial,) = fold([SUGGESTED, newer]).values()
    assert trial.epochs[0].val_loss == 0.5


def test_a_sealed_line_is_read_and_a_damaged_one_is_not() -> None:
    sealed = seal(to_json(SUGGESTED)).encode()
    event = read_event(sealed)
    assert event is not None
    assert {name: event[name] for name in SUGGESTED} == SUGGESTED
    for damaged in (
        sealed.replace(b'"seed":3', b'"seed":4'),
        sealed[:30],
        sealed[:-2] + b"}",
        sealed[:-1],
        b"[1]",
        b"",
    ):
        assert read_event(damaged) is None
    assert not is_sound(sealed.replace(b'"seed":3', b'"seed":4'))


def test_lines_of_an_older_version_have_no_seal() -> None:
    assert read_event(b'{"event":"started","trial":1}') == {"event": "started", "trial": 1}
    assert is_sound(b'{"event":"started","trial":1}')
