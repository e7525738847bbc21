"""Whether a trial ever waits for its data, and how much of its time is not training.

`python -m benchmarks.data_feed [--root FOLDER]`; on the full set and 2 cores about a quarter of an hour.

First, trials of a real search time their own parts. Then the training part of an epoch is timed in turn on the real
feed and on one repeated batch. With a core to spare for the feed's own thread, this shows whether a step ever waits.
With the process held to one CPU, as where every core trains a trial, it shows what the feed's work costs.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.flops import TRAINING
from benchmarks.machine import timed
from benchmarks.measurement import Bound, Machine, Measurement, Options, Quantity, Target
from benchmarks.searches import data_words, fixed_words, listed_words, run_search
from benchmarks.timed_trial import PARTS_FILE, Parts
from data_pipeline.dataset import prepare_dataset
from data_pipeline.settings import DataSettings
from data_pipeline.share import TrainingData, training_data
from models.cnn import CnnConfig
from search.plan.settings import TrainSettings
from search.trial.feed import image_inputs
from search.trial.process import prepare_process, release_memory
from search.trial.training import TrialConfig, TrialModel

SMALL, LARGE = "small CNN", "large CNN"
MODELS = {SMALL: CnnConfig(1, 8, dense=(16,)), LARGE: CnnConfig(3, 16, kernel=4, dense=(16, 8))}
BATCH_SIZES = (16, 64)
POLICIES = ("none", "strong")
FASTER = Bound(5.0)  # percent by which training on one repeated batch may be faster
OVERHEAD = Bound(10.0)  # percent of a trial's time that validation, checkpoint and report may take
IMAGES, QUICK_IMAGES = {SMALL: 2048, LARGE: 512}, 64  # that the feed is timed on: some seconds an epoch
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
    """One way to train: which model, on batches of which size, changed by which policy, on one CPU or more."""

    model: str
    batch_size: int
    policy: str
    one_cpu: bool = False

    @property
    def name(self) -> str:
        """In words."""
        augmentation = "no augmentation" if self.policy == "none" else f"augmentation {self.policy}"
        return f"{self.model}, batches of {self.batch_size}, {augmentation}" + (", on one CPU" if self.one_cpu else "")


class FeedModel(TrialModel):
    """A trial whose training part can be timed alone, on its own feed or on one batch."""

    def repeat_first_batch(self) -> Any:
        """A feed of the first batch again and again, as many steps an epoch."""
        import tensorflow as tf

        steps, options = int(self._batches.cardinality()), self._batches.options()
        batch = tf.data.Dataset.from_tensors(next(iter(self._batches)))
        return batch.repeat(steps).prefetch(3).with_options(options)

    def fit_seconds(self, feed: Any = None) -> float:
        """Seconds of an epoch's training part on a feed, its own unless given.

        An epoch must have been run before: it traces the graphs.
        """
        # A model soon memorizes one batch, and gradients too small for normal floats take a CPU far longer.
        self.model.optimizer.learning_rate.assign(0.0)
        batches = self._batches if feed is None else feed
        return timed(lambda: self.model.fit(batches, epochs=1, shuffle=False, verbose=0))


def measure(options: Options, machine: Machine) -> Measurement:
    """The parts of trials, then real feed and repeated batch in turn for every setup."""
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as folder:
        parts = [time_parts(options, Path(folder), repeat) for repeat in range(options.repeats)]
    whole = training_data(prepare_dataset(DataSettings(root=options.root)))
    images = {name: QUICK_IMAGES if options.quick else count for name, count in IMAGES.items()}
    prepare_process(threads=1)
    feeds = {}
    for setup in setups(options.quick):
        with _one_cpu() if setup.one_cpu else nullcontext():
            feeds[setup] = time_feed(setup, _some_images(whole, images[setup.model]), options.repeats)
    return summarize(parts, feeds, images, validation_share(len(whole.train), len(whole.validation)))


def setups(quick: bool) -> list[Setup]:
    """The ways to train that are timed; on one CPU with large batches only."""
    free = [Setup(model, size, policy) for model in MODELS for size in BATCH_SIZES for policy in POLICIES]
    held = [replace(each, one_cpu=True) for each in free if each.batch_size == max(BATCH_SIZES)]
    return [free[0], held[1]] if quick else [*free, *held]


def summarize(
    parts: Sequence[Parts],
    feeds: Mapping[Setup, Sequence[tuple[float, float]]],
    images: Mapping[str, int],
    least: float,
) -> Measurement:
    """The measurement that these seconds make.

    Args:
        parts: of all trials of a search together, one for each repeat.
        feeds: seconds of an epoch's training on the real feed and on one repeated batch, for each repeat.
        images: how many such an epoch trains on, by model.
        least: percent of a trial's arithmetic that validation is.
    """
    faster = {
        setup: tuple(100 * (real / repeated - 1) for real, repeated in seconds) for setup, seconds in feeds.items()
    }
    speeds = {setup: tuple(images[setup.model] / real for real, _ in pairs) for setup, pairs in feeds.items()}
    counts = " and ".join(f"{count:,}" for count in images.values())
    return Measurement(
        question="Does a trial wait for its data, and how much of its time is not training?",
        setting=f"Feed: {counts} images an epoch (small and large CNN), one training thread and a core to spare for "
        "the feed's own; real and repeated batches in turn; with augmentation the repeated batch was augmented once. "
        "On one CPU, as where every core trains a trial, gathering, scaling and augmenting take their time from the "
        "step. "
        f"Trials: {_describe_trials()}, one a core.",
        targets=(
            Target(
                Quantity("validation, checkpoint and report, of a trial's time", "%", tuple(map(overhead, parts))),
                OVERHEAD,
            ),
            *(
                Target(Quantity(f"one repeated batch is faster: {setup.name}", "%", values), FASTER)
                for setup, values in faster.items()
                if not setup.one_cpu
            ),
        ),
        others=(
            *(
                Quantity(f"one repeated batch is faster: {setup.name}", "%", values)
                for setup, values in faster.items()
                if setup.one_cpu
            ),
            *(_share(name, parts) for name in (part.name for part in fields(Parts))),
            *(Quantity(f"training alone: {setup.name}", "images/s", values) for setup, values in speeds.items()),
        ),
        limited_by="the training step; where every core trains a trial, also the warps and the noise of the strong "
        "policy (0.3 ms an image), which no thread can hide there.",
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
    words = [
        "space=plain2",
        *fixed_words(TRIAL_FIXED),
        *listed_words(grid),
        *data_words(options.root, folder / "cache"),
    ]
    words += ["search.searcher=grid", "search.scheduler=none", f"search.max_epochs={2 if quick else TRIAL_EPOCHS}"]
    run_search(words, folder, name, module="benchmarks.timed_trial")
    files = sorted((folder / name / "trials").glob(f"*/{PARTS_FILE}"))
    return add_parts([Parts(**json.loads(file.read_text())) for file in files])


def time_feed(setup: Setup, data: TrainingData, repeats: int) -> list[tuple[float, float]]:
    """Seconds of an epoch's training on the real feed and on one repeated batch, for each repeat."""
    train = TrainSettings(batch_size=setup.batch_size, augment=setup.policy, precision="float32")
    model = FeedModel(TrialConfig(MODELS[setup.model], train, max_epochs=100, seed=0), data, image_inputs(data))
    model.run_epoch()
    feed = model.repeat_first_batch()
    model.fit_seconds(feed)  # a batch of a fixed size is traced again
    pairs = [(model.fit_seconds(), model.fit_seconds(feed)) for _ in range(repeats)]
    del model, feed
    release_memory()
    return pairs


def _some_images(data: TrainingData, count: int) -> TrainingData:
    """So many of the images that train, drawn at random, and a batch of those that validate."""
    train = np.random.default_rng(0).permutation(data.train)[:count]
    return replace(data, train=train, validation=data.validation[: max(BATCH_SIZES)])


@contextmanager
def _one_cpu() -> Iterator[None]:
    """Hold this process, all threads that it has or starts, to one CPU."""
    before = os.sched_getaffinity(0)
    _pin_threads({max(before)})
    try:
        yield
    finally:
        _pin_threads(before)


def _pin_threads(cpus: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it may have ended meanwhile
            os.sched_setaffinity(int(thread), cpus)


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
