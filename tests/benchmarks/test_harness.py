"""Figures, their bounds, and the page that is made of stored results."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import harness
from benchmarks.__main__ import BENCHMARKS, is_measured
from benchmarks.harness import (
    BenchmarkRecord,
    Bound,
    Circumstances,
    Comparison,
    Machine,
    Measurement,
    Options,
    Quantity,
    Target,
)

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)
CIRCUMSTANCES = Circumstances(
    machine=MACHINE,
    versions={"python": "3.11.7", "keras": "3.15.1"},
    commit="abc",
    command="python -m benchmarks.example",
    data="600 images",
    repeats=3,
    quick=False,
    finished=1_790_000_000.0,
    seconds=90.0,
)
MEASUREMENT = Measurement(
    question="How long?",
    setting="Two sides.",
    limited_by="one thing",
    physical_limit="another",
    comparisons=(
        Comparison(Quantity("ours", "s", (3.0, 1.0, 2.0)), Quantity("theirs", "s", (4.0, 4.0, 40.0)), Bound(0.6)),
        Comparison(Quantity("ours", "images/s", (9.0,)), Quantity("theirs", "images/s", (5.0,)), Bound(2.0, False)),
    ),
    targets=(Target(Quantity("overhead", "%", (12.0, 8.0, 9.0)), Bound(10.0)),),
    others=(Quantity("memory", "MiB", (12345.6,)),),
    notes=("A note.",),
    picture="example.svg",
)
RECORD = BenchmarkRecord("example", MEASUREMENT, CIRCUMSTANCES)


def test_a_quantity_has_a_median_and_a_spread() -> None:
    assert MEASUREMENT.comparisons[0].ours.median == 2.0
    assert MEASUREMENT.comparisons[0].peer.spread == (4.0, 40.0)


def test_a_quantity_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="none for 'speed'"):
        Quantity("speed", "s", ())


def test_bounds_hold_on_the_ratio_of_medians() -> None:
    faster, throughput = MEASUREMENT.comparisons
    assert (faster.ratio, faster.is_reached) == (0.5, True)
    assert (throughput.ratio, throughput.is_reached) == (1.8, False)
    assert MEASUREMENT.targets[0].is_reached  # 9 of 10, though one repeat is above


def test_a_stored_result_is_read_back_as_it_was(tmp_path: Path) -> None:
    harness.write_record(RECORD, tmp_path)
    assert harness.read_record(tmp_path / "benchmarks" / "example.json") == RECORD


def test_the_page_is_made_of_all_stored_results(tmp_path: Path) -> None:
    for name in ("second", "first"):
        harness.write_record(replace(RECORD, name=name), tmp_path)
    harness.write_page(tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert text.index("## first") < text.index("## second")
    assert "| ours | 2 s (1 to 3) | theirs | 4 s (4 to 40) | 0.5 | at most 0.6 | yes |" in text
    assert "| ours | 9 images/s | theirs | 5 images/s | 1.8 | at least 2 | no |" in text
    assert "| overhead | 9 % (8 to 12) | at most 10 % | yes |" in text
    assert "| memory | 12,346 MiB |" in text
    assert "![first](benchmarks/example.svg)" in text
    assert [each["name"] for each in json.loads((tmp_path / "benchmarks.json").read_text())] == ["first", "second"]


def test_a_quick_result_says_so_and_goes_elsewhere() -> None:
    quick = replace(RECORD, circumstances=replace(CIRCUMSTANCES, quick=True))
    assert "its figures mean nothing" in harness.section(quick)
    assert "its figures mean nothing" not in harness.section(RECORD)
    assert harness.output_folder(Options(quick=True)) != harness.output_folder(Options())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Options(repeats=5)),
        (["--quick"], Options(repeats=1, quick=True)),
        (["--quick", "--repeats", "2"], Options(repeats=2, quick=True)),
        (["--root", "images", "--weights", "none"], Options("images", "none", 5)),
    ],
)
def test_options_of_a_command_line(words: list[str], expected: Options) -> None:
    assert harness.parse_options(words, "A benchmark.", repeats=5) == expected


def test_no_repeats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        harness.parse_options(["--repeats", "0"], "A benchmark.")
    assert "--repeats must be at least 1. Received: 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), "python -m benchmarks.example"),
        (Options("/a/folder", "/a/file.h5"), "python -m benchmarks.example --root FOLDER --weights FILE"),
        (Options(weights="none", repeats=1, quick=True), "python -m benchmarks.example --weights none --quick"),
        (Options(repeats=5), "python -m benchmarks.example --repeats 5"),
    ],
)
def test_the_stored_command_names_no_folder_of_this_machine(options: Options, expected: str) -> None:
    assert harness.command_line("example", options, repeats=3) == expected


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.4, "99.4"), (0.01234, "0.0123"), (0.0, "0"), (-250.0, "-250")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert harness.format_number(value) == text


def test_the_machine_is_measured() -> None:
    machine = harness.measure_machine()
    assert machine.cores >= 1
    assert machine.copy_gb_per_s > 0.1
    assert machine.gemm_gflops > 0.1
    assert machine.decode_megapixels_per_s > 1


def test_only_a_result_of_this_very_code_is_passed_over(tmp_path: Path) -> None:
    harness.write_record(RECORD, tmp_path)
    assert is_measured("example", tmp_path, "abc")
    assert not is_measured("example", tmp_path, "abd")
    assert not is_measured("example", tmp_path, "abc-dirty")
    assert not is_measured("example", tmp_path, "")
    assert not is_measured("another", tmp_path, "abc")


def test_what_make_bench_runs_is_there() -> None:
    folder = Path(harness.__file__).parent
    for name in BENCHMARKS:
        package = folder / name / "__main__.py"
        text = (package if package.is_file() else folder / f"{name}.py").read_text()
        assert "harness.main(measure, __doc__" in text


def test_a_benchmark_that_fails_does_not_keep_the_others_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def run(words: list[str], check: bool) -> "subprocess.CompletedProcess[str]":
        started.append(words[1:])
        return subprocess.CompletedProcess(words, returncode=1 if len(started) == 1 else 0)

    monkeypatch.setattr(harness, "code_commit", lambda: "")
    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--root", "FOLDER"])
    assert bench.main() == 1
    assert started == [["-m", f"benchmarks.{name}", "--root", "FOLDER", "--quick"] for name in BENCHMARKS]


@pytest.mark.parametrize(
    ("commit", "measured"), [("abc", [0, 1, 2]), ("abc-dirty", [0, 1, 0, 1, 2]), ("", [0, 1, 0, 1, 2])]
)
def test_a_long_benchmark_goes_on_at_the_repeat_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str, measured: list[int]
) -> None:
    monkeypatch.setattr(harness, "code_commit", lambda: commit)
    begun: list[int] = []

    def once(number: int) -> dict[str, int]:
        begun.append(number)
        return {"number": number}

    assert harness.repeated("long", Options(repeats=2), once, tmp_path) == [{"number": 0}, {"number": 1}]
    found = harness.repeated("long", Options(repeats=3), once, tmp_path)
    assert [each["number"] for each in found] == [0, 1, 2]
    assert begun == measured
