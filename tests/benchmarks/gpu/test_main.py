"""The command: which GPU it takes, when it stops, and what it writes."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.check import NOT_RUN, PASSED
from benchmarks.gpu.checks import Question, run_check
from benchmarks.gpu.judge import Finding
from benchmarks.gpu.probe import Sight

SIGHT = Sight(peak_mb=700.0)
LOGIC = Question("logic", "It works", "README.md", lambda bench: Finding(True, "it worked."), needs_card=False)
WRONG = Question("wrong", "It works", "README.md", lambda bench: Finding(False, "it did not."), needs_card=False)


@pytest.mark.parametrize(("visible", "taken"), [(None, "0"), ("2,3", "2"), ("GPU-a,GPU-b", "GPU-a"), ("", "")])
def test_the_first_visible_gpu_is_taken(visible: str | None, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is restored
        del os.environ["CUDA_VISIBLE_DEVICES"]
    command.use_one_gpu()
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == (taken, "PCI_BUS_ID")


def test_when_the_time_is_over_checks_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "QUESTIONS", (LOGIC,))
    assert [check.outcome for check in command.run_checks(Bench(tmp_path, None, seconds=60))] == [PASSED]
    (late,) = command.run_checks(Bench(tmp_path, None, seconds=0))
    assert (late.outcome, "the time was over" in late.result) == (NOT_RUN, True)


def test_a_command_that_still_runs_when_the_time_is_over_is_killed_and_no_finding(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None, seconds=0.5)
    asked = Question("sight", "It sees the card", "README.md", lambda bench: found(bench.sight), needs_card=False)
    check = run_check(asked, bench)
    assert bench.time_is_over
    assert (check.outcome, "the time was over" in check.result) == (NOT_RUN, True)


def found(sight: Sight) -> Finding:
    return Finding(True, f"{sight}")


@pytest.mark.parametrize(("questions", "code"), [((LOGIC,), 0), ((LOGIC, WRONG), 1)])
def test_without_a_gpu_the_command_says_so_and_writes_both_files(
    questions: tuple[Question, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def bench_of(folder: Path, card: Any, seconds: float) -> Any:
        return SimpleNamespace(card=card, sight=SIGHT, time_is_over=False)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    for name, value in (("QUESTIONS", questions), ("Bench", bench_of), ("ROOT", tmp_path)):
        monkeypatch.setattr(command, name, value)
    assert command.main([]) == code
    said = capsys.readouterr().out
    assert said.count("No GPU here: one is pretended.") == 2
    assert "passed: On the CPU: it worked." in said
    folder = tmp_path / "build" / "gpu-check"
    assert sorted(path.name for path in folder.iterdir()) == ["gpu-check.html", "gpu-check.json"]
