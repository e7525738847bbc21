"""One trial's training in Keras: model, batches, an epoch, predictions. No Ray, no files.

Epoch e of a trial is a function of its configuration, its seed, e and the weights that it starts
from: shuffling, augmentation and dropout are seeded from (seed, e), never from what ran before. An
interrupted trial that goes on from its last epoch therefore ends as it would have.
"""

import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.augment import Policy, augment, find_policy
from data_pipeline.class_weights import class_weights
from data_pipeline.share import TrainingData
from models.registry import build_model, build_trainable_part, trainable_part
from search.plan.settings import TrainSettings
from search.plan.spaces import model_settings, train_settings
from search.record import EpochRecord, TrialRecord
from search.trial.metrics import Scores, score
from search.trial.process import has_gpu

if TYPE_CHECKING:
    import keras

# Images a prediction holds as float32 at once: 64 x 224 x 224 is 13 MB.
PREDICT_BATCH = 64


@dataclass(frozen=True)
class TrialConfig:
    """All that one trial needs to know, data aside.

    Attributes:
        model: a `ModelConfig`.
        seed: of weights, shuffling, augmentation and dropout.
    """

    model: Any
    train: TrainSettings
    max_epochs: int
    seed: int


def trial_config(trial: TrialRecord, defaults: TrainSettings) -> TrialConfig:
    """The configuration that a trial's recorded parameters stand for."""
    return TrialConfig(
        model=model_settings(trial.parameters),
        train=train_settings(defaults, trial.parameters),
        max_epochs=trial.max_epochs,
        seed=trial.seed,
    )


@dataclass(frozen=True)
class Inputs:
    """The arrays that a trial's batches are made of: images, or the features of a frozen part in their place.

    Attributes:
        views: of equal shape (n, ...), uint8 images or float features; epoch e trains on views[(e - 1) % len(views)].
        train: rows of every view that train, int64, in the order of `TrainingData.train`.
        plain: of every pool image without augmentation, (N, ...); validation is scored on these.
        shifted: of the shifted copy of the validation images, (m, ...); None where it is not scored.
    """

    views: Sequence[NDArray[Any]]
    train: NDArray[np.int64]
    plain: NDArray[Any]
    shifted: NDArray[Any] | None = None

    @property
    def are_images(self) -> bool:
        """Whether these are images, which are augmented and scaled to [0, 1] on their way to the model."""
        return self.plain.dtype == np.uint8


def image_inputs(data: TrainingData) -> Inputs:
    """The images themselves."""
    return Inputs((data.images,), data.train, data.images, data.shifted)


