import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import Dataset
from data_pipeline.shards import HostDisks
from data_pipeline.share import TrainingData, training_data
from data_pipeline.shift import shifted, shifted_copy
from models.cnn import CnnConfig
from models.transfer import TransferConfig
from search.plan.settings import SHARDS, TrainSettings
from search.record import EpochRecord
from search.trial.feed import image_inputs
from search.trial.metrics import score
from search.trial.process import release_memory
from search.trial.training import TrialConfig, TrialModel, assign, finding_loss, predict

CNN = CnnConfig(layers=1, filters=4, batch_norm="conv+flatten", dense=(8,), dropout=0.3)


def make_model(data: TrainingData, epochs: int = 4, model=CNN, seed: int = 5, **train) -> TrialModel:
    small = dataclasses.replace(data, train=data.train[::4], validation=data.validation[::2])
    return TrialModel(
        TrialConfig(model, TrainSettings(**{"precision": "float32", **train}), epochs, seed),
        small,
        image_inputs(small),
    )


def outcome(history: list[EpochRecord]) -> list[tuple]:
    """The numbers of a history that must be reproduced: all but times and memory."""
    return [(e.epoch, e.learning_rate, e.train_loss, e.val_loss, e.val_auc) for e in history]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"augment": "strong"},
        {"weight_average": 0.9, "label_smoothing": 0.1},
        {"augment": "strong", "batch_size": 8, "epoch_images": 30},  # stopped in the middle of a pass
        {"batch_size": 8, "epoch_images": 30, "shuffle": SHARDS},
    ],
)
def test_an_interrupted_trial_ends_as_it_would_have(small_data: TrainingData, change: dict) -> None:
    settings = {"class_weights": "balanced", "plateau": 1, "optimizer": "adamw", **change}
    whole = make_model(small_data, **settings)
    whole.run_epoch()
    whole.run_epoch()
    saved = [array.copy() for array in whole.weights()], [array.copy() for array in whole.optimizer_state()]
    history = list(whole.history)
    whole.run_epoch()
    whole.run_epoch()
    second = make_model(small_data, **settings)
    second.restore(*saved, history)
    second.run_epoch()
    second.run_epoch()
    assert outcome(second.history) == outcome(whole.history)
    assert second.is_done


def test_a_trial_learns_the_same_from_disk(small_dataset: Dataset, tmp_path: Path) -> None:
    disks = HostDisks("no node", str(tmp_path), 0.0)
    histories = []
    for data in (training_data(small_dataset, True), training_data(small_dataset, True, disks=disks)):
        model = make_model(
            dataclasses.replace(data, shifted=shifted_copy(data.images, data.validation[::2])), shuffle=SHARDS
        )
        histories.append([model.run_epoch(), model.run_epoch()])
    memory, disk = histories
    assert outcome(disk) == outcome(memory)
    assert [epoch.shifted_loss for epoch in disk] == [epoch.shifted_loss for epoch in memory] != [None, None]


def test_another_seed_gives_another_history(small_data: TrainingData) -> None:
    one, other = make_model(small_data), make_model(small_data, seed=6)
    assert one.run_epoch().train_loss != other.run_epoch().train_loss


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_trial_with_equal_graphs_starts_anew_in_them(small_data: TrainingData, optimizer: str) -> None:
    settings = {"augment": "strong", "learning_rate": 3e-3, "class_weights": "balanced", "optimizer": optimizer}
    fresh = make_model(small_data, **settings)
    used = make_model(small_data, optimizer=optimizer)
    used.run_epoch()
    traced = used.model.train_function
    assert used.restart(fresh.config, used.data, image_inputs(used.data))
    for model in (fresh, used):
        model.run_epoch()
        model.run_epoch()
    assert outcome(used.history) == outcome(fresh.history)
    assert used.model.train_function is traced


OTHER_GRAPHS = [
    {"batch_size": 16},
    {"epoch_images": 40},
    {"weight_decay": 0.1},
    {"optimizer": "adamw"},
    {"weight_average": 0.9},
    {"label_smoothing": 0.1},
]


@pytest.mark.parametrize("change", OTHER_GRAPHS)
def test_a_trial_with_other_graphs_is_built_anew(small_data: TrainingData, change: dict) -> None:
    model = make_model(small_data)
    assert not model.restart(make_model(small_data, **change).config, model.data, image_inputs(model.data))
    other = make_model(small_data, model=dataclasses.replace(CNN, dropout=0.2))
    assert not model.restart(other.config, model.data, image_inputs(model.data))


