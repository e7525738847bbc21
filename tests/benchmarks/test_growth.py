"""Curves, their straight lines, and a share of a data set."""

from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.growth import IMAGES, NODES, TRIALS, Curve
from benchmarks.measurement import Machine
from data_pipeline.dataset import list_dataset
from data_pipeline.settings import DataSettings

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)
CURVES = {
    TRIALS: Curve({1: [10.0, 11.0, 12.0], 2: [20.0, 21.0, 22.0]}, [5.0]),
    IMAGES: Curve({1: [10.0], 2: [18.0], 4: [34.0]}, [5.0]),
    NODES: Curve({1: [40.0], 2: [21.0], 4: [30.0]}, [5.0]),
}


def test_straight_lines_rise_with_work_and_fall_until_every_core_has_a_node() -> None:
    assert growth.straight_line(TRIALS, CURVES[TRIALS], 2, cores=2) == 22.0
    assert growth.straight_line(NODES, CURVES[NODES], 2, cores=2) == 20.0
    assert growth.straight_line(NODES, CURVES[NODES], 4, cores=2) == 20.0


def test_what_does_not_grow_is_told_apart() -> None:
    assert growth.fit_line(CURVES[IMAGES]) == pytest.approx((2.0, 8.0))


def test_every_point_but_the_first_has_its_line() -> None:
    found = growth.summarize(CURVES, MACHINE)
    assert {each.ours.name: each.is_reached for each in found.comparisons} == {
        "trials x 2": True,
        "images x 2": True,
        "images x 4": True,
        "nodes x 2": True,
        "nodes x 4": False,
    }
    assert "A line fitted over images: 2.0 s that do not grow, and 8.0 s for each time x 1." in found.notes


def test_a_share_of_the_images_keeps_their_layout(tmp_path: Path) -> None:
    growth.copy_share(None, 4, tmp_path)
    whole, share = list_dataset(DataSettings()), list_dataset(DataSettings(root=str(tmp_path)))
    assert len(share.rows) == -(-len(whole.rows) // 4)
    assert {row.image_id for row in share.rows} <= {row.image_id for row in whole.rows}
    assert share.test_rows
    assert all(min(counts) > 0 for counts in share.counts().values())
