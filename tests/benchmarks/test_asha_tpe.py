"""Scores of searches, and the comparison that they make."""

import pytest

from benchmarks import asha_tpe
from benchmarks.asha_tpe import Score
from search.record import TrialRecord
from tests.conftest import make_epoch


def trial(number: int, *aucs: float | None) -> TrialRecord:
    epochs = [make_epoch(place, 0.5, val_auc=value) for place, value in enumerate(aucs, start=1)]  # type: ignore[arg-type]
    return TrialRecord(number=number, parameters={}, seed=0, max_epochs=9, epochs=epochs)


def test_a_search_is_judged_by_the_best_epoch_of_any_trial() -> None:
    assert asha_tpe.score([trial(0, 0.7, 0.9, 0.8), trial(1, 0.85)]) == Score(0.9, 0.7, 4)


def test_a_search_without_any_auc_scores_nothing() -> None:
    assert asha_tpe.score([trial(0), trial(1, None)]) == Score(0.0, 0.7, 1)


def test_seeds_are_compared_one_by_one() -> None:
    ours, random = [Score(0.96, 0.9, 50), Score(0.97, 0.9, 60), Score(0.95, 0.9, 70)], [Score(0.97, 0.9, 216)] * 3
    found = asha_tpe.summarize(ours, random)
    (epochs,), (behind,) = found.comparisons, found.targets
    assert epochs.ratio == pytest.approx(60 / 216)
    assert epochs.is_reached
    assert behind.quantity.values == pytest.approx((1.0, 0.0, 2.0))
    assert not behind.is_reached  # a median of 1 point
