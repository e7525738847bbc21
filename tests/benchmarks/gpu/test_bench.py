"""Speeds and trials side by side, from the times of their epochs."""

from dataclasses import replace

import pytest

from benchmarks.gpu.bench import images_per_second, most_side_by_side
from search import record
from tests.benchmarks.gpu.conftest import make_trial


def test_images_a_second_leave_out_the_first_epoch() -> None:
    assert images_per_second(make_trial(), 300) == 150.0
    lost = replace(make_trial(status=record.FAILED, reason="its process was lost"), epochs=[])
    with pytest.raises(RuntimeError, match="trial 0, failed after 0 epochs: its process was lost"):
        images_per_second(lost, 300)


@pytest.mark.parametrize(("begins", "together"), [((0, 0, 0), 3), ((0, 5, 14), 2), ((0, 14, 28), 1)])
def test_trials_side_by_side_are_counted(begins: tuple[float, ...], together: int) -> None:
    assert most_side_by_side([make_trial(number, begin) for number, begin in enumerate(begins)]) == together
