import numpy as np
import pytest

from search.record import reweight


def test_odds_are_multiplied_by_those_of_the_prevalence() -> None:
    p = np.array([[0.1, 0.9], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]], np.float32)
    found = reweight(p, 0.02)
    assert found.dtype == np.float64
    assert found[:, 1] == pytest.approx([9 * 0.02 / 0.98 / (1 + 9 * 0.02 / 0.98), 0.02, 0.0, 1.0], rel=1e-6)
    assert found.sum(axis=1) == pytest.approx(1.0)


def test_at_the_share_at_which_they_hold_probabilities_stay() -> None:
    p = np.array([[0.3, 0.7]])
    assert reweight(p, 0.5) == pytest.approx(p)
    assert reweight(p, 0.8, held_at=0.8) == pytest.approx(p)
    assert reweight(reweight(p, 0.1), 0.5, held_at=0.1) == pytest.approx(p)
