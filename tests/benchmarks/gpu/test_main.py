"""The command: which GPU it takes, when it stops, and what it writes."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.check import NOT_RUN, PASSED
from benchmarks.gpu.checks import Question
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


def test_no_check_begins_after_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "QUESTIONS", (LOGIC,))
    bench = cast(Bench, SimpleNamespace(card=None))
    assert [check.outcome for check in command.run_checks(bench, seconds=60)] == [PASSED]
    (late,) = command.run_checks(bench, seconds=0)
    assert (late.outcome, "the time was over" in late.result) == (NOT_RUN, True)


@pytest.mark.parametrize(("questions", "code"), [((LOGIC,), 0), ((LOGIC, WRONG), 1)])
def test_without_a_gpu_the_command_says_so_and_writes_both_files(
    questions: tuple[Question, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def bench_of(folder: Path, card: Any) -> Any:
        return SimpleNamespace(card=card, sight=SIGHT)

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
