import dataclasses

import numpy as np
import pytest

from data_pipeline import shards
from data_pipeline.shards import images_of_shard, shuffled_shards
from data_pipeline.share import TrainingData
from search.plan.settings import SHARDS, TrainSettings
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


def fed_places(data: TrainingData, train: TrainSettings, epochs: int) -> list[np.ndarray]:
    """The rows of the training images in each batch of so many epochs, one epoch after the other."""
    rows = np.arange(len(data.images), dtype=np.float32)[:, None]
    feed = Feed(train, 5, data, Inputs((rows,), data.train, rows))
    return [batch[0][:, 0].astype(int) for epoch in range(1, epochs + 1) for batch in epoch_of(feed, epoch)]


@pytest.mark.parametrize(
    ("epoch_images", "steps"),
    [(25, 4), (20, 3), (8, 1)],  # of 7 batches a pass
)
def test_parts_of_a_pass_feed_every_training_image_once(data: TrainingData, epoch_images: int, steps: int) -> None:
    train = TrainSettings(batch_size=8, epoch_images=epoch_images)
    assert Feed(train, 5, data, image_inputs(data)).steps == steps
    parts, whole = fed_places(data, train, 21 // steps), fed_places(data, TrainSettings(batch_size=8), 3)
    assert len(parts) == 21 // steps * steps >= 2 * 7
    for part, batch in zip(parts, whole, strict=False):
        np.testing.assert_array_equal(part, batch)
    for begin in (0, 7):
        np.testing.assert_array_equal(np.sort(np.concatenate(parts[begin : begin + 7])), np.sort(data.train))


@pytest.mark.parametrize("epoch_images", [0, None, 50, 8_192])
def test_an_epoch_of_a_small_set_is_a_pass_in_the_order_of_seed_and_epoch(
    data: TrainingData, epoch_images: int | None
) -> None:
    fed = fed_places(data, TrainSettings(batch_size=16, epoch_images=epoch_images), 3)
    for epoch in (1, 2, 3):
        order = np.random.default_rng([5, epoch]).permutation(50)
        np.testing.assert_array_equal(np.concatenate(fed[4 * (epoch - 1) : 4 * epoch]), data.train[order])


def test_with_shards_every_pass_feeds_each_image_once_and_an_epoch_anew_is_the_same(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 40 * 32 * 32)
    monkeypatch.setattr(shards, "WINDOW", 4)
    train = TrainSettings(batch_size=8, shuffle=SHARDS)
    fed = fed_places(data, train, 2)
    for number in (1, 2):
        order = shuffled_shards(data.train, images_of_shard(data.images.shape), np.random.default_rng([5, number]))
        found = np.concatenate(fed[7 * (number - 1) : 7 * number])
        np.testing.assert_array_equal(found, data.train[order])
        np.testing.assert_array_equal(np.sort(found), np.sort(data.train))
    resumed = epoch_of(Feed(train, 5, data, image_inputs(data)), 2)  # by a process that has not fed epoch 1
    feed = Feed(train, 5, data, image_inputs(data))
    epoch_of(feed, 1)
    assert is_equal(resumed, epoch_of(feed, 2))


def test_a_pass_trains_on_one_view(data: TrainingData) -> None:
    views = [np.full((50, 1), view, np.float32) for view in range(3)]
    plain = np.zeros((len(data.images), 1), np.float32)
    feed = Feed(TrainSettings(batch_size=8, epoch_images=25), 5, data, Inputs(views, np.arange(50), plain))
    seen = [int(values[0, 0]) for epoch in range(1, 8) for values, _, _ in epoch_of(feed, epoch)]
    assert seen == [view for view in (0, 1, 2, 0) for _ in range(7)]


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
