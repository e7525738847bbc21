"""Enlarged images, and the loop that ours is measured against."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import prepare
from benchmarks.measurement import Machine
from data_pipeline.dataset import list_dataset
from data_pipeline.folders import scan_folder
from data_pipeline.preprocess import ImageSettings, prepare_images
from data_pipeline.settings import DataSettings

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)


def test_the_loop_makes_the_same_images_as_ours(tmp_path: Path) -> None:
    sources = [row.path for row in list_dataset(DataSettings()).rows[:3]]
    megapixels = prepare.write_enlarged(sources, tmp_path / "images", files=6)
    rows = scan_folder(tmp_path / "images", "folders", positive=None).rows
    assert len({row.content_hash for row in rows}) == 6
    assert 6 * 1.0 < megapixels < 6 * 1.6
    ours = prepare_images(rows, ImageSettings(size=64), tmp_path / "cache")
    assert all(abs(fact.width - 1300) <= 100 and abs(fact.height - 1000) <= 100 for fact in ours.facts)
    np.testing.assert_array_equal(ours.open()[..., 0], prepare.opencv_loop([row.path for row in rows], 64))


def test_speeds_and_their_ratio() -> None:
    found = prepare.summarize(1000, 1300.0, ours=[5.0], loop=[9.5], listed=[1.0], machine=MACHINE)
    (row,) = found.comparisons
    assert (row.ours.median, row.bound.value) == (200.0, 1.8)
    assert row.ratio == pytest.approx(1.9)
    assert row.is_reached
    assert "462 images/s" in found.physical_limit  # 2 cores x 300 megapixels/s of 1.3 megapixels
