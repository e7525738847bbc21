"""Whether a trial ever waits for its data, and how much of its time is not training.

`python -m benchmarks.data_feed [--root FOLDER]`; on the full set and 2 cores about a quarter of an hour.

First trials of a real search time their own parts. Then the training part of an epoch is timed on the real feed and
on one batch repeated, the process held to one CPU: that is what a trial has when every core trains one.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.flops import TRAINING
from benchmarks.harness import Bound, Machine, Measurement, Options, Quantity, Target, timed
from benchmarks.searches import data_words, fixed_words, listed_words, run_search
from benchmarks.timed_trial import PARTS_FILE, Parts
from data_pipeline.dataset import DataSettings, prepare_dataset
from data_pipeline.share import TrainingData, training_data
from models.cnn import CnnConfig
from search.process import prepare_process, release_memory
from search.settings import TrainSettings
from search.training import TrialConfig, TrialModel, image_inputs

SMALL, LARGE = "small CNN", "large CNN"
MODELS = {SMALL: CnnConfig(1, 8, dense=(16,)), LARGE: CnnConfig(3, 16, kernel=4, dense=(16, 8))}
BATCH_SIZES = (16, 32, 64)
POLICIES = ("none", "strong")
FASTER = Bound(5.0)  # percent by which training on one repeated batch may be faster
OVERHEAD = Bound(10.0)  # percent of a trial's time that validation, checkpoint and report may take
IMAGES, QUICK_IMAGES = 512, 64  # that the feed is timed on
TRIAL_GRID: dict[str, list[Any]] = {"layers": [1, 3], "learning_rate": [0.001, 0.0001]}
TRIAL_FIXED = {
    "backbone": "cnn",
    "batch_size": 32,
    "augment": "none",
    "class_weights": "none",
    "filters": 8,
    "kernel": 3,
    "batch_norm": "conv",
    "dense": [16],
    "dropout": 0.2,
}
TRIAL_EPOCHS = 3


@dataclass(frozen=True)
class Setup:
    """One way to train: which model, on batches of which size, changed by which policy."""

    model: str
    batch_size: int
    policy: str

    @property
    def name(self) -> str:
        """In words."""
        augmentation = "no augmentation" if self.policy == "none" else f"augmentation {self.policy}"
        return f"{self.model}, batches of {self.batch_size}, {augmentation}"


class FeedModel(TrialModel):
    """A trial whose training part can be timed alone, on its own feed or on one batch."""

    def fit_seconds(self) -> float:
        """Seconds of an epoch's training part. An epoch must have been run before: it traces the graphs."""
        # One batch would soon be learnt by heart, and gradients too small for normal floats take a CPU far longer.
        self.model.optimizer.learning_rate.assign(0.0)
        return timed(lambda: self.model.fit(self._batches, epochs=1, shuffle=False, verbose=0))

    def repeat_first_batch(self) -> None:
        """From now on, train on the first batch again and again, as many steps an epoch."""
        import tensorflow as tf

        steps, options = int(self._batches.cardinality()), self._batches.options()
        batch = tf.data.Dataset.from_tensors(next(iter(self._batches)))
        self._batches = batch.repeat(steps).prefetch(1).with_options(options)


def measure(options: Options, machine: Machine) -> Measurement:
    """The parts of trials, then real feed and repeated batch in turn for every setup."""
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as folder:
        parts = [time_parts(options, Path(folder), repeat) for repeat in range(options.repeats)]
    whole = training_data(prepare_dataset(DataSettings(root=options.root)))
    data = _some_images(whole, QUICK_IMAGES if options.quick else IMAGES)
    setups = [Setup(model, size, policy) for model in MODELS for size in BATCH_SIZES for policy in POLICIES]
    with _one_cpu():
        prepare_process(threads=1)
        feeds = {setup: time_feed(setup, data, options.repeats) for setup in (setups[:2] if options.quick else setups)}
    return summarize(parts, feeds, len(data.train), validation_share(len(whole.train), len(whole.validation)))


