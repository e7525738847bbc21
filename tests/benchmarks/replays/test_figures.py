"""Intervals, ranks, the grid and the targets that they make."""

from pathlib import Path

import numpy as np

from benchmarks.measurement import Machine, Options
from benchmarks.page import section
from benchmarks.record import BenchmarkRecord, Circumstances, read_record, write_record
from benchmarks.replays.__main__ import drawn, foretold, rank_grid, rank_targets, summarize
from benchmarks.replays.figures import BUDGETS, estimate, ranks, regrets_at
from benchmarks.replays.simulation import Course
from benchmarks.replays.ways import OURS, PLAIN, WAYS
from tests.benchmarks.replays.made_up import made_up_table

PEER = "Optuna: TPE, Hyperband"
USED = [way for way in WAYS if way.name in (OURS, PLAIN, PEER, "Optuna: TPE, median")]


def regrets(seeds: int = 40) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(1)
    better = {OURS: 0.0, PEER: 0.3, "Optuna: TPE, median": 0.6, PLAIN: 0.9}
    return {name: offset + draws.random((seeds, len(BUDGETS))) for name, offset in better.items()}


def test_an_interval_holds_its_mean_and_narrows_with_seeds() -> None:
    draws = np.random.default_rng(0)
    few, many = estimate(draws.random((20, 3))), estimate(draws.random((500, 3)))
    for each in (few, many):
        assert (each.low < each.mean).all()
        assert (each.mean < each.high).all()
    assert ((many.high - many.low) < (few.high - few.low)).all()
    assert estimate(np.ones((7, 2))).low.tolist() == [1.0, 1.0]


def test_ranks_begin_at_one_and_equals_share() -> None:
    found = ranks({"a": np.array([[0.1, 0.5]]), "b": np.array([[0.1, 0.2]]), "c": np.array([[0.3, 0.9]])})
    assert {name: each.tolist() for name, each in found.items()} == {
        "a": [[1.5, 2.0]],
        "b": [[1.5, 1.0]],
        "c": [[3.0, 3.0]],
    }


def test_regrets_are_one_row_a_seed() -> None:
    found = regrets_at([Course((1.0,), (0,)), Course((3.0,), (1,))], np.array([2.0, 4.0]), np.array([0.0, 4.0]))
    assert found.tolist() == [[0.0, 0.0], [2.0, 4.0]]


def test_the_grid_has_the_best_first_and_a_target_names_the_best_peer() -> None:
    grid = rank_grid("ranks", regrets())
    assert [row[0].name for row in grid.rows] == [OURS, PEER, "Optuna: TPE, median", PLAIN]
    assert all(row[2].values[0] <= row[2].median <= row[2].values[2] for row in grid.rows)
    targets = rank_targets("here", regrets(), USED)
    assert len(targets) == len(BUDGETS)
    assert all(PEER in target.quantity.name and target.is_reached for target in targets)
    swapped = regrets()
    swapped[OURS], swapped[PLAIN] = swapped[PLAIN], swapped[OURS]
    assert not any(target.is_reached for target in rank_targets("here", swapped, USED))


def test_the_picture_has_ours_plain_search_and_each_librarys_best() -> None:
    assert drawn([regrets(), regrets(seeds=20)], USED) == [OURS, PLAIN, PEER]
    fewer = {name: each for name, each in regrets().items() if name != PEER}  # not replayed with so many workers
    assert drawn([regrets(), fewer], USED) == [OURS, PLAIN, "Optuna: TPE, median"]
    assert PEER not in "".join(target.quantity.name for target in rank_targets("here", fewer, USED))


def test_what_the_first_epochs_foretell_grows_with_them() -> None:
    grid = foretold("correlation", made_up_table(30))
    assert grid.columns[0] == "after 1 of 8 epochs"
    of_loss = {row[0].name: [each.median for each in row] for row in grid.rows}["val_loss"]
    assert of_loss[-1] > of_loss[0]
    assert of_loss[-1] > 0.9
    assert all(each.values[0] <= each.median <= each.values[2] for row in grid.rows for each in row)


def test_the_page_says_what_was_not_there() -> None:
    measured = summarize([rank_grid("ranks", regrets())], [], USED, Options(repeats=40))
    assert any(note.startswith("Not installed when this ran:") and "DEHB" in note for note in measured.notes)


def test_a_grid_is_a_table_of_the_page_and_is_read_back(tmp_path: Path) -> None:
    measured = summarize([rank_grid("ranks", regrets())], [], USED, Options(repeats=40))
    around = Circumstances(Machine("cpu", 2, 4.0, 1.0, 1.0, 1.0, 0.0), {}, "abc", "python", "data", 40, False, 0.0, 1.0)
    record = BenchmarkRecord("replays", measured, around)
    text = section(record)
    assert "| ranks | 5 trainings | 10 trainings | 20 trainings | 50 trainings | 100 trainings |" in text
    assert f"| {PEER} | " in text
    write_record(record, tmp_path)
    assert read_record(tmp_path / "benchmarks" / "replays.json") == record
