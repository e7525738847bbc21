from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import Dataset
from search.evaluate import answers
from search.evaluate.answers import NO_FINDING, Predictor, decide, name_present
from search.evaluate.exported import open_winner
from search.record import OperatingPoint, RunFolder
from search.trial.training import predict
from tests.data_pipeline.conftest import NORMAL


@pytest.fixture(scope="module")
def predictor(exported_run: RunFolder) -> Predictor:
    winner = open_winner(exported_run.url)
    return Predictor(winner.load_model(), winner.signature, winner.point)


def test_answers_are_the_models_on_the_images_of_training(
    predictor: Predictor, small_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PREDICT_BATCH", 4)
    rows = small_dataset.manifest.pool_rows[:10]  # two whole batches and a part of one
    expected = predict(predictor.model, small_dataset.pool.open(), np.array([row.index for row in rows]))
    found = list(predictor.answers([row.path for row in rows]))
    np.testing.assert_allclose([each.answer.probabilities for each in found], expected, atol=1e-6)
    assert [each.answer.file for each in found] == [row.path for row in rows]
    for row, each in zip(rows, found, strict=True):
        np.testing.assert_array_equal(each.pixels, small_dataset.pool.open()[row.index])
        assert each.answer.decision == ("normal", "pneumonia")[int(each.answer.probabilities[1] >= 0.5)]


def test_a_file_that_cannot_be_read_is_an_answer_with_its_reason(predictor: Predictor, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpeg"
    broken.write_bytes(NORMAL[0].read_bytes()[:3000])
    files = [str(broken), str(NORMAL[0]), str(tmp_path / "missing.png"), str(NORMAL[1])]
    found = [each.answer for each in predictor.answers(files)]
    assert [each.file for each in found] == files
    assert [bool(each.reason) for each in found] == [True, False, True, False]
    assert [len(each.probabilities) for each in found] == [0, 2, 0, 2]
    assert found[0].decision == ""
    (alone,) = predictor.answers([str(broken)])
    assert alone.answer == found[0]


def test_another_prevalence_changes_the_probability_and_not_the_decision(predictor: Predictor) -> None:
    (plain,) = predictor.answers([str(NORMAL[0])])
    (rare,) = replace(predictor, shares=(0.98, 0.02)).answers([str(NORMAL[0])])
    p = plain.answer.probabilities[1]
    assert rare.answer.probabilities[1] == pytest.approx(p * 0.02 / (p * 0.02 + (1 - p) * 0.98), rel=1e-5)
    assert rare.answer.decision == plain.answer.decision


def test_the_operating_point_decides_between_two_classes_and_the_largest_of_more() -> None:
    p = np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    assert decide(p, OperatingPoint()).tolist() == [0, 0, 1]
    assert decide(p, OperatingPoint("sensitivity 0.95", 0.3)).tolist() == [0, 1, 1]
    assert decide(np.array([[0.2, 0.35, 0.45]]), OperatingPoint("any", 0.3)).tolist() == [2]


def test_an_image_unlike_those_of_training_has_a_warning(
    predictor: Predictor, small_dataset: Dataset, tmp_path: Path
) -> None:
    import cv2

    inverted = tmp_path / "inverted.png"
    cv2.imwrite(str(inverted), 255 - cv2.imread(str(NORMAL[0]), cv2.IMREAD_GRAYSCALE))
    like, unlike = (each.answer for each in predictor.answers([str(NORMAL[0]), str(inverted)]))
    assert like.warnings == ()
    assert like.unlike < 1 < unlike.unlike
    assert unlike.warnings[0].startswith("unlike the training images: ")
    older = replace(predictor, signature=replace(predictor.signature, typical=None))
    (unknown,) = older.answers([str(inverted)])
    assert (unknown.answer.unlike, unknown.answer.warnings) == (None, ())


def test_the_findings_at_their_thresholds_are_called_present() -> None:
    findings, points = ("mass", "edema", "hernia"), [OperatingPoint("any", t) for t in (0.5, 0.25, 0.9)]
    assert name_present(np.array([0.5, 0.3, 0.8]), findings, points) == "mass|edema"
    assert name_present(np.array([0.4, 0.2, 0.8]), findings, points) == NO_FINDING
