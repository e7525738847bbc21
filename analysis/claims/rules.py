"""The verdict that follows from an effect alone: the borders of a claim's relation, and the margin it allows."""

from typing import Any

import numpy as np

from analysis.claims.claims import BETTER, FALLING, NO_BETTER, NO_WORSE
from analysis.statistics import Estimate

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
# "Does not help" and "as good as" allow a difference of this much.
ACCURACY_MARGIN = 0.01
ALPHA = 0.05  # the chance of one or more claims decided wrongly
# The effect that a claim's verdict turns at.
BORDERS = {BETTER: 0.0, NO_BETTER: ACCURACY_MARGIN, NO_WORSE: -ACCURACY_MARGIN}
# The verdict that diverged trials of the first row speak for, and that of the second row.
WORSE = {BETTER: (FAILS, HOLDS), NO_BETTER: (HOLDS, FAILS), NO_WORSE: (FAILS, HOLDS)}


def judge(estimate: Estimate, relation: str) -> str:
    """The verdict that follows from an effect's interval.

    `BETTER` holds when all of it lies above 0 and fails when all of it lies below; `NO_BETTER` has its border at
    plus, `NO_WORSE` at minus the margin.
    """
    border = BORDERS[relation]
    if not np.isfinite([estimate.low, estimate.high]).all():
        return UNDECIDED
    above, below = estimate.low > border, estimate.high < border
    if relation == NO_BETTER:
        above, below = below, above
    return HOLDS if above else FAILS if below else UNDECIDED


def gain(first: Any, second: Any, metric: str) -> Any:
    """How much better `first` is than `second`."""
    return second - first if metric in FALLING else first - second
