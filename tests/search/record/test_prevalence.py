import numpy as np
import pytest

from search.record import RunRecord, TrialRecord, Winner
from search.record.prevalence import at_prevalence, at_shares, held_shares


def shares_of(calibrated_on: str, *weights: str) -> tuple[float, ...]:
    config = {"train": {"class_weights": "none"}}
    run = RunRecord("one", 0.0, "", "val_loss", ("a", "b"), config, {}, {"counts": {"train": [25, 75]}})
    members = [TrialRecord(n, {"class_weights": each} if each else {}, 0, 1) for n, each in enumerate(weights)]
    return held_shares(run, members, Winner((0,), calibrated_on, 1.0, (0.0, 0.0), ()))


def test_probabilities_hold_at_equal_shares_at_those_of_training_or_at_none() -> None:
    assert shares_of("validation", "none") == shares_of("", "balanced", "balanced") == (0.5, 0.5)
    assert shares_of("", "", "none") == (0.25, 0.75)
    assert shares_of("", "none", "balanced") == ()


def test_a_rare_disease_makes_a_positive_answer_less_probable() -> None:
    p = at_prevalence(np.array([[0.1, 0.9], [0.5, 0.5]]), (0.5, 0.5), 0.02)
    np.testing.assert_allclose(p[:, 1], [0.9 * 0.02 / (0.9 * 0.02 + 0.1 * 0.98), 0.02])
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_it_is_the_answer_of_bayes() -> None:
    """Images with three values of a feature, counted at two class shares."""
    likelihood = np.array([[0.7, 0.2], [0.2, 0.3], [0.1, 0.5]])  # of each value, in each class

    def posterior(shares: tuple[float, float]) -> np.ndarray:
        joint = likelihood * shares
        return joint / joint.sum(axis=1, keepdims=True)

    there = at_shares(posterior((0.3, 0.7)), (0.3, 0.7), (0.9, 0.1))
    np.testing.assert_allclose(there, posterior((0.9, 0.1)))


@pytest.mark.parametrize("shares", [(0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3)])
def test_the_same_shares_change_nothing(shares: tuple[float, ...]) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    np.testing.assert_allclose(at_shares(p, shares, shares), p)