class TrialModel:
    """A model in training, its batches and its history.

    Args:
        config: the trial.
        data: the pool's images, labels and split; never a test image.
        inputs: `image_inputs(data)`, or features: then only what lies above the frozen part is built.
        backbone_weights: of a model on a pretrained backbone, as `load_backbone_weights` gives them.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: TrainingData,
        inputs: Inputs,
        backbone_weights: Sequence[NDArray[Any]] | None = None,
    ) -> None:
        import keras

        keras.config.set_dtype_policy(config.train.precision)
        self._take(config, data, inputs)
        self.model = self._build(backbone_weights)
        self._trained = trainable_part(self.model)
        _compile(self.model, config.train, len(data.classes))
        self.model.optimizer.build(self.model.trainable_variables)
        self._first_scalars = [np.asarray(v) if v.ndim == 0 else None for v in self.model.optimizer.variables]
        self._batches = self._build_batches()

    def restart(
        self,
        config: TrialConfig,
        data: TrainingData,
        inputs: Inputs,
        backbone_weights: Sequence[NDArray[Any]] | None = None,
    ) -> bool:
        """Become a new trial with the graphs of this one, whose tracing takes seconds; False if it needs others."""
        if _graphs(config, data, inputs) != _graphs(self.config, self.data, self._inputs):
            return False
        self._take(config, data, inputs)
        assign(self.model.weights, self._build(backbone_weights).get_weights())
        for variable, scalar in zip(self.model.optimizer.variables, self._first_scalars, strict=True):
            variable.assign(np.zeros(variable.shape, np.float32) if scalar is None else scalar)
        return True

    def _take(self, config: TrialConfig, data: TrainingData, inputs: Inputs) -> None:
        train = config.train
        self.config, self.data = config, data
        self._targets = one_hot(data.labels[data.train], len(data.classes))
        self.history: list[EpochRecord] = []
        self._inputs = inputs
        self._policy = find_policy(train.augment) if inputs.are_images else Policy()  # features are augmented already
        self._class_weights = class_weights(train.class_weights, data.labels[data.train], len(data.classes))

    def _build(self, backbone_weights: Sequence[NDArray[Any]] | None) -> "keras.Model":
        model, shape, classes = self.config.model, self.data.images.shape[1:], len(self.data.classes)
        if self._inputs.are_images:
            return build_model(model, shape, classes, backbone_weights, self.config.seed, fused=True)
        return build_trainable_part(model, shape, classes, backbone_weights, self.config.seed)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained, or early stopping has ended the trial."""
        return len(self.history) >= self.config.max_epochs or should_stop(
            self.history, self.config.train.early_stopping
        )

    @property
    def is_diverged(self) -> bool:
        """Whether one of the last epoch's losses is not a finite number."""
        if not self.history:
            return False
        last = self.history[-1]
        losses = [last.train_loss, last.val_loss]
        if self._inputs.shifted is not None:
            losses.append(last.shifted_loss)
        return not all(loss is not None and math.isfinite(loss) for loss in losses)

    def run_epoch(self) -> EpochRecord:
        """Train one epoch, score the validation images, and append both to the history."""
        epoch = len(self.history) + 1
        self._begin_epoch(epoch)
        started = time.monotonic()
        rate = learning_rate(self.config.train, self.history)
        self.model.optimizer.learning_rate.assign(rate)
        logs = self.model.fit(self._batches, epochs=1, shuffle=False, verbose=0).history
        validation, shifted = self.score_validation(), self.score_shifted()
        record = EpochRecord(
            epoch=epoch,
            seconds=time.monotonic() - started,
            learning_rate=rate,
            train_loss=logs["loss"][0],
            train_accuracy=logs["accuracy"][0],
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            val_balanced_accuracy=validation.balanced_accuracy,
            val_auc=validation.auc,
            val_sensitivity=validation.sensitivity,
            val_specificity=validation.specificity,
            shifted_loss=shifted.loss if shifted else None,
            shifted_accuracy=shifted.accuracy if shifted else None,
            shifted_balanced_accuracy=shifted.balanced_accuracy if shifted else None,
            shifted_auc=shifted.auc if shifted else None,
            memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            time=time.time(),
        )
        self.history.append(record)
        return record

    def score_validation(self) -> Scores:
        """The scores of the present weights on the validation images."""
        rows = self.data.validation
        return score(self.data.labels[rows], predict(self.model, self._inputs.plain, rows))

    def score_shifted(self) -> Scores | None:
        """The scores of the present weights on the shifted copy of the validation images; None where there is none."""
        images = self._inputs.shifted
        if images is None:
            return None
        labels = self.data.labels[self.data.validation]
        return score(labels, predict(self.model, images, np.arange(len(labels))))

    def weights(self) -> list[NDArray[Any]]:
        """The weights that training changes, batch-norm statistics included; never a frozen backbone's."""
        return [np.asarray(variable) for variable in self._trained.weights]

    def optimizer_state(self) -> list[NDArray[Any]]:
        """The optimizer's variables: step, learning rate, moments."""
        return [np.asarray(variable) for variable in self.model.optimizer.variables]

    def restore(
        self,
        weights: Sequence[NDArray[Any]],
        optimizer_state: Sequence[NDArray[Any]],
        history: Sequence[EpochRecord],
    ) -> None:
        """Take up training where these were saved.

        Raises:
            ValueError: they belong to another model.
        """
        assign(self._trained.weights, weights)
        assign(self.model.optimizer.variables, optimizer_state)
        self.history = list(history)

    def _begin_epoch(self, epoch: int) -> None:
        """Choose the view and the order of the training images; all that is random follows from (seed, epoch)."""
        self._epoch = epoch
        self._view = self._inputs.views[(epoch - 1) % len(self._inputs.views)]
        self._order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.data.train))
        for place, state in enumerate(_dropout_seeds(self.model)):
            state.assign([self.config.seed % 2**31, epoch * 1000 + place])

    def _read_batch(self, number: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A batch of this epoch: images or features (B, ...), targets (B, 1 or K), sample weights (B,)."""
        size = self.config.train.batch_size
        places = self._order[int(number) * size : (int(number) + 1) * size]
        inputs = self._view[self._inputs.train[places]]
        if self._policy != Policy():
            inputs = augment(inputs, self._policy, np.random.default_rng([self.config.seed, self._epoch, int(number)]))
        labels = self.data.labels[self.data.train[places]]
        return inputs, self._targets[places], self._class_weights[labels]

    def _build_batches(self) -> Any:
        """A tf.data pipeline over `_read_batch`, built once a trial: a new one would be traced anew.

        Gathering and augmentation run in tf.data's own thread, up to three batches ahead of the training step, so that
        one that comes late is not waited for.
        """
        import tensorflow as tf

        kind, shape, images = self._inputs.plain.dtype, self._inputs.plain.shape[1:], self._inputs.are_images

        def read(number: Any) -> Any:
            inputs, target, weight = tf.numpy_function(self._read_batch, [number], (kind, tf.float32, tf.float32))
            inputs.set_shape((None, *shape))
            target.set_shape((None, self._targets.shape[1]))
            weight.set_shape((None,))
            floats = tf.cast(inputs, tf.float32)
            return (floats / 255.0 if images else floats), target, weight

        options = tf.data.Options()
        # The tuning thread looks after 10 ms, 20 ms, 40 ms ... On busy cores the end of an epoch waited for its next
        # look: epochs of 21 s took 22 or 43 s. There is nothing to tune here.
        options.autotune.enabled = False
        return tf.data.Dataset.range(_steps(self.config, self.data)).map(read).prefetch(3).with_options(options)


def predict(model: "keras.Model", inputs: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Class probabilities of some images: float32 (len(rows), K), rows sum to 1.

    Args:
        model: from float images in [0, 1], or features, to probabilities; one column is that of class 1.
        inputs: images, uint8 (N, H, W, C), or features, float (N, ...).
        rows: which of them, int64.
    """
    parts = []
    for start in range(0, len(rows), PREDICT_BATCH):
        batch = inputs[rows[start : start + PREDICT_BATCH]]
        # In one pass over memory: this is the only work of a prediction besides the model's own.
        floats = np.divide(batch, 255 if batch.dtype == np.uint8 else 1, dtype=np.float32)
        parts.append(np.asarray(model.predict_on_batch(floats), np.float32))
    outputs = np.concatenate(parts)
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Training targets: float32 (N, 1) of class 1 with two classes, else one-hot (N, K)."""
    if classes == 2:
        return labels.astype(np.float32)[:, None]
    return np.eye(classes, dtype=np.float32)[labels]


def assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Give variables their values, in order.

    Raises:
        ValueError: number or shapes differ.
    """
    ours, theirs = [tuple(v.shape) for v in variables], [tuple(v.shape) for v in values]
    if ours != theirs:
        raise ValueError(
            f"Saved weights must fit the model; it has {len(ours)} arrays, the file {len(theirs)}"
            + next((f", first different: {a} and {b}" for a, b in zip(ours, theirs, strict=False) if a != b), "")
            + ". They belong to another configuration."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def learning_rate(train: TrainSettings, history: Sequence[EpochRecord]) -> float:
    """The next epoch's rate: reduced after each plateau of `train.plateau` epochs in val_loss.

    Source: Keras, ReduceLROnPlateau (min_delta 1e-4, no cooldown), as a function of the history.
    """
    rate, best, waited = train.learning_rate, math.inf, 0
    if train.plateau == 0:
        return rate
    for epoch in history:
        loss = _loss(epoch)
        if loss < best - 1e-4:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= train.plateau:
            rate, waited = rate * train.plateau_factor, 0
    return rate


def should_stop(history: Sequence[EpochRecord], patience: int) -> bool:
    """Whether the best val_loss is `patience` epochs old or older; never with a patience of 0.

    Source: Keras, EarlyStopping, as a function of the history.
    """
    if patience == 0 or not history:
        return False
    losses = [_loss(epoch) for epoch in history]
    return len(losses) - 1 - losses.index(min(losses)) >= patience


def _compile(model: "keras.Model", train: TrainSettings, classes: int) -> None:
    import keras

    # Keras' Adam takes decoupled weight decay too, but only AdamW takes a decay of 0.
    optimizer = keras.optimizers.AdamW if train.weight_decay or train.optimizer == "adamw" else keras.optimizers.Adam
    options: dict[str, Any] = {"weight_decay": train.weight_decay} if optimizer is keras.optimizers.AdamW else {}
    if train.weight_average:
        # Keras puts the average in the weights' place at the end of `fit`, which is one epoch here.
        options |= {"use_ema": True, "ema_momentum": train.weight_average}
    losses = keras.losses
    loss = losses.BinaryCrossentropy if classes == 2 else losses.CategoricalCrossentropy
    model.compile(
        optimizer=optimizer(learning_rate=train.learning_rate, **options),
        loss=loss(label_smoothing=train.label_smoothing),
        weighted_metrics=[],
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy")
            if classes == 2
            else keras.metrics.CategoricalAccuracy(name="accuracy")
        ],
        # XLA made these small networks four times slower on a CPU; on a GPU Keras decides.
        jit_compile=False if not has_gpu() else "auto",
    )


def _steps(config: TrialConfig, data: TrainingData) -> int:
    """Batches of an epoch; the last one may be smaller."""
    return math.ceil(len(data.train) / config.train.batch_size)


def _graphs(config: TrialConfig, data: TrainingData, inputs: Inputs) -> tuple[Any, ...]:
    """All that a trial's traced graphs depend on."""
    train = config.train
    fixed = train.batch_size, train.optimizer, train.weight_decay, train.weight_average, train.label_smoothing
    return config.model, *fixed, train.precision, inputs.plain.dtype, inputs.plain.shape[1:], _steps(config, data)


def _dropout_seeds(model: "keras.Model") -> list[Any]:
    """The seed states of all layers that draw random numbers while training."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer.seed_generator.state for layer in layers if hasattr(layer, "seed_generator")]


def _loss(epoch: EpochRecord) -> float:
    loss = epoch.val_loss
    return loss if loss is not None and math.isfinite(loss) else math.inf
