"""What smaller images tell of a trial's end."""

import pytest

from benchmarks.first_rung import Curves
from benchmarks.image_sizes import summarize
from tests.benchmarks.test_first_rung import trial

METRIC = "shifted_calibrated_loss"


def test_as_many_pixels_of_small_images_are_compared_with_the_first_rung() -> None:
    count = 12
    own = [trial(n, METRIC, [(5 * n) % count, n - 50.0, n - 50.0, n - 100.0]) for n in range(count)]
    small = [trial(n, METRIC, [n % 3, n % 3, n % 3 - 50.0, n - 200.0]) for n in range(count)]
    found = summarize(Curves(own, 2), Curves(small, 2), 78)  # 64 x 64 images are two thirds of the pixels
    known = {each.name: each.median for each in found.others}
    assert list(known) == [f"64 pixels, after epoch {epoch}" for epoch in (1, 2, 3, 4)] + [
        "78 pixels, after epoch 1",
        "78 pixels, after epoch 2",
    ]
    assert known["64 pixels, after epoch 4"] == known["78 pixels, after epoch 2"] == pytest.approx(1.0)
    (only,) = found.targets
    assert only.quantity.name == "64 pixels after epoch 3 less 78 pixels after epoch 2"
    assert only.quantity.median == pytest.approx(known["64 pixels, after epoch 3"] - 1.0)
