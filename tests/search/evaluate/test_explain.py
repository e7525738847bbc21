import json
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.dataset import Dataset
from search.evaluate.answers import NO_FINDING, Answer, Answered
from search.evaluate.explain import EXPLAINED, Explainer
from search.evaluate.exported import OperatingPoint, open_winner
from search.evaluate.gallery import grad_cam, overlay
from search.evaluate.similar import open_training_images
from search.evaluate.winner import best_member
from search.record import RunFolder

CLASSES = ("normal", "pneumonia")


def test_an_answer_has_its_pictures(exported_run: RunFolder, small_dataset: Dataset, tmp_path: Path) -> None:
    model = best_member(open_winner(exported_run.url).load_model())
    prepared = small_dataset.pool
    training = open_training_images(exported_run, prepared.fingerprint, prepared.path.parent)
    image = prepared.open()[3]
    explainer = Explainer(tmp_path, model, CLASSES, (0.98, 0.02), OperatingPoint("any", 0.3), training, most=2)
    explainer.explain(Answered(Answer("lost.png", reason="empty file")))
    explainer.explain(Answered(Answer("a b/../ü?.dcm", (0.2, 0.8), "pneumonia", 0.5, ("the view X",)), image))
    explainer.close()
    found = json.loads((tmp_path / EXPLAINED).read_text())
    assert (found["classes"], found["shares"]) == (list(CLASSES), [0.98, 0.02])
    assert found["operating_point"] == {"name": "any", "threshold": 0.3, "chosen_on": ""}
    lost, seen = found["files"]
    assert (lost["answer"]["reason"], lost["picture"], lost["similar"]) == ("empty file", "", [])
    assert seen["answer"]["probabilities"] == [0.2, 0.8]
    pictures = [seen["picture"], seen["cam"], *(each["picture"] for each in seen["similar"])]
    assert sorted(pictures) == sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(pictures) == 4
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / seen["picture"]), cv2.IMREAD_GRAYSCALE), image[..., 0])
    heat = grad_cam(model, image[None], np.array([1]))[0]
    shown = cv2.cvtColor(cv2.imread(str(tmp_path / seen["cam"])), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(shown, overlay(image, heat))


def test_of_findings_a_picture_is_of_the_foremost_that_is_called_present(
    exported_run: RunFolder, small_dataset: Dataset, tmp_path: Path
) -> None:
    model, image = best_member(open_winner(exported_run.url).load_model()), small_dataset.pool.open()[3]
    points = OperatingPoint("any", 0.9, "validation"), OperatingPoint("any", 0.1, "validation")
    explainer = Explainer(tmp_path, model, ("mass", "edema"), (), OperatingPoint(), finding_points=points)
    for probabilities, decision in (((0.8, 0.2), "edema"), ((0.8, 0.05), NO_FINDING)):
        explainer.explain(Answered(Answer("a.png", probabilities, decision), image))
    assert [each.cam_of for each in explainer.explained] == ["edema", "mass"]
