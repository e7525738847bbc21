from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from search.evaluate.summary import print_summary
from search.plan.words import load_settings
from search.record import FINISHED, STOPPED
from tests.search.plan.test_earlier import make_run


def summary(folder_url: str, *statuses: str, words: Sequence[str] = ()) -> str:
    folder = make_run(folder_url, statuses)
    console = Console(record=True, width=200)
    print_summary(load_settings(["space=plain2", *words]), folder, console)
    return console.export_text()


def test_a_run_without_a_finished_trial_has_no_winner(tmp_path: Path) -> None:
    printed = summary(f"{tmp_path}/one", STOPPED, "failed")
    assert "No trial finished, so there is no winner to evaluate." in printed
    assert "2 trials: 1 stopped, 1 failed" in printed
    assert "trial 0001 failed" in printed
    assert "resume=" not in printed


def test_a_time_budget_that_was_too_short_is_said_with_the_command_that_goes_on(tmp_path: Path) -> None:
    words = ["search.time_budget=75s", f"run.storage={tmp_path}"]
    printed = summary(f"{tmp_path}/one", STOPPED, words=words)
    assert f"python -m search.run resume=one run.storage={tmp_path} search.time_budget=150s" in printed
    assert "0 trials; 0 of 0 epochs trained" in summary(f"{tmp_path}/two", words=words)


def test_the_next_commands_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    printed = summary(f"{tmp_path}/my runs/one", FINISHED)
    assert f"python -m analysis.app '{tmp_path}/my runs'" in printed
    assert f"python -m analysis.claims '{tmp_path}/my runs/one'" in printed


def test_the_next_commands_are_printed(tmp_path: Path) -> None:
    printed = summary(f"{tmp_path}/one", FINISHED)
    assert f"python -m analysis.tables {tmp_path}/one" in printed
    assert f"{tmp_path}/one/report.html" in printed
    assert "Winner" not in printed  # it is not evaluated
    assert "search.predict" not in printed
    assert "evaluation.jsonl" not in printed
