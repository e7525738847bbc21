"""Trains one trial in Keras: its model, its epochs, its predictions. No Ray, no files.

Epoch e of a trial is a function of its configuration, its seed, e and the weights before it:
shuffling, augmentation and dropout are seeded from the seed and e, never from what ran before. An
interrupted trial that resumes from its last epoch therefore ends as it would have without the interruption.
"""

import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.shards import ArraySource
from data_pipeline.share import TrainingData
from models.registry import Classes, Findings, build_model, build_trainable_part, told_apart, trainable_part
from search.plan.settings import KERAS_NORM_MOMENTUM, TrainSettings
from search.plan.spaces import model_settings, train_settings
from search.record import EpochRecord, TrialRecord
from search.record.passes import steps_of_epoch
from search.trial.feed import Feed, Inputs
from search.trial.metrics import JudgedScores, judge
from search.trial.norm import norm_momentum, set_norm_momentum
from search.trial.plateau import learning_rate, should_stop
from search.trial.process import has_gpu

if TYPE_CHECKING:
    import keras

# Images that a prediction holds as float32 at once: 64 x 224 x 224 is 13 MB.
PREDICT_BATCH = 64


@dataclass(frozen=True)
class TrialConfig:
    """The configuration of one trial, without its data.

    Attributes:
        model: a `ModelConfig`.
        seed: of weights, shuffling, augmentation and dropout.
    """

    model: Any
    train: TrainSettings
    max_epochs: int
    seed: int


def trial_config(trial: TrialRecord, defaults: TrainSettings) -> TrialConfig:
    """The configuration of a trial, from its recorded parameters."""
    train = train_settings(defaults, trial.parameters)
    if trial.row:  # a published row is a replay of Keras as it is
        train = replace(train, norm_momentum=KERAS_NORM_MOMENTUM)
    return TrialConfig(
        model=model_settings(trial.parameters),
        train=train,
        max_epochs=trial.max_epochs,
        seed=trial.seed,
    )


class TrialModel:
    """Trains a model epoch by epoch and keeps its history.

    Args:
        config: the trial.
        data: the pool's images, labels and split; never a test image.
        inputs: `image_inputs(data)`, or features: then only the part above the frozen one is built.
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
        set_norm_momentum(self.model, norm_momentum(config.train, _steps(config.train, data)))
        _compile(self.model, config.train, told_apart(data.classes, data.is_multilabel))
        self.model.optimizer.build(self.model.trainable_variables)
        self._first_scalars = [np.asarray(v) if v.ndim == 0 else None for v in self.model.optimizer.variables]
        self._feed = Feed(config.train, config.seed, data, inputs)
        self._batches = self._feed.build_dataset()

    def restart(
        self,
        config: TrialConfig,
        data: TrainingData,
        inputs: Inputs,
        backbone_weights: Sequence[NDArray[Any]] | None = None,
    ) -> bool:
        """Start a new trial with the graphs of this one, whose tracing takes seconds; False if it needs others."""
        if _graphs(config, data, inputs) != _graphs(self.config, self.data, self._inputs):
            return False
        self._take(config, data, inputs)
        self._feed.restart(config.train, config.seed, data, inputs)
        assign(self.model.weights, self._build(backbone_weights).get_weights())
        for variable, scalar in zip(self.model.optimizer.variables, self._first_scalars, strict=True):
            variable.assign(np.zeros(variable.shape, np.float32) if scalar is None else scalar)
        return True

    def _take(self, config: TrialConfig, data: TrainingData, inputs: Inputs) -> None:
        self.config, self.data, self._inputs = config, data, inputs
        self.history: list[EpochRecord] = []

    def _build(self, backbone_weights: Sequence[NDArray[Any]] | None) -> "keras.Model":
        height, width, channels = self.data.images.shape[1:]
        model, shape = self.config.model, (height, width, channels)
        classes = told_apart(self.data.classes, self.data.is_multilabel)
        if self._inputs.are_images:
            return build_model(model, shape, classes, backbone_weights, self.config.seed, fused=True)
        return build_trainable_part(model, shape, classes, backbone_weights, self.config.seed)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained, or early stopping ended the trial."""
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
        rate = learning_rate(self.config.train, self.history, self.config.max_epochs)
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
            val_calibrated_loss=validation.calibrated_loss,
            shifted_calibrated_loss=shifted.calibrated_loss if shifted else None,
            memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            time=time.time(),
        )
        self.history.append(record)
        return record

    def score_validation(self) -> JudgedScores:
        """The scores of the current weights on the validation images."""
        rows = self.data.validation
        return judge(self.data.labels[rows], predict(self.model, self._inputs.plain, rows))

    def score_shifted(self) -> JudgedScores | None:
        """The scores of the current weights on the shifted copy of the validation images; None where there is none."""
        images = self._inputs.shifted
        if images is None:
            return None
        labels = self.data.labels[self.data.validation]
        return judge(labels, predict(self.model, images, np.arange(len(labels))))

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
        """Resume training from a saved state; after a trial's last epoch that is without an optimizer's.

        Raises:
            ValueError: the state belongs to another model.
        """
        assign(self._trained.weights, weights)
        self.history = list(history)
        if not self.is_done:
            assign(self.model.optimizer.variables, optimizer_state)

    def _begin_epoch(self, epoch: int) -> None:
        """Choose the epoch's batches and dropout masks, which follow from (seed, epoch)."""
        self._feed.begin_epoch(epoch)
        for place, state in enumerate(_dropout_seeds(self.model)):
            state.assign([self.config.seed % 2**31, epoch * 1000 + place])


