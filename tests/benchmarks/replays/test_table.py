"""Curves as arrays, regrets, and the nearest untried row."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.curves.table import Curves, configuration
from benchmarks.replays.table import Table, Untried, table_of
from search.plan.searcher import study_parameters
from search.record import DIVERGED
from tests.benchmarks.replays.made_up import EPOCHS, made_up_curves, made_up_table


@pytest.fixture(scope="module")
def table() -> Table:
    return made_up_table(12)


def test_scores_are_the_best_so_far_and_lower_is_better(table: Table) -> None:
    losses, aucs = table.scores("val_loss"), table.scores("val_auc")
    assert losses.shape == aucs.shape == (12, EPOCHS)
    assert (np.diff(losses, axis=1) <= 0).all()
    assert np.allclose(aucs, losses / 4 - 1)  # the formula's, as a negative AUC
    worse = [replace(epoch, val_loss=9.0) for epoch in table.trials[0].epochs[1:]]
    bumpy = replace(table, trials=(replace(table.trials[0], epochs=[table.trials[0].epochs[0], *worse]),))
    assert set(bumpy.scores("val_loss")[0]) == {table.trials[0].epochs[0].val_loss}


def test_a_diverged_row_is_the_worst(table: Table) -> None:
    lost = replace(table.trials[3], epochs=table.trials[3].epochs[:2], status=DIVERGED)
    changed = replace(table, trials=(*table.trials[:3], lost, *table.trials[4:]))
    assert changed.scores("val_loss")[3, 0] < math.inf
    assert np.isinf(changed.scores("val_loss")[3, 1:]).all()
    assert changed.regrets[3] == changed.regrets.max()
    assert changed.seconds[3].tolist() == [*table.seconds[3, :2], *[0.0] * (EPOCHS - 2)]


def test_a_regret_is_the_distance_to_the_best_row(table: Table) -> None:
    finals = table.scores(table.metric)[:, -1]
    assert table.regrets.min() == 0
    assert table.regrets.tolist() == pytest.approx((finals - finals.min()).tolist())


def test_every_row_is_nearest_to_itself_once(table: Table) -> None:
    untried = Untried(table)
    for row in (5, 0, 11):
        assert untried.take(table.trials[row].parameters) == row
    again = untried.take(table.trials[5].parameters)
    assert again not in (None, 5, 0, 11)
    others = [untried.take(table.trials[0].parameters) for _ in range(8)]
    assert {*others, again} == {*range(12)} - {5, 0, 11}
    assert untried.take(table.trials[0].parameters) is None


def test_another_choice_is_farther_than_any_step_of_a_range() -> None:
    curves = made_up_curves(1)
    first = curves.trials[0]
    other = next(value for value in ([], [64]) if value != first.parameters["dense"])
    rows = [
        replace(first, number=0, parameters={**first.parameters, "dense": other}),
        replace(first, number=1, parameters={**first.parameters, "dropout": 0.1}),
    ]
    untried = Untried(table_of(Curves(curves.about, tuple(rows))))
    assert untried.take({**first.parameters, "dropout": 0.45}) == 1


def test_confirmations_are_no_rows() -> None:
    curves = made_up_curves(4)
    repeated = (*curves.trials[:3], replace(curves.trials[3], confirms=0))
    assert [trial.number for trial in table_of(Curves(curves.about, repeated)).trials] == [0, 1, 2]


def test_a_librarys_values_make_the_configuration_again(table: Table) -> None:
    parameters = table.trials[2].parameters
    assert configuration(table.space, study_parameters(table.space, parameters)) == parameters
