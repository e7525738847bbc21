"""Features of frozen backbones: equal to running the backbone, shared through Ray, computed once."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline.share import TrainingData
from data_pipeline.shift import shifted
from models.backbones import BACKBONES, Backbone
from models.cnn import CnnConfig
from models.registry import FAMILIES
from models.transfer import TransferConfig
from search.plan.settings import TrainSettings
from search.trial import features as backbones
from search.trial.feature_store import BLOCK, FeatureStore
from search.trial.features import Backbones, build_extractor, trial_inputs
from search.trial.feed import Inputs, image_inputs
from search.trial.training import TrialConfig, TrialModel, predict
from tests.own_ray import own_ray


@pytest.fixture(autouse=True)
def small_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone as ResNets are, with batch norm and a shortcut on both sides of its cut, whose graphs are small."""
    import keras

    def block(x: Any, name: str) -> Any:
        y = keras.layers.BatchNormalization()(keras.layers.Conv2D(16, 3, padding="same")(x))
        return keras.layers.Activation("relu", name=name)(keras.layers.Add()([x, y]))

    def build(include_top: bool, weights: None, input_shape: tuple[int, int, int]) -> Any:
        image = keras.Input(input_shape)
        stem = keras.layers.BatchNormalization()(keras.layers.Conv2D(16, 8, strides=8)(image))
        return keras.Model(image, block(block(stem, "cut"), "last"))

    monkeypatch.setattr(keras.applications, "SmallResidual", build, raising=False)
    monkeypatch.setitem(BACKBONES, "small_residual", Backbone("resnet", "SmallResidual", 0, 0, 16, "cut"))
    monkeypatch.setitem(FAMILIES, "small_residual", FAMILIES["resnet50"])


@pytest.fixture(scope="module")
def data(small_data: TrainingData) -> TrainingData:
    """100 images of the sample at 32 x 32."""
    images = small_data.images[:100]
    labels = np.arange(100) % 2
    return dataclasses.replace(
        small_data, images=images, labels=labels, train=np.arange(20, 100), validation=np.arange(20)
    )


def make_config(model: Any, **train: Any) -> TrialConfig:
    return TrialConfig(
        model, TrainSettings(**{"batch_size": 16, "precision": "float32", **train}), max_epochs=3, seed=5
    )


# Three digits are enough for heads; a thawed backbone with random weights makes more of the fourth in two epochs.
ERRORS = {"float32": 1e-3, "float16": 2e-2}
PARITY = [
    ({"backbone": "vgg16", "dense": (8,), "dropout": 0.3}, ERRORS),
    ({"backbone": "vgg16", "pooling": "flatten", "dense": ()}, ERRORS),
    ({"backbone": "small_residual", "frozen": "cut", "dense": (4,)}, {"float32": 1e-3}),
]


@pytest.mark.parametrize(("model", "errors"), PARITY, ids=str)
def test_training_on_features_is_training_on_images(
    model: dict[str, Any], errors: dict[str, float], data: TrainingData
) -> None:
    config = make_config(TransferConfig(**model), class_weights="balanced")
    extracted = build_extractor(config, data.images.shape[1:], None)(data.images)
    on_images = train_twice(TrialModel(config, data, image_inputs(data)))
    for dtype, error in errors.items():
        features = extracted.astype(dtype)
        on_features = train_twice(TrialModel(config, data, Inputs((features,), data.train, features)))
        assert_alike(on_images, on_features, error)
        np.testing.assert_allclose(
            predict(on_images.model, data.images, data.validation),
            predict(on_features.model, features, data.validation),
            atol=error,
        )


def train_twice(trial: TrialModel) -> TrialModel:
    """The trial after two epochs."""
    trial.run_epoch()
    trial.run_epoch()
    return trial


def assert_alike(on_images: TrialModel, on_features: TrialModel, error: float) -> None:
    """The losses of every epoch are the same within the error, and so are the shapes of the weights."""
    for one, other in zip(on_images.history, on_features.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=error)
        assert one.val_loss == pytest.approx(other.val_loss, rel=error)
    for one, other in zip(on_images.weights(), on_features.weights(), strict=True):
        assert one.shape == other.shape


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with own_ray():
        yield


@pytest.fixture
def shared(local_ray: None, tmp_path: Path) -> Backbones:
    import ray

    store = ray.remote(num_cpus=0)(FeatureStore).remote(str(tmp_path), 1e9, 1e9)
    return Backbones({}, store, "float16", views=2)


