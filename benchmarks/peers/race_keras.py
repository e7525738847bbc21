"""The Keras parts that all peers of a race share: batches, models, training, and the callback that keeps a record.

Every peer gets our augmentation, which is several times faster than Keras' layers.
"""

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers.race_task import Epoch, RaceTask, add_epoch, read_epochs
from benchmarks.peers.task import Images
from data_pipeline.augment import augment, find_policy
from data_pipeline.class_weights import class_weights
from models.registry import build_model
from search.plan.spaces import model_settings

OBJECTIVE = "val_auc"


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is not followed
    """Appends a line an epoch, and keeps each model whose `val_auc` is the highest of all trials so far."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note the epoch."""
        ended, scores = time.time(), logs or {}
        own, best = scores[OBJECTIVE], max((each.val_auc for each in read_epochs(self._folder)), default=-math.inf)
        name = f"{uuid.uuid4().hex[:12]}.keras" if own > best else ""
        if name:
            self.model.save(Path(self._folder, name))
        add_epoch(self._folder, Epoch(ended, own, scores["val_loss"], name))


def auc() -> keras.metrics.AUC:
    """Keras' AUC, with more thresholds than its 200: those are too coarse to tell good models apart."""
    return keras.metrics.AUC(num_thresholds=2_000, name="auc")


def build(task: RaceTask, parameters: Mapping[str, Any]) -> keras.Model:
    """The compiled model of a trial, of Keras' own layers."""
    model = build_model(model_settings(parameters), (task.size, task.size, 1), 2, seed=task.seed)
    model.compile(
        keras.optimizers.Adam(parameters["learning_rate"]),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=parameters["label_smoothing"]),
        metrics=["accuracy", auc()],
    )
    return model


def train(
    task: RaceTask, images: Images, parameters: Mapping[str, Any], model: keras.Model, **options: Any
) -> keras.callbacks.History:
    """Train a trial, with the space's schedule and class weights.

    Args:
        task: of the race.
        images: its images.
        parameters: of the trial.
        model: as `build` made it.
        options: of `keras.Model.fit`; callbacks are added to the trial's own, epochs are the task's unless given.
    """
    training, validation = race_batches(images, parameters, task.seed)
    schedule = keras.callbacks.LearningRateScheduler(
        lambda epoch: learning_rate(parameters, epoch, task.epochs)  # epoch: 0 for the first
    )
    weights = class_weights(parameters["class_weights"], images.train_labels[:, 0].astype(np.int64), 2)
    own: Sequence[Any] = [schedule, Recorder(task.folder)]
    given = {
        "epochs": task.epochs,
        "shuffle": False,
        "verbose": 0,
        **options,
        "callbacks": [*own, *options.get("callbacks", [])],
    }
    return model.fit(training, validation_data=validation, class_weight=dict(enumerate(map(float, weights))), **given)


def learning_rate(parameters: Mapping[str, Any], epoch: int, epochs: int) -> float:
    """The rate of an epoch, from 0, of so many: cosine or constant."""
    share = 0.5 * (1 + math.cos(math.pi * (epoch + 0.5) / epochs)) if parameters["schedule"] == "cosine" else 1.0
    return float(parameters["learning_rate"] * share)


def race_batches(images: Images, parameters: Mapping[str, Any], seed: int) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Augmented training batches and validation: float32 images (B, size, size, 1) in [0, 1], labels (B, 1)."""
    policy, draws = find_policy(parameters["augment"]), np.random.default_rng(seed)

    def change(pixels: Any, label: Any) -> tuple[Any, Any]:
        changed = tf.numpy_function(lambda batch: augment(batch, policy, draws), [pixels], tf.uint8)
        changed.set_shape(pixels.shape)
        return changed, label

    def scale(pixels: Any, label: Any) -> tuple[Any, Any]:
        return tf.cast(pixels, tf.float32) / 255.0, label

    size, auto = parameters["batch_size"], tf.data.AUTOTUNE
    training = tf.data.Dataset.from_tensor_slices((images.train, images.train_labels))
    training = training.shuffle(len(images.train_labels), seed=seed).batch(size).map(change, num_parallel_calls=auto)
    validation = tf.data.Dataset.from_tensor_slices((images.validation, images.validation_labels)).batch(size)
    return (
        training.map(scale, num_parallel_calls=auto).prefetch(auto),
        validation.map(scale, num_parallel_calls=auto).prefetch(auto),
    )
