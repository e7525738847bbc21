"""Deals sets of images that stay together into folds with the same share of each class, as nearly as they allow."""

import numpy as np
from numpy.typing import NDArray


def deal_folds(unit_counts: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each unit, int64 (U,), in [0, folds).

    The largest units are dealt first, those of one size in random order; each goes to the fold with the smallest share
    of its classes so far. Where every unit is of one class, two folds differ by no more images of a class than its
    largest unit has. The arithmetic is in whole numbers: a tie is the same tie on every machine.

    Args:
        unit_counts: Images of each class in each unit, int64 (U, K).
        folds: How many, at least 1.
        seed: Of the order.
    """
    images, totals = unit_counts.sum(axis=1), unit_counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(unit_counts))
    order = order[np.argsort(-images[order], kind="stable")]
    weights = totals.sum() ** 2 // np.maximum(totals, 1) ** 2  # an image of a rare class is a larger share of it
    filled = np.zeros((folds, len(totals)), np.int64)
    fold_of = np.zeros(len(unit_counts), np.int64)
    for unit in order:
        crowding = filled @ (unit_counts[unit] * weights)  # (folds,)
        fold_of[unit] = np.lexsort((filled.sum(axis=1), crowding))[0]
        filled[fold_of[unit]] += unit_counts[unit]
    return fold_of
