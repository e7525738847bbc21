"""Stored results."""

from pathlib import Path

from benchmarks.record import read_record, write_record
from tests.benchmarks.made_up import RECORD


def test_a_stored_result_is_read_back_as_it_was(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path)
    assert read_record(tmp_path / "benchmarks" / "example.json") == RECORD
