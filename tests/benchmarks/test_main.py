"""All benchmarks, one after the other."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.__main__ import BENCHMARKS, is_measured
from benchmarks.record import write_record
from tests.benchmarks.made_up import RECORD


def test_only_a_result_of_this_very_code_is_passed_over(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path)
    assert is_measured("example", tmp_path, "abc")
    assert not is_measured("example", tmp_path, "abd")
    assert not is_measured("example", tmp_path, "abc-dirty")
    assert not is_measured("example", tmp_path, "")
    assert not is_measured("another", tmp_path, "abc")


def test_what_make_bench_runs_is_there() -> None:
    folder = Path(bench.__file__).parent
    for name in BENCHMARKS:
        package = folder / name / "__main__.py"
        text = (package if package.is_file() else folder / f"{name}.py").read_text()
        assert "harness.main(measure, __doc__" in text


def test_a_benchmark_that_fails_does_not_keep_the_others_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def run(words: list[str], check: bool) -> "subprocess.CompletedProcess[str]":
        started.append(words[1:])
        return subprocess.CompletedProcess(words, returncode=1 if len(started) == 1 else 0)

    monkeypatch.setattr(bench, "code_commit", lambda: "")
    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--root", "FOLDER"])
    assert bench.main() == 1
    assert started == [["-m", f"benchmarks.{name}", "--root", "FOLDER", "--quick"] for name in BENCHMARKS]
