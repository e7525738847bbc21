"""Deals sets of images that stay together into folds with the same share of each class, as nearly as they allow."""

from collections.abc import Sequence

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


def deal_findings(
    units: Sequence[Sequence[int]], labels: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """The part of each unit, int64 (U,), where images show several findings: parts get their share of each finding.

    The rarest finding that is left is divided first: each unit with it, the one with most images of it first, goes to
    the part that lacks more images of it, or where several lack as many to the one that lacks more images. Images
    without a finding count as one of their own.

    Args:
        units: Positions of images that stay together.
        labels: 0 or 1, int64 (N, K).
        shares: Of each part, in (0, 1); they add up to 1.
        seed: Of the order of units.

    Source: Sechidis, Tsoumakas, Vlahavas 2011, 'On the Stratification of Multi-Label Data', on units.
    """
    outcomes = np.column_stack([labels, labels.sum(axis=1) == 0])  # (N, K + 1)
    counts = np.array([outcomes[unit].sum(axis=0) for unit in units])  # (U, K + 1)
    sizes = np.array([len(unit) for unit in units])
    order = np.random.default_rng(seed).permutation(len(units))
    parts = np.array(shares)
    lacking, room = parts[:, None] * counts.sum(axis=0), parts * sizes.sum()  # (P, K + 1), (P,)
    left, part_of = np.ones(len(units), bool), np.zeros(len(units), np.int64)
    while left.any():
        remaining = counts[left].sum(axis=0)
        rarest = int(np.argmin(np.where(remaining > 0, remaining, np.iinfo(np.int64).max)))
        holding = order[left[order] & (counts[order, rarest] > 0)]
        for unit in holding[np.argsort(-counts[holding, rarest], kind="stable")]:
            part = max(range(len(parts)), key=lambda each: (lacking[each, rarest], room[each]))
            lacking[part] -= counts[unit]
            room[part] -= sizes[unit]
            left[unit], part_of[unit] = False, part
    return part_of
