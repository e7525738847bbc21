"""The command that scores a run again: its errors and exit codes. What it does, tests/search/test_run.py holds."""

import contextlib
import shlex
from pathlib import Path

import pytest

from search.evaluate import __main__ as command
from search.evaluate.__main__ import main
from search.record import RunFolder
from tests.search.plan.test_refit import GOOD, make_run, make_trial


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(RunFolder(str(tmp_path / "one")), [make_trial(0, GOOD, 0.3)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "The first word is a run's folder. Received: nothing."),
        (["evaluate.weights=last"], "Received: evaluate.weights=last."),
        (["no such run"], "no such run, which has none"),
    ],
)
def test_a_command_without_a_run_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.size=64", "the run has data.size=96"),
        ("evaluate.weights=first", "evaluate.weights must be one of best, last"),
        ("data.root=no such folder", "no such folder"),
    ],
)
def test_a_setting_that_does_not_fit_the_run_is_refused(
    run: RunFolder, word: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([run.url, word]) == 2
    assert message in capfd.readouterr().err
    assert not run.exists("evaluation.jsonl")


def test_an_evaluation_that_is_interrupted_says_how_to_repeat_it(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "evaluate_run", interrupt)
    monkeypatch.setattr(command, "open_session", lambda settings, *given: contextlib.nullcontext(Session(settings)))
    for name in ("prepare", "check_same_data", "check_prepared"):
        monkeypatch.setattr(command, name, lambda *given: None)
    words = [run.url, "evaluate.ensemble=1"]
    assert main(words) == 130
    assert (
        f"no trial is lost. Evaluate with:\n  python -m search.evaluate {shlex.join(words)}" in capfd.readouterr().out
    )


class Session:
    """What is asked of an open session here."""

    def __init__(self, settings: object) -> None:
        self.settings = settings
