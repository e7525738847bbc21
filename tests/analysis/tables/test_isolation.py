import numpy as np
import pandas as pd
import pytest

from analysis.tables.isolation import bin_values


def test_isolation_gives_the_best_of_each_value(run):
    table = run.table("isolation", hyperparameters=["layers"])
    assert table["value"].tolist() == [1.0, 2.0]
    assert table["trials"].tolist() == [1, 2]
    assert table["finished"].tolist() == [1, 1]
    assert table["best"].tolist() == [0.3, 0.1]
    assert table["best_trial"].tolist() == [0, 2]
    assert table["median"].tolist() == pytest.approx([0.3, 0.15])
    # The best trial with two layers was stopped, so it has no test score, whatever another one has.
    assert table["test_accuracy"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_many_numbers_are_put_in_bins():
    wide = bin_values(pd.Series(10.0 ** np.linspace(-5, -1, 40)))
    assert wide.cat.categories[0] == "1e-05 to 3.2e-05"
    assert wide.value_counts().sum() == 40
    even = bin_values(pd.Series(np.linspace(0.1, 0.5, 40)))
    assert even.value_counts().tolist() == [4] * 10
