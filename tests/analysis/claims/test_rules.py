import pytest

from analysis.claims.claims import BETTER, NO_BETTER, NO_WORSE
from analysis.claims.rules import FAILS, HOLDS, UNDECIDED, judge
from analysis.statistics import Estimate


@pytest.mark.parametrize(
    ("relation", "low", "high", "verdict"),
    [
        (BETTER, 0.01, 0.05, HOLDS),
        (BETTER, -0.05, -0.01, FAILS),
        (BETTER, -0.01, 0.05, UNDECIDED),
        (NO_BETTER, -0.05, 0.005, HOLDS),
        (NO_BETTER, 0.02, 0.05, FAILS),
        (NO_BETTER, 0.0, 0.05, UNDECIDED),
        (NO_WORSE, -0.005, 0.05, HOLDS),
        (NO_WORSE, -0.05, -0.02, FAILS),
        (NO_WORSE, -0.05, 0.05, UNDECIDED),
        (BETTER, float("nan"), float("nan"), UNDECIDED),
    ],
)
def test_verdicts_follow_from_the_interval(relation, low, high, verdict):
    assert judge(Estimate((low + high) / 2, low, high), relation) == verdict
