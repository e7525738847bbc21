import dataclasses

import numpy as np
import pytest

from data_pipeline.share import TrainingData
from search.plan.settings import TrainSettings
from search.trial.feed import Feed, Inputs, image_inputs, one_hot


def epoch_of(feed: Feed, epoch: int) -> list[tuple[np.ndarray, ...]]:
    """The batches of one epoch."""
    feed.begin_epoch(epoch)
    return [tuple(part.numpy() for part in batch) for batch in feed.build_dataset()]


def is_equal(one: list[tuple[np.ndarray, ...]], other: list[tuple[np.ndarray, ...]]) -> bool:
    assert len(one) == len(other) > 1
    return all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.fixture(scope="module")
def data(small_data: TrainingData) -> TrainingData:
    return dataclasses.replace(small_data, train=small_data.train[::4][:50])


def test_an_epoch_feeds_every_training_image_once(data: TrainingData) -> None:
    feed = Feed(TrainSettings(batch_size=16, class_weights="balanced"), 5, data, image_inputs(data))
    batches = epoch_of(feed, 1)
    assert [len(images) for images, _, _ in batches] == [16, 16, 16, 2]
    assert feed.steps == 4
    images, targets, weights = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert (images.dtype, images.min() >= 0, images.max() <= 1) == (np.float32, True, True)
    whole = np.sort((data.images[data.train] / np.float32(255)).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(np.sort(images.sum(axis=(1, 2, 3))), whole, rtol=1e-5)
    labels = data.labels[data.train]
    assert targets.sum() == (labels == 1).sum()
    # Balanced: the weights of both classes add up to the same.
    assert weights[targets[:, 0] == 1].sum() == pytest.approx(weights[targets[:, 0] == 0].sum(), rel=1e-5)


@pytest.mark.parametrize("augment", ["none", "strong"])
def test_batches_follow_from_seed_and_epoch(data: TrainingData, augment: str) -> None:
    train = TrainSettings(batch_size=16, augment=augment)
    feed = Feed(train, 5, data, image_inputs(data))
    second = epoch_of(feed, 2)
    assert not is_equal(epoch_of(feed, 1), second)
    assert is_equal(epoch_of(feed, 2), second)
    assert is_equal(epoch_of(Feed(train, 5, data, image_inputs(data)), 2), second)
    assert not is_equal(epoch_of(Feed(train, 6, data, image_inputs(data)), 2), second)


def test_a_dataset_once_built_feeds_the_trial_of_the_last_restart(data: TrainingData) -> None:
    feed = Feed(TrainSettings(batch_size=16), 5, data, image_inputs(data))
    dataset = feed.build_dataset()
    feed.restart(TrainSettings(batch_size=16), 6, data, image_inputs(data))
    feed.begin_epoch(1)
    fed = [tuple(part.numpy() for part in batch) for batch in dataset]
    assert is_equal(fed, epoch_of(Feed(TrainSettings(batch_size=16), 6, data, image_inputs(data)), 1))


def test_features_are_neither_augmented_nor_scaled(data: TrainingData) -> None:
    features = np.arange(len(data.images), dtype=np.float16)[:, None] * 2
    inputs = Inputs((features,), data.train, features)
    batches = epoch_of(Feed(TrainSettings(batch_size=16, augment="strong"), 5, data, inputs), 1)
    fed = np.concatenate([values for values, _, _ in batches])
    assert fed.dtype == np.float32
    np.testing.assert_array_equal(np.sort(fed[:, 0]), np.sort(features[data.train, 0].astype(np.float32)))


def test_targets() -> None:
    np.testing.assert_array_equal(one_hot(np.array([0, 1]), 2), [[0], [1]])
    np.testing.assert_array_equal(one_hot(np.array([2]), 3), [[0, 0, 1]])
