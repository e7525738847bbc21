"""How well the first epochs of trials rank their ends."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.first_rung import Curves, correlation, correlations, interval, scores, summarize
from search.record import EpochRecord, TrialRecord

EPOCH = EpochRecord(1, 1.0, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)


def trial(number: int, metric: str, values: Sequence[float | None]) -> TrialRecord:
    changes = [{"epoch": epoch, metric: value} for epoch, value in enumerate(values, 1)]
    return TrialRecord(number, {}, 0, len(values), epochs=[replace(EPOCH, **each) for each in changes])


def test_a_score_is_the_best_up_to_an_epoch_and_a_missing_one_is_last() -> None:
    trials = [trial(0, "val_auc", [0.5, 0.9, 0.7]), trial(1, "val_auc", [None, None, None])]
    early, last = scores(trials, "val_auc", 1)
    assert (early.tolist(), last.tolist()) == ([-0.5, np.inf], [-0.9, np.inf])
    assert scores(trials, "val_auc", 2)[0].tolist() == [-0.9, np.inf]


def test_the_interval_holds_the_correlation() -> None:
    early = np.random.default_rng(0).random(60)
    last = early + 0.1 * np.random.default_rng(1).random(60)
    low, high = interval(early, last)
    assert 0.8 < low < correlation(early, last) < high <= 1
    assert interval(early, last) == (low, high)  # the resamples have a fixed seed


def test_resamples_are_correlated_as_scipy_does_and_a_constant_one_with_nothing() -> None:
    draws = np.random.default_rng(2)
    early, last = draws.integers(0, 5, (6, 20)).astype(float), draws.integers(0, 5, (6, 20)).astype(float)
    last[:, 0] = np.inf  # of a diverged trial
    expected = [correlation(*each) for each in zip(early, last, strict=True)]
    assert correlations(early, last) == pytest.approx(expected)
    assert np.isnan(correlations(np.ones((1, 4)), np.array([[1.0, 2.0, 3.0, 4.0]]))).all()


def test_the_first_rungs_are_compared_and_the_other_epochs_are_told() -> None:
    count = 12
    now = [trial(n, "shifted_calibrated_loss", [n, n, n]) for n in range(count)]
    before = [trial(n, "val_loss", [(5 * n) % count, n - 100.0, n - 100.0]) for n in range(count)]
    found = summarize({"a set": {"now": Curves(now, 2), "before": Curves(before, 2)}})
    (only,) = found.targets
    assert only.quantity.name == "a set: now after epoch 2, the first rung of `auto`, less before after epoch 1"
    known = {each.name: each.median for each in found.others}
    assert known["a set, now: after epoch 2"] == pytest.approx(1.0)
    assert only.quantity.median == pytest.approx(1.0 - known["a set, before: after epoch 1"])
    assert known.keys() == {f"a set, {way}: after epoch {epoch}" for way in ("now", "before") for epoch in (1, 2)}