class CountingExtractor:
    """Stands for a backbone: the mean of each image, and how many images it was asked for."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.images += len(images)
        return images.mean(axis=(1, 2), dtype=np.float32)


@pytest.fixture
def extractor(monkeypatch: pytest.MonkeyPatch) -> CountingExtractor:
    counting = CountingExtractor()
    monkeypatch.setattr(backbones, "build_extractor", lambda config, shape, weights: counting)
    return counting


def test_features_are_computed_once_and_shared(
    shared: Backbones, extractor: CountingExtractor, data: TrainingData
) -> None:
    model = TransferConfig("vgg16")
    one = trial_inputs(shared, make_config(model), data)
    assert extractor.images == len(data.images) > BLOCK
    same = trial_inputs(shared, make_config(dataclasses.replace(model, dense=(7,)), learning_rate=0.1), data)
    assert extractor.images == len(data.images)
    assert not same.plain.flags.writeable
    np.testing.assert_array_equal(one.plain, data.images.mean(axis=(1, 2)).astype(np.float16))
    np.testing.assert_array_equal(same.plain, one.plain)
    trial_inputs(shared, make_config(dataclasses.replace(model, frozen="block4_pool")), data)
    assert extractor.images == 2 * len(data.images)


def test_an_augmentation_is_a_few_views_each_computed_when_first_needed(
    shared: Backbones, extractor: CountingExtractor, data: TrainingData
) -> None:
    inputs = trial_inputs(shared, make_config(TransferConfig("vgg16"), augment="report"), data)
    assert extractor.images == len(data.images)
    assert len(inputs.views) == 2
    first = inputs.views[0]
    assert extractor.images == len(data.images) + len(data.train)
    assert inputs.views[0] is first
    assert first.shape == (len(data.train), 1)
    assert np.abs(first - inputs.views[1]).max() > 0
    assert np.abs(first - inputs.plain[data.train]).max() > 0
    other = trial_inputs(shared, make_config(TransferConfig("vgg16"), augment="report"), data)
    np.testing.assert_array_equal(other.views[1], inputs.views[1])
    assert extractor.images == len(data.images) + 2 * len(data.train)


def test_the_shifted_copy_has_features_of_its_own(
    shared: Backbones, extractor: CountingExtractor, data: TrainingData
) -> None:
    copy = shifted(data.images, data.validation)
    inputs = trial_inputs(shared, make_config(TransferConfig("vgg16")), dataclasses.replace(data, shifted=copy))
    assert extractor.images == len(data.images) + len(copy)
    assert inputs.shifted is not None
    np.testing.assert_array_equal(inputs.shifted, copy.mean(axis=(1, 2)).astype(np.float16))


def test_features_without_room_in_the_object_store_are_read_from_their_file_or_from_a_copy(
    local_ray: None, extractor: CountingExtractor, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second host does not see the driver's folder, and copies them through Ray."""
    import ray

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = ray.remote(num_cpus=0)(FeatureStore).remote(str(tmp_path / "driver"), 1e9, 0)
    for folder in (str(tmp_path / "driver"), "/proc/features"):
        host = Backbones({}, store, "float16", folder=folder, disk=1e9)
        found = trial_inputs(host, make_config(TransferConfig("vgg16")), data).plain
        assert extractor.images == len(data.images) > BLOCK
        np.testing.assert_array_equal(found, data.images.mean(axis=(1, 2)).astype(np.float16))
    (one, copy) = sorted(tmp_path.rglob("*.npy"))
    assert (one.parent.name, copy.parent.parent.name) == ("driver", f"xray-search-{os.getuid()}")
    assert one.read_bytes() == copy.read_bytes()


def test_epochs_take_the_views_in_turn(data: TrainingData) -> None:
    seen = []

    def view(number: int) -> NDArray[np.float32]:
        seen.append(number)
        return np.zeros((len(data.train), 512), np.float32)

    inputs = Inputs(backbones.Views(view, 2), np.arange(len(data.train)), np.zeros((len(data.images), 512), np.float32))
    trial = TrialModel(make_config(TransferConfig("vgg16"), augment="report"), data, inputs)
    trial.run_epoch()
    assert seen == [0]
    trial.run_epoch()
    trial.run_epoch()
    assert seen == [0, 1]


def test_what_has_no_frozen_part_or_no_store_trains_on_images(data: TrainingData, shared: Backbones) -> None:
    for model in (CnnConfig(), TransferConfig("vgg16", frozen="none")):
        assert trial_inputs(shared, make_config(model), data).are_images
    assert trial_inputs(Backbones({}), make_config(TransferConfig("vgg16")), data).are_images
