import pytest

from search.record.rungs import rung_epochs


@pytest.mark.parametrize(
    ("max_epochs", "grace_period", "reduction_factor", "expected"),
    [
        (20, 1, 3.0, (1, 3, 9)),
        (9, 1, 3.0, (1, 3)),
        (10, 2, 3.0, (2, 6)),
        (4, 4, 3.0, ()),
        (4, 1, 1.5, (1, 2, 3)),
    ],
)
def test_rungs_are_the_grace_period_times_powers_of_the_reduction_factor(
    max_epochs: int, grace_period: int, reduction_factor: float, expected: tuple[int, ...]
) -> None:
    assert rung_epochs(max_epochs, grace_period, reduction_factor) == expected