def predict(model: "keras.Model", inputs: ArraySource, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Probabilities of classes, which sum to 1, or of findings: float32 (len(rows), K).

    Args:
        model: from float images in [0, 1], or features, to probabilities; one column is that of class 1.
        inputs: images, uint8 (N, H, W, C), or features, float (N, ...).
        rows: of `inputs` to predict, int64.
    """
    parts = []
    for start in range(0, len(rows), PREDICT_BATCH):
        batch = inputs[rows[start : start + PREDICT_BATCH]]
        # In one pass over memory: the only work of a prediction besides the model's.
        floats = np.divide(batch, 255 if batch.dtype == np.uint8 else 1, dtype=np.float32)
        parts.append(np.asarray(model.predict_on_batch(floats), np.float32))
    outputs = np.concatenate(parts)
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Give variables their values, in order.

    Raises:
        ValueError: number or shapes differ.
    """
    ours, theirs = [tuple(v.shape) for v in variables], [tuple(v.shape) for v in values]
    if ours != theirs:
        pairs = zip(ours, theirs, strict=False)
        raise ValueError(
            "Saved weights must fit the model. "
            f"Received: {len(theirs)} arrays for a model of {len(ours)}"
            + next((f"; the first that differs is {b} instead of {a}" for a, b in pairs if a != b), "")
            + ". They belong to another configuration; use those of this trial."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _compile(model: "keras.Model", train: TrainSettings, classes: Classes) -> None:
    import keras

    # Keras' Adam accepts decoupled weight decay too, but only AdamW accepts a decay of 0.
    optimizer = keras.optimizers.AdamW if train.weight_decay or train.optimizer == "adamw" else keras.optimizers.Adam
    options: dict[str, Any] = {"weight_decay": train.weight_decay} if optimizer is keras.optimizers.AdamW else {}
    if train.weight_average:
        # Keras replaces the weights by their average at the end of `fit`, which is one epoch here.
        options |= {"use_ema": True, "ema_momentum": train.weight_average}
    losses, several = keras.losses, isinstance(classes, Findings)
    loss = losses.BinaryCrossentropy if classes == 2 else losses.CategoricalCrossentropy
    if several:
        loss = finding_loss()
    model.compile(
        optimizer=optimizer(learning_rate=train.learning_rate, **options),
        loss=loss(label_smoothing=train.label_smoothing),
        weighted_metrics=[],
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy")
            if classes == 2 or several
            else keras.metrics.CategoricalAccuracy(name="accuracy")
        ],
        # XLA made these small networks four times slower on a CPU; on a GPU Keras decides.
        jit_compile=False if not has_gpu() else "auto",
    )


@cache
def finding_loss() -> Any:
    """The class of Keras' binary cross-entropy that keeps the loss of each finding, so that each has a weight.

    It is a function of Keras' class, so that importing this module does not import Keras.
    """
    import keras

    class FindingCrossentropy(keras.losses.BinaryCrossentropy):  # type: ignore[misc]  # Keras ships no types
        """Targets and probabilities (B, K) to losses (B, K); their mean is that of Keras' class."""

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return super().call(y_true[..., None], y_pred[..., None])

    return FindingCrossentropy


def _graphs(config: TrialConfig, data: TrainingData, inputs: Inputs) -> tuple[Any, ...]:
    """Everything that a trial's traced graphs depend on."""
    train, steps = config.train, _steps(config.train, data)
    fixed = train.batch_size, train.optimizer, train.weight_decay, train.weight_average, train.label_smoothing
    return config.model, *fixed, train.norm_momentum, train.precision, inputs.plain.dtype, inputs.plain.shape[1:], steps


def _steps(train: TrainSettings, data: TrainingData) -> int:
    return steps_of_epoch(len(data.train), train.batch_size, train.epoch_images)


def _dropout_seeds(model: "keras.Model") -> list[Any]:
    """The seed states of all layers that draw random numbers while training."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer.seed_generator.state for layer in layers if hasattr(layer, "seed_generator")]
