"""The AUCs of ways on the test set and an outside set."""

import numpy as np
import pytest

from benchmarks.image_changes.changes import AS_THEY_ARE
from benchmarks.image_changes_test import ScoredSet, auc, summarize
from search.record import TEST

LABELS = np.array([0, 0, 1, 1] * 10)
SCORED = ScoredSet(TEST, np.zeros((40, 8, 8, 1), np.uint8), LABELS, np.arange(40) // 2, ())


def test_the_auc_is_that_of_class_1() -> None:
    assert auc(LABELS, LABELS.astype(np.float32)) == 1.0
    assert auc(LABELS, 1 - LABELS.astype(np.float32)) == 0.0


def test_ways_are_compared_with_images_as_they_are() -> None:
    draws = np.random.default_rng(0)
    before = np.clip(LABELS * 0.2 + draws.random((3, 40)) * 0.8, 0, 1)
    better = np.clip(LABELS * 0.5 + draws.random((3, 40)) * 0.5, 0, 1)
    measurement = summarize([(SCORED, {AS_THEY_ARE.name: before, "CLAHE": better})], seeds=3)
    (grid,) = measurement.grids
    assert grid.title == "AUC, test, 40 images of 20 patients"
    singles, mean, difference = grid.rows[1]
    assert singles.values == pytest.approx(tuple(auc(LABELS, each) for each in better))
    assert mean.median == pytest.approx(auc(LABELS, better.mean(axis=0)))
    assert difference.median == pytest.approx(mean.median - grid.rows[0][1].median)
    assert min(difference.values) < difference.median < max(difference.values)
    assert grid.rows[0][2].values == (0.0,)
