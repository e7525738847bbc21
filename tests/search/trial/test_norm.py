import keras
import numpy as np
import pytest

from data_pipeline.share import TrainingData
from models.registry import model_config
from search.plan.settings import KERAS_NORM_MOMENTUM, TrainSettings
from search.record import TrialRecord
from search.trial.feed import image_inputs
from search.trial.norm import norm_momentum
from search.trial.training import TrialConfig, TrialModel, predict, trial_config

NORMED = {"layers": 2, "filters": 4, "batch_norm": "block", "pooling": "average"}


@pytest.mark.parametrize("steps", [1, 24, 139, 400])
def test_one_epoch_replaces_the_initial_statistics(steps: int) -> None:
    assert norm_momentum(TrainSettings(), steps) ** steps == pytest.approx(0.01)


def test_a_long_epoch_has_keras_value_and_a_set_one_stays() -> None:
    assert norm_momentum(TrainSettings(), 10_000) == KERAS_NORM_MOMENTUM
    assert norm_momentum(TrainSettings(norm_momentum=0.5), 24) == 0.5


def test_published_rows_keep_keras_value() -> None:
    parameters = {"backbone": "cnn", **NORMED}
    assert trial_config(TrialRecord(0, parameters, 0, 1), TrainSettings()).train.norm_momentum is None
    row = trial_config(TrialRecord(0, parameters, 0, 1, row="table2/1"), TrainSettings())
    assert row.train.norm_momentum == KERAS_NORM_MOMENTUM


@pytest.mark.parametrize(("frozen", "thawed"), [("all", False), ("early", True), ("none", True)])
def test_every_batch_norm_that_trains_has_the_momentum(frozen: str, thawed: bool, small_data: TrainingData) -> None:
    config = model_config("mobilenetv2", {"frozen": frozen})
    train = TrainSettings(precision="float32", norm_momentum=0.5)
    model = TrialModel(TrialConfig(config, train, 1, 0), small_data, image_inputs(small_data)).model
    layers = model._flatten_layers(include_self=False, recursive=True)
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert {layer.momentum for layer in norms if layer.trainable} == ({0.5} if thawed else set())
    assert {layer.momentum for layer in norms if not layer.trainable} == (set() if frozen == "none" else {0.999})


def test_validation_after_one_epoch_sees_the_statistics_of_training(small_data: TrainingData) -> None:
    """With Keras' momentum, the same weights call validation images by statistics that are mostly initial."""
    losses = {}
    for momentum in (None, KERAS_NORM_MOMENTUM):
        train = TrainSettings(learning_rate=1e-3, batch_size=32, precision="float32", norm_momentum=momentum)
        model = TrialModel(TrialConfig(model_config("cnn", NORMED), train, 1, 0), small_data, image_inputs(small_data))
        model.run_epoch()
        rows = small_data.train
        layer = next(each for each in model.model.layers if isinstance(each, keras.layers.BatchNormalization))
        losses[momentum] = np.abs(np.asarray(layer.moving_variance) - 1).mean()
        assert np.isfinite(predict(model.model, small_data.images, rows)).all()
    assert losses[None] > 2 * losses[KERAS_NORM_MOMENTUM]  # far from the initial value, 1
