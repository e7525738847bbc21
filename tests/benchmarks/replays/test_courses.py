"""Replays in processes: the same as here, kept, and read again."""

from pathlib import Path

import pytest

from benchmarks.curves.table import write_curves
from benchmarks.replays import courses
from benchmarks.replays.courses import MOST, run_courses
from benchmarks.replays.simulation import replay
from benchmarks.replays.ways import PLAIN, WAYS
from tests.benchmarks.replays.made_up import made_up_curves, made_up_table


def test_courses_are_those_of_one_process_and_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(courses, "code_commit", lambda code: "abc")
    file, way = tmp_path / "cnn2.parquet", next(way for way in WAYS if way.name == PLAIN)
    write_curves(made_up_curves(12), file)
    found = run_courses(file, [way], 2, 2, tmp_path / "store")
    table = made_up_table(12)
    scores, seconds = table.scores(table.metric), MOST * table.full_seconds / 2
    here = [replay(table, way.build(table, seed, 2), scores, 2, seconds) for seed in range(2)]
    assert [course.rows for course in found[PLAIN]] == [course.rows for course in here]

    def refuse(*given: object) -> None:
        raise AssertionError("replayed again")

    monkeypatch.setattr(courses, "_replay_seeds", refuse)
    assert run_courses(file, [way], 2, 2, tmp_path / "store") == found
