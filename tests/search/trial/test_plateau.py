import math

import pytest

from search.plan.settings import TrainSettings
from search.trial.plateau import learning_rate, should_stop
from tests.conftest import make_epoch


def test_the_rate_falls_after_each_plateau() -> None:
    train = TrainSettings(learning_rate=1.0, plateau=2, plateau_factor=0.1)
    losses = [0.5, 0.6, 0.7, 0.6, 0.55, 0.4]
    history = [make_epoch(n + 1, loss) for n, loss in enumerate(losses)]
    rates = [learning_rate(train, history[:n], 10) for n in range(len(losses) + 1)]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert learning_rate(TrainSettings(learning_rate=1.0), history, 10) == 1.0


def test_early_stopping_waits_for_its_patience() -> None:
    history = [make_epoch(n + 1, loss) for n, loss in enumerate([0.5, 0.4, 0.45, math.nan, 0.41])]
    assert [should_stop(history[:n], 2) for n in range(6)] == [False, False, False, False, True, True]
    assert not should_stop(history, 0)


def test_a_cosine_falls_to_zero_over_all_epochs() -> None:
    train = TrainSettings(learning_rate=0.1, schedule="cosine")
    history = [make_epoch(number, 0.5) for number in range(1, 9)]
    rates = [learning_rate(train, history[:n], 8) for n in range(8)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.1, rel=0.02)
    assert rates[-1] == pytest.approx(0.1 * 0.0096, rel=0.01)
    assert sum(rates) == pytest.approx(0.1 * 4)