def test_labels_are_smoothed(small_data: TrainingData) -> None:
    model = make_model(small_data, label_smoothing=0.2).model
    # The target 1 becomes 0.9.
    expected = -(0.9 * math.log(0.7) + 0.1 * math.log(0.3))
    assert float(model.loss(np.array([[1.0]]), np.array([[0.7]]))) == pytest.approx(expected, rel=1e-4)


def test_the_weights_of_an_epoch_are_the_average_over_its_steps(small_data: TrainingData) -> None:
    plain, averaged = (make_model(small_data, batch_size=96, weight_average=share) for share in (0.0, 0.5))
    before = plain.model.trainable_variables[0].numpy().copy()
    plain.run_epoch()  # one step: 96 images
    averaged.run_epoch()
    np.testing.assert_array_equal(averaged.weights()[0], plain.weights()[0])  # the average of one
    once = plain.weights()[0].copy()
    plain.run_epoch()
    averaged.run_epoch()
    twice = plain.weights()[0]
    assert not np.array_equal(before, once)
    np.testing.assert_allclose(averaged.weights()[0], 0.5 * once + 0.5 * twice, rtol=1e-4, atol=1e-6)


def test_shifted_validation_is_scored_where_there_is_one(small_data: TrainingData) -> None:
    assert make_model(small_data).run_epoch().shifted_loss is None
    copy = shifted(small_data.images, small_data.validation[::2])
    model = make_model(dataclasses.replace(small_data, shifted=copy))
    epoch, labels = model.run_epoch(), small_data.labels[model.data.validation]
    expected = score(labels, predict(model.model, copy, np.arange(len(copy))))
    assert (epoch.shifted_loss, epoch.shifted_auc) == (expected.loss, expected.auc)
    assert epoch.shifted_loss != epoch.val_loss


def test_only_what_is_trained_is_saved(small_data: TrainingData) -> None:
    model = make_model(small_data, model=TransferConfig("vgg16", dense=(4,)))
    sizes = sum(array.size for array in model.weights())
    assert sizes == 512 * 4 + 4 + 4 + 1


def test_a_huge_learning_rate_is_seen_as_divergence(small_data: TrainingData) -> None:
    model = make_model(small_data, model=CnnConfig(filters=4), learning_rate=1e30)
    model.run_epoch()
    assert model.is_diverged


def test_predictions_are_probabilities_of_every_class(small_data: TrainingData) -> None:
    model = make_model(small_data)
    p = predict(model.model, small_data.images, small_data.validation[:70])
    assert p.shape == (70, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def test_images_stay_shared_and_unchanged(small_data: TrainingData) -> None:
    model = make_model(small_data, augment="report")
    model.run_epoch()
    assert model.data.images is small_data.images
    assert not small_data.images.flags.writeable


def test_memory_stays_flat_over_trials(small_data: TrainingData) -> None:
    from tensorflow.python.framework import ops

    def traced() -> int:
        return sum(name.startswith("CustomGradient-") for name in ops.gradient_registry.list())

    for _ in range(2):
        model = make_model(small_data)
        model.run_epoch()
        assert traced() > 0
        del model
        release_memory()
        assert traced() == 0


def test_wrong_weights_are_refused(small_data: TrainingData) -> None:
    model = make_model(small_data)
    with pytest.raises(ValueError, match="belong to another configuration"):
        assign(model.model.weights, [np.zeros(3)])


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_trial_tells_several_findings(findings_dataset: Dataset, class_weights: str) -> None:
    model = make_model(training_data(findings_dataset), class_weights=class_weights, learning_rate=0.01)
    for _ in range(3):
        last = model.run_epoch()
    rows = model.data.validation
    p = predict(model.model, model.data.images, rows)
    assert p.shape == (len(rows), 3)
    expected = score(model.data.labels[rows], p)
    assert last.val_loss == pytest.approx(expected.loss)
    assert last.val_auc == pytest.approx(expected.auc)
    dark = expected.findings[2]
    assert dark.auc is not None
    assert dark.auc > 0.7
    assert last.val_calibrated_loss is None
    assert not model.is_diverged


def test_the_loss_of_findings_is_keras_own_where_all_weigh_the_same() -> None:
    import keras

    rng = np.random.default_rng(0)
    shown, p = rng.integers(0, 2, (6, 3)).astype(np.float32), rng.random((6, 3)).astype(np.float32)
    options = {"label_smoothing": 0.1}
    ours, theirs = finding_loss()(**options), keras.losses.BinaryCrossentropy(**options)
    assert float(ours(shown, p)) == pytest.approx(float(theirs(shown, p)))
    alone = np.zeros((6, 3), np.float32)
    alone[:, 1] = 3  # the mean over three findings, of which one counts
    assert float(ours(shown, p, alone)) == pytest.approx(float(theirs(shown[:, [1]], p[:, [1]])))
