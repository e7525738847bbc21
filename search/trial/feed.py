"""Feeds a trial: the arrays that its batches are made of, and the batches of each epoch as a tf.data pipeline.

A trial's batches are those of pass after pass over the training images. An epoch is a fixed number of them: a whole
pass, or on a large set a part of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.augment import Policy, augment, find_policy, policy_name
from data_pipeline.class_weights import class_weights, finding_weights
from data_pipeline.shards import ArraySource, images_of_shard, shuffled_shards
from data_pipeline.share import TrainingData
from search.plan.settings import SHARDS, TrainSettings
from search.record.passes import steps_of_epoch, steps_of_pass


@dataclass(frozen=True)
class Inputs:
    """The arrays that a trial's batches are made of: images, or the features of a frozen part in their place.

    Attributes:
        views: of equal shape (n, ...), uint8 images or float features; pass p, from 0, trains on views[p % len(views)].
        train: rows of every view that train, int64, in the order of `TrainingData.train`.
        plain: of every pool image without augmentation, (N, ...); validation is scored on these.
        shifted: of the shifted copy of the validation images, (m, ...); None where it is not scored.
    """

    views: Sequence[ArraySource]
    train: NDArray[np.int64]
    plain: ArraySource
    shifted: ArraySource | None = None

    @property
    def are_images(self) -> bool:
        """Whether these are images, which are augmented and scaled to [0, 1] on their way to the model."""
        return self.plain.dtype == np.uint8


def image_inputs(data: TrainingData) -> Inputs:
    """The images themselves."""
    return Inputs((data.images,), data.train, data.images, data.shifted)


class Feed:
    """Makes the training batches of a trial; order and augmentation follow from its seed and the epoch alone.

    Every pass has an order of its own and feeds each image once: any order, or with `train.shuffle=shards` one in which
    neighbours on disk are read at about the same time (`data_pipeline.shards.shuffled_shards`). All epochs have equally
    many batches: one begins where the one before it ended, and goes on into the next pass if it must.

    Args:
        train: batch size, images of an epoch, augmentation and class weights.
        seed: of the trial.
        data: the pool's labels and split.
        inputs: images or features of that pool.
    """

    def __init__(self, train: TrainSettings, seed: int, data: TrainingData, inputs: Inputs) -> None:
        self.restart(train, seed, data, inputs)

    def restart(self, train: TrainSettings, seed: int, data: TrainingData, inputs: Inputs) -> None:
        """Feed another trial, with equal shapes and as many steps, through the dataset that was built before."""
        self._batch_size, self._seed, self._inputs = train.batch_size, seed, inputs
        self._rows = data.train
        self._shard = images_of_shard(data.images.shape) if train.shuffle == SHARDS else None
        self._targets, self._weights = targets_and_weights(train, data)
        policy = find_policy(policy_name(train.augment, train.flip, data.classes))
        self._policy = policy if inputs.are_images else Policy()  # features are augmented already
        self._steps_of_pass = steps_of_pass(len(self._rows), train.batch_size)
        self.steps = steps_of_epoch(len(self._rows), train.batch_size, train.epoch_images)

    def begin_epoch(self, epoch: int) -> None:
        """Choose the view and the order of the training images, in each pass that the epoch has a part in."""
        self._epoch, self._first = epoch, (epoch - 1) * self.steps  # its first batch, counted from the trial's begin
        last = self._first + self.steps - 1
        passes = range(self._first // self._steps_of_pass, last // self._steps_of_pass + 1)
        self._views = {each: self._inputs.views[each % len(self._inputs.views)] for each in passes}
        self._orders = {each: self._order(each) for each in passes}

    def _order(self, number: int) -> NDArray[np.int64]:
        """The order of a pass, from 0: places in the training images, int64 (n,), each once."""
        draws = np.random.default_rng([self._seed, number + 1])
        if self._shard is None:
            return draws.permutation(len(self._rows))
        return shuffled_shards(self._rows, self._shard, draws)

    def _read_batch(self, number: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A batch of this epoch: images or features (B, ...), targets (B, 1 or K), their weights (B,) or (B, K)."""
        each, batch = divmod(self._first + int(number), self._steps_of_pass)
        places = self._orders[each][batch * self._batch_size : (batch + 1) * self._batch_size]
        inputs = self._views[each][self._inputs.train[places]]
        if self._policy != Policy():
            inputs = augment(inputs, self._policy, np.random.default_rng([self._seed, self._epoch, int(number)]))
        return inputs, self._targets[places], self._weights[places]

    def build_dataset(self) -> Any:
        """A tf.data pipeline over the batches of the epoch, to be built once a trial: a new one would be traced anew.

        Gathering and augmentation run in tf.data's own thread, up to three batches ahead of the training step, so that
        the step does not wait for a late batch.
        """
        import tensorflow as tf

        kind, shape, images = self._inputs.plain.dtype, self._inputs.plain.shape[1:], self._inputs.are_images

        def read(number: Any) -> Any:
            inputs, target, weight = tf.numpy_function(self._read_batch, [number], (kind, tf.float32, tf.float32))
            inputs.set_shape((None, *shape))
            target.set_shape((None, self._targets.shape[1]))
            weight.set_shape((None, *self._weights.shape[1:]))
            floats = tf.cast(inputs, tf.float32)
            return (floats / 255.0 if images else floats), target, weight

        options = tf.data.Options()
        # The tuning thread looks after 10 ms, 20 ms, 40 ms ... On busy cores the end of an epoch waited for its next
        # look: epochs of 21 s took 22 or 43 s. There is nothing to tune here.
        options.autotune.enabled = False
        return tf.data.Dataset.range(self.steps).map(read).prefetch(3).with_options(options)


def targets_and_weights(train: TrainSettings, data: TrainingData) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the training images are trained towards, and how much each counts.

    Returns:
        As `one_hot`, with weights (n,) by class. Of several findings an image: 0 or 1, and the weight of each, (n, K).
    """
    labels = data.labels[data.train]
    if data.is_multilabel:
        weights = finding_weights(train.class_weights, labels)  # (2, K)
        return labels.astype(np.float32), weights[labels, np.arange(labels.shape[1])]
    classes = len(data.classes)
    return one_hot(labels, classes), class_weights(train.class_weights, labels, classes)[labels]


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Training targets: float32 (N, 1) of class 1 with two classes, else one-hot (N, K)."""
    if classes == 2:
        return labels.astype(np.float32)[:, None]
    return np.eye(classes, dtype=np.float32)[labels]
