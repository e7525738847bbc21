"""Tuning one hyperparameter at a time beside joint searches: budgets, choices and the comparison."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import joint_search
from benchmarks.joint_search import (
    JOINT,
    ONE_AT_A_TIME,
    SWEEPS,
    Outcome,
    as_of,
    best_so_far,
    budget,
    moment_of,
    num_trials,
)
from benchmarks.measurement import Options
from search.plan.asha import halving_epochs
from search.plan.settings import AshaSettings, SearchSettings
from search.plan.space_file import read_space
from search.plan.spaces import listed_plans
from search.plan.words import load_settings
from search.record import Evaluation, TrialRecord
from tests.conftest import make_epoch


def outcome(best: float, epochs: int = 200) -> Outcome:
    test = Evaluation(0, "test", "best", 1, 4, 0.5, 0.75, 0.75, 0.8, 0.5, 1.0, [[2, 0], [1, 1]])
    return Outcome(np.full(epochs, best), best, 20, epochs, test)


def test_it_takes_as_many_trainings_as_the_reports_and_others_get_the_same_epochs() -> None:
    assert budget(10) == 200
    assert num_trials("none", 10) == 20
    settings, trials = SearchSettings(max_epochs=10, asha=AshaSettings(1, 4)), num_trials("asha", 10)
    assert halving_epochs(trials, settings) <= 200 < halving_epochs(trials + 1, settings)


def test_the_best_so_far_is_of_trials_that_can_be_chosen() -> None:
    def trial(number: int, status: str, values: dict[float, float]) -> TrialRecord:
        epochs = [dataclasses.replace(make_epoch(1, 0.5, val_auc=value), time=time) for time, value in values.items()]
        return TrialRecord(number, {}, 0, 10, status=status, epochs=epochs)

    trials = [trial(0, "stopped", {1.0: 0.9, 4.0: 0.99}), trial(1, "finished", {2.0: 0.8, 3.0: 0.7, 5.0: 0.95})]
    assert list(best_so_far(trials)) == [0.0, 0.8, 0.8, 0.8, 0.95]
    assert len(best_so_far([])) == 0


def test_a_search_is_looked_at_when_its_budget_is_spent() -> None:
    def trial(number: int, status: str, times: list[float]) -> TrialRecord:
        epochs = [dataclasses.replace(make_epoch(n, 0.5), time=time) for n, time in enumerate(times, 1)]
        return TrialRecord(number, {}, 0, 10, status=status, epochs=epochs)

    trials = [trial(0, "finished", [1.0, 3.0]), trial(1, "finished", [2.0, 4.0]), trial(2, "stopped", [5.0])]
    assert moment_of(trials, 3) == 3.0
    assert moment_of(trials, 99) == 5.0
    then = [as_of(each, 3.0) for each in trials]
    assert [(each.status, len(each.epochs)) for each in then] == [("finished", 2), ("waiting", 1), ("waiting", 0)]


def test_every_sweep_keeps_the_best_value_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[dict[str, Any]] = []

    def train(words: list[str], store: Path, name: str) -> Any:
        """A grid in which a smaller batch, one more layer and batch norm are better, whatever else."""
        settings = load_settings(words)
        trials = {}
        for number, plan in enumerate(listed_plans(read_space(settings), settings) or ()):
            own = plan.parameters
            value = 0.5 + 0.1 * own["layers"] - 0.001 * own["batch_size"] + 0.01 * (own["batch_norm"] == "block")
            epochs = [make_epoch(1, 0.5, val_auc=value)]
            trials[number] = TrialRecord(number, own, 0, 10, status="finished", epochs=epochs)
            trained.append(own)
        return SimpleNamespace(read_trials=lambda: trials)

    monkeypatch.setattr(joint_search, "kept_search", train)
    folders = joint_search._one_at_a_time(0, Options(), tmp_path)
    assert len(folders) == len(SWEEPS)
    assert len(trained) == 20
    assert len({str(sorted(own.items(), key=str)) for own in trained}) == 20  # nothing twice
    last = trained[-1]
    assert (last["layers"], last["batch_size"], last["batch_norm"], last["kernel"]) == (3, 16, "block", 2)


def test_seeds_are_compared_one_by_one() -> None:
    found = {way: [outcome(0.95), outcome(0.96)] for way in (ONE_AT_A_TIME, *JOINT)}
    found["ASHA + TPE"] = [outcome(0.97, 190), outcome(0.955, 210)]
    measurement = joint_search.summarize(found, Options(repeats=2))
    assert measurement.targets[0].quantity.values == pytest.approx((2.0, -0.5))
    assert measurement.comparisons[-1].ratio == pytest.approx(1.0)
    names = [each.name for each in measurement.others]
    assert "test AUC, one at a time" in names
