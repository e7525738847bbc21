"""The winner in other formats: converted, and held to the original."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import Dataset
from models.cnn import CnnConfig
from models.registry import Findings, build_model
from search.evaluate.exported import open_winner
from search.evaluate.winner import winner_model
from search.export import convert
from search.export.__main__ import main
from search.export.convert import LITERT, ONNX, ParityImages, check_parity, parity_images
from search.plan.settings import SettingsError
from search.record import FindingCalibration, RunFolder, Winner


@pytest.fixture(autouse=True)
def process_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's threads can be set once in a process, which other tests have done."""
    monkeypatch.setattr(convert, "prepare_process", lambda threads: None)


@pytest.mark.parametrize("target_format", [ONNX, LITERT], ids=lambda each: each.name)
def test_a_converted_winner_answers_as_the_original(
    target_format: convert.Format,
    exported_run: RunFolder,
    small_dataset: Dataset,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cache, target = small_dataset.pool.path.parent, tmp_path / "new" / "folder"
    assert main([exported_run.url, "--to", target_format.name, str(target), "--cache", str(cache)]) == 0
    assert "Compared on 96 validation images" in capfd.readouterr().out
    assert (target / "signature.json").read_bytes() == exported_run.read("winner", "signature.json")
    images = np.random.default_rng(1).random((3, 32, 32, 1), np.float32)
    expected = open_winner(exported_run.url).load_model().predict_on_batch(images)
    np.testing.assert_allclose(target_format.run(target / target_format.file, images), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras', while it saves
@pytest.mark.parametrize("target_format", [ONNX, LITERT], ids=lambda each: each.name)
@pytest.mark.parametrize(
    "findings", [(), (FindingCalibration(0.4, -1.0), FindingCalibration(), FindingCalibration(1, 2))]
)
def test_a_calibrated_winner_of_several_outputs_is_converted(
    target_format: convert.Format,
    findings: tuple[FindingCalibration, ...],
    exported_run: RunFolder,
    tmp_path: Path,
) -> None:
    shutil.copytree(exported_run.child("winner"), tmp_path / "copy")
    member = build_model(CnnConfig(layers=1, filters=2), (32, 32, 1), Findings(3) if findings else 3, None, seed=0)
    winner = Winner((0,), "validation", 0.7, (0.0, 0.5, -0.3), (), finding_calibrations=findings)
    winner_model([member], winner).save(tmp_path / "copy" / "model.keras")
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 1), np.uint8)
    opened = open_winner(str(tmp_path / "copy"))
    assert convert.convert(opened, target_format, tmp_path / target_format.file, pixels) < 1e-5


def test_images_to_compare_on_are_of_all_validation(exported_run: RunFolder, small_dataset: Dataset) -> None:
    images = parity_images(open_winner(exported_run.url), small_dataset.pool.path.parent)
    assert images.source == "validation"
    pool = small_dataset.pool.open()
    validation = small_dataset.split.validation
    places = np.linspace(0, len(validation) - 1, min(100, len(validation))).astype(int)
    rows = [small_dataset.manifest.pool_rows[at].index for at in np.sort(validation)[places]]
    np.testing.assert_array_equal(images.pixels, pool[rows])


def test_without_the_cache_images_are_random(exported_run: RunFolder, tmp_path: Path) -> None:
    images = parity_images(open_winner(exported_run.url), tmp_path)
    assert (images.source, images.pixels.shape, images.pixels.dtype) == ("random", (100, 32, 32, 1), np.uint8)
    assert images.pixels.std() > 50


def test_a_model_that_answers_differently_is_not_kept(exported_run: RunFolder, tmp_path: Path) -> None:
    shifted = dataclasses.replace(ONNX, run=lambda path, images: ONNX.run(path, images) + np.float32(0.01))
    with pytest.raises(SettingsError, match=r"within 1e-04\. Received: a difference of 1\.0e-02 on 100 random images"):
        convert.convert_winner(shifted, tmp_path / "no cache", exported_run.url, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_a_difference_above_the_tolerance_is_an_error(difference: float) -> None:
    images = ParityImages("random", np.zeros((2, 8, 8, 1), np.uint8))
    check_parity(ONNX, 1e-4, images)
    with pytest.raises(SettingsError, match=r"use model\.keras, or another format"):
        check_parity(ONNX, difference, images)


def test_a_layer_that_the_format_does_not_have_is_one_message(exported_run: RunFolder, tmp_path: Path) -> None:
    def refuse(path: Path, images: convert.Images) -> convert.Outputs:
        raise RuntimeError("no such layer\nand more")

    broken = dataclasses.replace(LITERT, run=refuse)
    with pytest.raises(SettingsError, match=r"\(RuntimeError: no such layer\)\. Use its model\.keras"):
        convert.convert_winner(broken, tmp_path, exported_run.url, tmp_path)


def test_a_copy_of_the_winners_folder_is_converted_too(exported_run: RunFolder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported_run.child("winner"), copy)
    lines = convert.convert_winner(ONNX, tmp_path, str(copy), tmp_path)
    assert "100 random images" in lines[1]
    assert json.loads((tmp_path / "signature.json").read_text())["classes"] == ["normal", "pneumonia"]
