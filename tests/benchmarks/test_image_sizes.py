"""What smaller images tell of a trial's end."""

import pytest

from benchmarks.first_rung import Curves
from benchmarks.image_sizes import summarize
from tests.benchmarks.test_first_rung import trial

METRIC = "shifted_calibrated_loss"


def test_a_whole_training_with_small_images_is_compared_with_the_first_rung() -> None:
    count = 12
    own = [trial(n, METRIC, [(5 * n) % count, (5 * n) % count, n - 100.0]) for n in range(count)]
    small = [trial(n, METRIC, [n % 3, (5 * n) % count - 50.0, n - 200.0]) for n in range(count)]
    found = summarize(Curves(own, 2), Curves(small, 2))
    (only,) = found.comparisons
    assert (only.ours.median, only.ours.name) == (pytest.approx(1.0), "48 pixels, after epoch 3")
    assert (only.peer.median < 0.9, only.peer.name) == (True, "own size, after epoch 2")
    assert [each.name for each in found.others][:3] == [
        "48 pixels, after epoch 2",
        "48 pixels, after epoch 1",
        "own size, after epoch 1",
    ]
