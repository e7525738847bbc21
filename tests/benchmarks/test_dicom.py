"""The benchmark of DICOM files: what it writes, what both ways read, what its figures become."""

from pathlib import Path

import numpy as np

from benchmarks import dicom
from data_pipeline.folders import scan_folder
from data_pipeline.identity import Pseudonyms
from data_pipeline.image_file import FileRules
from data_pipeline.preprocess import ImageSettings, prepare_images
from tests.benchmarks.test_prepare import MACHINE
from tests.data_pipeline.conftest import NORMAL


def test_both_ways_make_the_same_images(tmp_path: Path) -> None:
    dicom.write_dicom([str(path) for path in NORMAL[:10]], tmp_path / "images", files=10)
    rows = scan_folder(tmp_path / "images", "folders", positive=None, rules=FileRules((), Pseudonyms(tmp_path))).rows
    assert len(rows) == 10
    ours = prepare_images(rows, ImageSettings(size=64), tmp_path / "cache").open()[..., 0]
    loop = dicom.pydicom_loop([row.path for row in rows], 64)
    assert np.abs(ours.astype(int) - loop).max() <= 1
    assert loop.std() > 20


def test_speeds_are_compared(tmp_path: Path) -> None:
    found = dicom.summarize(1000, ours=[5.0], loop=[20.0], listed=[1.0], machine=MACHINE)
    (comparison,) = found.comparisons
    assert (comparison.ours.median, comparison.ratio) == (200.0, 4.0)
    assert comparison.bound.value == round(0.9 * MACHINE.cores, 2)