def summarize(
    parts: Sequence[Parts],
    feeds: Mapping[Setup, Sequence[tuple[float, float]]],
    images: int,
    least: float,
) -> Measurement:
    """The measurement that these seconds make.

    Args:
        parts: of all trials of a search together, one for each repeat.
        feeds: seconds of an epoch's training on the real feed and on one repeated batch, for each repeat.
        images: that such an epoch trains on.
        least: percent of a trial's arithmetic that validation is.
    """
    faster = {
        setup: tuple(100 * (real / repeated - 1) for real, repeated in seconds) for setup, seconds in feeds.items()
    }
    speeds = {setup: tuple(images / real for real, _ in seconds) for setup, seconds in feeds.items()}
    return Measurement(
        question="Does a trial wait for its data, and how much of its time is not training?",
        setting=f"Feed: {images:,} images an epoch, one thread, the process held to one CPU, so that gathering and "
        "augmenting a batch take their time from the training step; with augmentation the repeated batch was "
        f"augmented once. Trials: {_describe_trials()}, one a core.",
        targets=(
            Target(
                Quantity("validation, checkpoint and report, of a trial's time", "%", tuple(map(overhead, parts))),
                OVERHEAD,
            ),
            *(
                Target(Quantity(f"one repeated batch is faster: {setup.name}", "%", values), FASTER)
                for setup, values in faster.items()
            ),
        ),
        others=(
            *(_share(name, parts) for name in (part.name for part in fields(Parts))),
            *(Quantity(f"training alone: {setup.name}", "images/s", values) for setup, values in speeds.items()),
        ),
        limited_by="the training step; with strong augmentation also the warps and noise, which share its CPU.",
        physical_limit=f"0 % for the feed; {least:.1f} % for the share, the arithmetic of validation alone (one way "
        "through the model, where training is three).",
    )


def validation_share(train: int, validation: int) -> float:
    """Percent of a trial's arithmetic that scoring the validation images takes."""
    return 100 * validation / (validation + TRAINING * train)


def overhead(parts: Parts) -> float:
    """Percent of a trial's time that validation, checkpoint and report take."""
    return 100 * (parts.validation + parts.checkpoint + parts.report) / _whole(parts)


def add_parts(parts: Sequence[Parts]) -> Parts:
    """The parts of several trials together."""
    return Parts(**{part.name: sum(getattr(each, part.name) for each in parts) for part in fields(Parts)})


def time_parts(options: Options, folder: Path, repeat: int) -> Parts:
    """The parts of all trials of a search together."""
    name, quick = f"parts-{repeat}", options.quick
    grid = {**TRIAL_GRID, "layers": [1]} if quick else TRIAL_GRID
    words = ["space=cnn2", *fixed_words(TRIAL_FIXED), *listed_words(grid), *data_words(options.root, folder / "cache")]
    words += ["search.searcher=grid", "search.scheduler=none", f"search.max_epochs={2 if quick else TRIAL_EPOCHS}"]
    run_search(words, folder, name, module="benchmarks.timed_trial")
    files = sorted((folder / name / "trials").glob(f"*/{PARTS_FILE}"))
    return add_parts([Parts(**json.loads(file.read_text())) for file in files])


def time_feed(setup: Setup, data: TrainingData, repeats: int) -> list[tuple[float, float]]:
    """Seconds of an epoch's training on the real feed and on one repeated batch, for each repeat."""
    train = TrainSettings(batch_size=setup.batch_size, augment=setup.policy, precision="float32")
    model = FeedModel(TrialConfig(MODELS[setup.model], train, max_epochs=100, seed=0), data, image_inputs(data))
    model.run_epoch()
    real = [model.fit_seconds() for _ in range(repeats)]
    model.repeat_first_batch()
    model.fit_seconds()  # a batch of a fixed size is traced anew
    repeated = [model.fit_seconds() for _ in range(repeats)]
    del model
    release_memory()
    return list(zip(real, repeated, strict=True))


def _some_images(data: TrainingData, count: int) -> TrainingData:
    """So many of the images that train, drawn at random, and a batch of those that validate."""
    train = np.random.default_rng(0).permutation(data.train)[:count]
    return replace(data, train=train, validation=data.validation[: max(BATCH_SIZES)])


@contextmanager
def _one_cpu() -> Iterator[None]:
    """Hold this process, and the threads that it starts, to one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _describe_trials() -> str:
    count = np.prod([len(values) for values in TRIAL_GRID.values()])
    return f"{count} CNNs of 1 and 3 layers with batch norm, {TRIAL_EPOCHS} epochs at 224 x 224, batches of 32"


def _share(name: str, parts: Sequence[Parts]) -> Quantity:
    return Quantity(
        f"{name}, of a trial's time", "%", tuple(100 * getattr(each, name) / _whole(each) for each in parts)
    )


def _whole(parts: Parts) -> float:
    return parts.build + parts.train + parts.validation + parts.checkpoint + parts.report


if __name__ == "__main__":
    harness.main(measure, __doc__)
