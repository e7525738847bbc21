"""Figures and their bounds."""

import pytest

from benchmarks.measurement import Quantity
from tests.benchmarks.made_up import MEASUREMENT


def test_a_quantity_has_a_median_and_a_spread() -> None:
    assert MEASUREMENT.comparisons[0].ours.median == 2.0
    assert MEASUREMENT.comparisons[0].peer.spread == (4.0, 40.0)


def test_a_quantity_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="none for 'speed'"):
        Quantity("speed", "s", ())


def test_bounds_hold_on_the_ratio_of_medians() -> None:
    faster, throughput = MEASUREMENT.comparisons
    assert (faster.ratio, faster.is_reached) == (0.5, True)
    assert (throughput.ratio, throughput.is_reached) == (1.8, False)
    assert MEASUREMENT.targets[0].is_reached  # 9 of 10, though one repeat is above
