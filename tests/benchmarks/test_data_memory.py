"""Copies of the images, counted."""

from benchmarks import data_memory


def test_copies_are_counted_with_the_most_processes() -> None:
    shared = {1: [120.0], 2: [150.0], 4: [210.0, 200.0, 190.0]}
    own = {1: [200.0], 2: [400.0], 4: [800.0]}
    found = data_memory.summarize(200.0, shared, own)
    assert [each.ratio for each in found.comparisons] == [0.6, 0.375, 0.25]
    (copies,) = found.targets
    assert copies.quantity.median == 1.0
    assert copies.is_reached
