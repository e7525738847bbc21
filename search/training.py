"""One trial's training in Keras: model, batches, an epoch, predictions. No Ray, no files.

Epoch e of a trial is a function of its configuration, its seed, e and the weights that it starts
from: shuffling, augmentation and dropout are seeded from (seed, e), never from what ran before. An
interrupted trial that goes on from its last epoch therefore ends as it would have.
"""

import gc
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.augment import build_augmentation, reseed
from data_pipeline.class_weights import class_weights
from data_pipeline.share import TrainingData
from models.registry import build_model
from models.transfer import trainable_part
from search.metrics import Scores, score
from search.record import EpochRecord
from search.settings import TrainSettings

if TYPE_CHECKING:
    import keras

# Images a prediction holds as float32 at once: 64 x 224 x 224 is 13 MB.
PREDICT_BATCH = 64


@dataclass(frozen=True)
class TrialConfig:
    """All that one trial needs to know, data aside.

    Attributes:
        model: a `CnnConfig` or `TransferConfig`.
        seed: of weights, shuffling, augmentation and dropout.
    """

    model: Any
    train: TrainSettings
    max_epochs: int
    seed: int


class TrialModel:
    """A model in training, its batches and its history.

    Args:
        config: the trial.
        data: the pool's images, labels and split; never a test image.
        backbone_weights: of a transfer model, as `load_backbone_weights` gives them.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: TrainingData,
        backbone_weights: Sequence[NDArray[Any]] | None = None,
    ) -> None:
        import keras

        self.config = config
        self.data = data
        self.history: list[EpochRecord] = []
        keras.config.set_dtype_policy(config.train.precision)
        self.model = build_model(
            config.model,
            data.images.shape[1:],
            len(data.classes),
            backbone_weights,
            config.seed,
            fused_norm=True,
        )
        self._trained = trainable_part(self.model)
        _compile(self.model, config.train, len(data.classes))
        self._augmentation = build_augmentation(config.train.augment, config.seed)
        self._targets = one_hot(data.labels, len(data.classes))
        self._weights = class_weights(config.train.class_weights, data.labels[data.train], len(data.classes))
        self._batches = self._build_batches()

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained, or early stopping has ended the trial."""
        return len(self.history) >= self.config.max_epochs or should_stop(
            self.history, self.config.train.early_stopping
        )

    @property
    def is_diverged(self) -> bool:
        """Whether the last epoch's training or validation loss is not a finite number."""
        if not self.history:
            return False
        last = self.history[-1]
        return not all(value is not None and math.isfinite(value) for value in (last.train_loss, last.val_loss))

    def run_epoch(self) -> EpochRecord:
        """Train one epoch, score the validation images, and append both to the history."""
        started = time.monotonic()
        train = self.config.train
        epoch = len(self.history) + 1
        rate = learning_rate(train, self.history)
        self.model.optimizer.learning_rate.assign(rate)
        self._seed_epoch(epoch)
        logs = self.model.fit(self._batches, epochs=1, shuffle=False, verbose=0).history
        validation = self.score_validation()
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
            memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            time=time.time(),
        )
        self.history.append(record)
        return record

    def score_validation(self) -> Scores:
        """The scores of the present weights on the validation images."""
        rows = self.data.validation
        return score(self.data.labels[rows], predict(self.model, self.data.images, rows))

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
        self.model.optimizer.build(self.model.trainable_variables)
        assign(self.model.optimizer.variables, optimizer_state)
        self.history = list(history)

    def _seed_epoch(self, epoch: int) -> None:
        self._order = np.random.default_rng([self.config.seed, epoch]).permutation(self.data.train)
        if self._augmentation is not None:
            reseed(self._augmentation, self.config.seed, epoch)
        for place, state in enumerate(_dropout_seeds(self.model)):
            state.assign([self.config.seed % 2**31, epoch * 1000 + place])

    def _read_batch(self, number: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A batch of this epoch: uint8 images (B, H, W, C), targets (B, 1 or K), sample weights (B,)."""
        size = self.config.train.batch_size
        rows = self._order[int(number) * size : (int(number) + 1) * size]
        return self.data.images[rows], self._targets[rows], self._weights[self.data.labels[rows]]

    def _build_batches(self) -> Any:
        """A tf.data pipeline over `_read_batch`, built once a trial: a new one would be traced anew.

        Gathering and augmentation run in tf.data's own thread, one batch ahead of the training step.
        """
        import tensorflow as tf

        self._order = self.data.train
        shape, augmentation = self.data.images.shape[1:], self._augmentation

        def read(number: Any) -> Any:
            types = (tf.uint8, tf.float32, tf.float32)
            pixels, target, weight = tf.numpy_function(self._read_batch, [number], types)
            pixels.set_shape((None, *shape))
            target.set_shape((None, self._targets.shape[1]))
            weight.set_shape((None,))
            scaled = tf.cast(pixels, tf.float32) / 255.0  # [0, 1]
            return (scaled if augmentation is None else augmentation(scaled, training=True)), target, weight

        count = math.ceil(len(self.data.train) / self.config.train.batch_size)
        return tf.data.Dataset.range(count).map(read).prefetch(1)


def predict(model: "keras.Model", images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Class probabilities of some images: float32 (len(rows), K), rows sum to 1.

    Args:
        model: from float images in [0, 1] to probabilities; one column is that of class 1.
        images: uint8 (N, H, W, C).
        rows: which of them, int64.
    """
    parts = []
    for start in range(0, len(rows), PREDICT_BATCH):
        pixels = images[rows[start : start + PREDICT_BATCH]].astype(np.float32) / 255
        parts.append(np.asarray(model.predict_on_batch(pixels), np.float32))
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


def prepare_process(threads: int) -> None:
    """Set up TensorFlow once in a worker process: threads of the CPUs it owns, memory growth on GPUs."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # One: the prefetching thread has its own; a second would compete with the training step for its CPU.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def release_memory() -> None:
    """Give back what the last trial of this process held: graphs, variables, optimizer.

    Call it when nothing refers to the trial's model any more.
    """
    import keras
    from tensorflow.python.framework import ops

    keras.backend.clear_session()
    # TensorFlow registers the gradient of every traced step under a new name and never removes one; each
    # keeps its graph, 5 to 30 MB a trial, and slows every garbage collection. No public call clears them.
    gradients = ops.gradient_registry._registry
    for name in [name for name in gradients if name.startswith("CustomGradient-")]:
        del gradients[name]
    gc.collect()


def _compile(model: "keras.Model", train: TrainSettings, classes: int) -> None:
    import keras

    # Keras' Adam takes decoupled weight decay too, but only AdamW takes a decay of 0.
    optimizer = keras.optimizers.AdamW if train.weight_decay or train.optimizer == "adamw" else keras.optimizers.Adam
    decay = {"weight_decay": train.weight_decay} if optimizer is keras.optimizers.AdamW else {}
    model.compile(
        optimizer=optimizer(learning_rate=train.learning_rate, **decay),
        loss="binary_crossentropy" if classes == 2 else "categorical_crossentropy",
        weighted_metrics=[],
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy")
            if classes == 2
            else keras.metrics.CategoricalAccuracy(name="accuracy")
        ],
        # XLA made these small networks four times slower on a CPU; on a GPU Keras decides.
        jit_compile=False if not _has_gpu() else "auto",
    )


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _dropout_seeds(model: "keras.Model") -> list[Any]:
    """The seed states of all layers that draw random numbers while training."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer.seed_generator.state for layer in layers if hasattr(layer, "seed_generator")]


def _loss(epoch: EpochRecord) -> float:
    loss = epoch.val_loss
    return loss if loss is not None and math.isfinite(loss) else math.inf
