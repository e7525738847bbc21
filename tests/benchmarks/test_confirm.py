"""The simulation of confirmed searches."""

import numpy as np
import pytest

from benchmarks.confirm import chosen, noise_grid, without_noise

FINALS = np.random.default_rng(3).normal(0.1, 0.009, 60)


def test_the_noise_is_taken_from_the_variance_and_the_order_is_kept() -> None:
    true = without_noise(FINALS, 0.005)
    assert true.mean() == pytest.approx(FINALS.mean())
    assert true.var() == pytest.approx(FINALS.var() - 0.005**2)
    assert true.argsort().tolist() == FINALS.argsort().tolist()


def test_without_noise_the_best_that_was_trained_is_chosen_and_confirming_costs_trainings() -> None:
    rows = np.random.default_rng(0).integers(0, len(FINALS), (200, 10))
    assert chosen(FINALS, 0.0, 10, 0, 200).tolist() == FINALS[rows].min(axis=1).tolist()
    assert chosen(FINALS, 0.0, 10, 3, 200).tolist() == FINALS[rows[:, :7]].min(axis=1).tolist()
    assert chosen(FINALS, 0.0, 10, 20, 200).tolist() == FINALS[rows[:, :5]].min(axis=1).tolist()  # at most half


def test_confirming_pays_where_noise_hides_much_and_trainings_are_many() -> None:
    assert chosen(FINALS, 0.02, 50, 5, 2_000).mean() < chosen(FINALS, 0.02, 50, 0, 2_000).mean()
    assert chosen(FINALS, 0.001, 5, 2, 2_000).mean() > chosen(FINALS, 0.001, 5, 0, 2_000).mean()


def test_a_grid_has_a_row_for_each_number_of_confirmations_and_a_column_for_each_budget() -> None:
    grid = noise_grid("cnn2", FINALS, 0.004, 100)
    assert [row[0].name for row in grid.rows] == ["K = 0", "K = 2", "K = 3", "K = 5"]
    assert all(len(row) == len(grid.columns) == 4 for row in grid.rows)
    low, mean, high = grid.rows[0][0].values
    assert 0 < low < mean < high
