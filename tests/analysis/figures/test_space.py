import numpy as np
import pandas as pd
import pytest

from analysis import figures


def test_importance_finds_the_hyperparameter_that_matters():
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({"matters": rng.uniform(0, 1, 120), "does_not": rng.uniform(0, 1, 120)})
    trials["val_loss"] = (trials["matters"] - 0.4) ** 2 + rng.normal(0, 0.005, 120)
    found = figures.importance(trials, "val_loss", ["matters", "does_not"])
    assert found["parameter"].tolist() == ["matters", "does_not"]
    assert found["importance"].iloc[0] > 0.8
    assert found["importance"].sum() == pytest.approx(1)


def test_importance_says_nothing_of_few_trials():
    assert figures.importance(pd.DataFrame({"a": [1.0, 2.0], "val_loss": [1.0, 2.0]}), "val_loss", ["a"]).empty


def test_a_contour_is_the_mean_of_trials_and_empty_far_from_them():
    trials = pd.DataFrame({"a": ["x", "x", "y"], "b": ["u", "u", "v"], "val_loss": [0.2, 0.4, 0.9]})
    found = figures.contour(trials, "val_loss", "a", "b")
    assert found.surface[0, 0] == pytest.approx(0.3)
    assert found.surface[1, 1] == pytest.approx(0.9)
    assert np.isnan(found.surface[0, 1])
