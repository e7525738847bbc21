"""The page that is made of stored results."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.checkout import ROOT
from benchmarks.page import format_number, section, write_page
from benchmarks.record import write_record
from tests.benchmarks.made_up import CIRCUMSTANCES, RECORD


def test_the_page_is_made_of_all_stored_results(tmp_path: Path) -> None:
    for name in ("second", "first"):
        write_record(replace(RECORD, name=name), tmp_path)
    write_page(tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert text.index("## first") < text.index("## second")
    assert "| ours | 2 s (1 to 3) | theirs | 4 s (4 to 40) | 0.5 | at most 0.6 | yes |" in text
    assert "| ours | 9 images/s | theirs | 5 images/s | 1.8 | at least 2 | no |" in text
    assert "| overhead | 9 % (8 to 12) | at most 10 % | yes |" in text
    assert "| memory | 12,346 MiB |" in text
    assert "![first](benchmarks/example.svg)" in text
    assert [each["name"] for each in json.loads((tmp_path / "benchmarks.json").read_text())] == ["first", "second"]


@pytest.mark.parametrize("file", ["benchmarks.md", "benchmarks.json"])
def test_the_published_page_is_that_of_the_stored_results(tmp_path: Path, file: str) -> None:
    shutil.copytree(ROOT / "docs" / "benchmarks", tmp_path / "benchmarks")
    write_page(tmp_path)
    assert (tmp_path / file).read_text() == (ROOT / "docs" / file).read_text()


def test_a_quick_result_says_so() -> None:
    quick = replace(RECORD, circumstances=replace(CIRCUMSTANCES, quick=True))
    assert "its figures mean nothing" in section(quick)
    assert "its figures mean nothing" not in section(RECORD)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.4, "99.4"), (0.01234, "0.0123"), (0.0, "0"), (-250.0, "-250")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert format_number(value) == text
