import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from search import record
from search.driver.screen import (
    SearchView,
    chatter_to,
    confirmation_lines,
    ending_line,
    ranked_table,
    scope_line,
    status_line,
)
from search.plan.settings import UNLIMITED
from search.plan.words import load_settings
from search.record import TrialRecord
from tests.conftest import make_epoch


def make_trial(number: int, status: str, loss: float, **parameters: object) -> TrialRecord:
    epochs = [make_epoch(1, loss), make_epoch(2, loss + 0.1)]
    return TrialRecord(number, {"backbone": "cnn", **parameters}, 0, 10, status=status, epochs=epochs)


def make_state(trials: dict[int, TrialRecord], best: TrialRecord) -> Any:
    """What a view asks of a search's state."""
    return SimpleNamespace(
        trials=trials,
        ended=[],
        retried=[],
        news=[],
        deadline=None,
        num_trials=3,
        settings=load_settings(["space=plain2"]),
        best=lambda: best,
        is_at_rung=lambda trial: False,
        target=lambda number: 10,
    )


TRIALS = [
    make_trial(0, record.FINISHED, 0.5, layers=1),
    make_trial(1, record.STOPPED, 0.1, layers=2),
    make_trial(2, record.FINISHED, 0.4, layers=2),
]


def test_what_is_printed_by_anyone_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    with chatter_to(log) as console:
        os.write(1, b"from C\n")
        os.write(2, b"warning\n")
        console.print("for the user")
    assert log.read_text() == "from C\nwarning\n"
    assert capfd.readouterr().out == "for the user\n"


def test_finished_trials_are_ranked_and_show_what_differs() -> None:
    screen = io.StringIO()
    Console(file=screen, width=150).print(ranked_table(TRIALS, "val_loss", "best"))
    lines = [line for line in screen.getvalue().splitlines() if "0.4000" in line or "0.5000" in line]
    assert [line.split("│")[1].strip() for line in lines] == ["0002", "0000"]
    assert "layers=2" in lines[0]
    assert "backbone" not in screen.getvalue()
    assert "0001" not in screen.getvalue()


def test_a_screen_that_is_no_terminal_hears_once_of_each_trial_that_ends() -> None:
    screen = io.StringIO()
    trials = {trial.number: trial for trial in TRIALS}
    state = make_state(trials, TRIALS[1])
    state.ended.append(0)
    with SearchView(Console(file=screen, width=120), state, 30.0) as view:
        view.on_change()
        assert screen.getvalue() == ""
        state.ended += [2, 1]
        state.retried.append(0)
        state.trials[0].reason = "its host was lost"
        view.on_change()
        view.on_change()
    lines = [line.partition("] ")[2] for line in screen.getvalue().splitlines()]
    assert [line.split(",")[0] for line in lines] == [
        "trial 0000 was stopped after epoch 2 and is tried again from there: its host was lost",
        "trial 0002 finished after epoch 2",
        "trial 0001 stopped early after epoch 2",
    ]


def test_a_search_without_a_worker_says_that_it_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.driver.screen._LINE_SECONDS", 0)
    said = []
    for status in (record.RUNNING, record.WAITING):
        trials = {0: make_trial(0, status, 0.5)}
        state = make_state(trials, TRIALS[0])
        screen = io.StringIO()
        with SearchView(Console(file=screen, width=200), state, 30.0) as view:
            view.on_change()
        said.append("nothing runs: waiting for a worker" in screen.getvalue())
    assert said == [False, True]


def test_a_search_is_not_said_to_be_over_while_a_trial_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.driver.screen._LINE_SECONDS", 0)
    trial = make_trial(0, record.RUNNING, 0.5)
    trial.epochs = [make_epoch(1, 0.5, seconds=60.0)]
    state = make_state({0: trial}, trial)
    state.target = lambda number: 4
    screen = io.StringIO()
    with SearchView(Console(file=screen, width=200), state, 1.0) as view:
        trial.epochs.append(make_epoch(2, 0.4, seconds=60.0))  # more than ASHA was expected to train
        view.on_change()
    assert "about 2:00 left" in screen.getvalue()


def test_the_status_counts_what_early_stopping_saved() -> None:
    assert status_line(TRIALS) == "3 trials: 2 finished, 1 stopped; 6 of 30 epochs trained"


def test_confirmations_show_as_what_they_are() -> None:
    again = make_trial(3, record.FINISHED, 0.6, layers=2)
    lost = make_trial(4, record.DIVERGED, 0.6, layers=1)
    again.confirms, lost.confirms = 2, 0
    trials = [*TRIALS, again, lost]
    screen = io.StringIO()
    Console(file=screen, width=170).print(ranked_table(trials, "val_loss", "best"))
    (line,) = [line for line in screen.getvalue().splitlines() if "0003" in line]
    assert "confirms 0002  layers=2" in line
    assert confirmation_lines(trials, "val_loss", "best") == [
        "Confirmed: val_loss 0.5000, the mean of trial 0002 0.4000, trial 0003 0.6000",
        "Trial 0004, to confirm trial 0000, diverged: that configuration ranks last",
    ]
    assert confirmation_lines(TRIALS, "val_loss", "best") == []


def make_deadline(budget: float, elapsed: float) -> Any:
    return SimpleNamespace(budget=budget, elapsed=elapsed)


def test_the_deadline_shows_with_what_is_left_and_what_the_clock_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.driver.screen._LINE_SECONDS", 0)
    state = make_state({0: make_trial(0, record.RUNNING, 0.5)}, TRIALS[0])
    state.num_trials, state.deadline = UNLIMITED, make_deadline(1800.0, 600.0)
    state.ended_by_clock = False
    screen = io.StringIO()
    with SearchView(Console(file=screen, width=200), state, 30.0) as view:
        state.news.append("time budget: no trial begins any more")
        view.on_change()
        view.on_change()
    lines = [line.partition("] ")[2] for line in screen.getvalue().splitlines()]
    assert lines[0] == "time budget: no trial begins any more"
    assert lines.count(lines[0]) == 1
    assert lines[1].startswith("1 trial: 1 running, 0 waiting")
    assert "2 epochs, 20:00 to the deadline" in lines[1]
    assert scope_line(state).startswith("as many trials as fit in 30 min, 10 min of them spent; the winner is due at ")
    assert ending_line(state) == "All trials have ended, with 20 min of the time budget left."
    state.ended_by_clock = True
    assert ending_line(state) == "The time budget of 30 min ended the search; 20 min are left to evaluate."
    state.settings.evaluate.enabled = False
    assert "; the search ends by " in scope_line(state)
    assert ending_line(state) == "The time budget of 30 min ended the search; 20 min are left of it."
    state.deadline = make_deadline(4.0, 30.0)
    assert scope_line(state) == "as many trials as fit in 4 s, 30 s of them spent; no time is left"
    state.deadline, state.num_trials = None, 3
    assert (scope_line(state), ending_line(state)) == ("3 trials", "")
