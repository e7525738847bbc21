"""The benchmark of answers: both ways give the same probabilities; what its figures become."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import predict
from benchmarks.prepare import write_enlarged
from data_pipeline.dataset import prepare_dataset
from data_pipeline.settings import DataSettings
from search.evaluate.answers import Predictor
from search.evaluate.exported import open_winner
from tests.data_pipeline.conftest import NORMAL


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras', while it saves
def test_both_ways_give_the_same_probabilities(tmp_path: Path, image_cache: Path) -> None:
    data = DataSettings(size=predict.SIZE, cache=str(image_cache))
    winner = open_winner(str(predict.write_winner(tmp_path / "winner", prepare_dataset(data), data)))
    write_enlarged([str(path) for path in NORMAL[:4]], tmp_path / "images", files=4)
    files = sorted(map(str, (tmp_path / "images").rglob("*.jpeg")))
    model = winner.load_model()
    answers = [each.answer.probabilities[1] for each in Predictor(model, winner.signature, winner.point).answers(files)]
    assert len(answers) == 4
    np.testing.assert_allclose(answers, predict.keras_loop(files, model)[:, 0], atol=1e-5)


def test_speeds_are_compared() -> None:
    found = predict.summarize(1000, ours=[4.0], loop=[8.0], one=[6.0])
    (comparison,) = found.comparisons
    assert (comparison.ours.median, comparison.ratio, comparison.is_reached) == (250.0, 2.0, True)
    assert found.others[0].median == 6.0
