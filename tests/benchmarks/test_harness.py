"""The options of a command line, and what a benchmark keeps between its runs."""

from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.measurement import Options


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


def test_a_quick_result_goes_elsewhere() -> None:
    assert harness.output_folder(Options(quick=True)) != harness.output_folder(Options())


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
