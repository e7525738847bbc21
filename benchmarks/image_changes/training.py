"""Trains the guess of `space=cnn2` on images that were prepared in one way, and keeps what it learnt.

Nothing here opens a test image.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.checkout import ROOT
from benchmarks.image_changes.changes import ARRIVING, Way, prepared
from data_pipeline.dataset import Dataset, prepare_dataset
from data_pipeline.settings import DataSettings
from data_pipeline.share import TrainingData
from data_pipeline.shift import shifted
from search.plan.lengths import with_lengths
from search.plan.priors import complete
from search.plan.seeds import trial_seed
from search.plan.settings import Settings
from search.plan.space_file import read_space
from search.plan.spaces import Plan
from search.plan.words import load_settings
from search.record import RunFolder, TrialRecord
from search.trial.checkpoint import BEST, Checkpoint, read_best, write_best
from search.trial.feed import image_inputs
from search.trial.process import prepare_process, release_memory
from search.trial.training import TrialModel, trial_config

SPACE = "cnn2"
QUICK_EPOCHS = 1


@dataclass(frozen=True)
class Images:
    """The pool of a data set as its files arrive, and how the space trains on it.

    Attributes:
        dataset: prepared at `ARRIVING` pixels.
        settings: of a bare search of the space on these images, its lengths as numbers.
        parameters: the space's guess, with its constants.
    """

    dataset: Dataset
    settings: Settings
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Copies:
    """Shifted copies of the validation images, prepared in one way: uint8 (m, size, size, 1) each.

    Attributes:
        shifted: shifted after they were prepared: the copy that a search judges its trials by.
        shifted_first: shifted as they arrive and then prepared, as images of another hospital are.
    """

    shifted: NDArray[np.uint8]
    shifted_first: NDArray[np.uint8]


def read_pool(root: str | None, quick: bool = False) -> Images:
    """The images of a folder, or of the bundled sample, with the settings of a bare search."""
    words = [f"space={SPACE}", *([f"data.root={root}"] if root else []), "train.precision=float32"]
    settings = load_settings([*words, *([f"search.max_epochs={QUICK_EPOCHS}"] if quick else [])])
    dataset = prepare_dataset(arriving(settings.data))
    settings, _ = with_lengths(settings, len(dataset.split.train), len(dataset.split.validation))
    settings = replace(settings, train=replace(settings.train, shuffle="all"))  # the pool is in memory
    space = read_space(settings)
    return Images(dataset, settings, complete(space, space.guess, random.Random(0)))


def arriving(data: DataSettings) -> DataSettings:
    """The data settings with images as large as they are changed at."""
    return replace(data, size=ARRIVING)


def training_images(images: Images, way: Way) -> tuple[TrainingData, Copies]:
    """The pool prepared in one way, with the two shifted copies of its validation images."""
    dataset, size = images.dataset, images.settings.data.size
    pool, rows = dataset.pool.open(), dataset.split.validation
    changed = prepared(pool, way.change, size)
    copies = Copies(shifted(changed, rows), prepared(shifted(pool, rows), way.change, size))
    data = TrainingData(
        images=changed,
        labels=dataset.manifest.pool_labels,
        train=dataset.split.train,
        validation=rows,
        classes=dataset.manifest.classes,
        fingerprint=f"{dataset.pool.fingerprint} {way.name}",
        shifted=copies.shifted,
    )
    return data, copies


def build(images: Images, seed: int, data: TrainingData) -> TrialModel:
    """The model of a seed; models of one seed differ in nothing but their images."""
    plan = Plan(images.parameters, images.settings.search.max_epochs, repeat=seed, listed=True)
    trial = TrialRecord(seed, plan.parameters, trial_seed(0, seed, plan), plan.max_epochs)
    return TrialModel(trial_config(trial, images.settings.train), data, image_inputs(data))


def train(images: Images, ways: Sequence[Way], seeds: int, store: RunFolder) -> None:
    """Train every way with every seed, and keep the weights of the best epoch by the metric of a search.

    Trainings that are in the store already are left out, so that an interrupted command goes on where it was.
    """
    missing = [(seed, way) for seed in range(seeds) for way in ways if not is_trained(store, way, seed)]
    if missing:
        prepare_process(1)  # as a trial of a search on two cores: more threads add in another order
    for seed, way in missing:
        data, _ = training_images(images, way)
        model = build(images, seed, data)
        best, weights = math.inf, model.weights()
        while not model.is_done:
            loss = model.run_epoch().shifted_calibrated_loss
            if loss is not None and loss < best:
                best, weights = loss, model.weights()
        write_best(store, _name(way, seed), Checkpoint(weights, (), model.history))
        print(f"{_name(way, seed)}: {best:.4f} after {sum(each.seconds for each in model.history):.0f} s", flush=True)
        del model
        release_memory()


def is_trained(store: RunFolder, way: Way, seed: int) -> bool:
    """Whether a training is in the store."""
    return BEST in store.names("trials", _name(way, seed))


def trained(images: Images, way: Way, seed: int, data: TrainingData, store: RunFolder) -> TrialModel:
    """A model with the weights that were kept."""
    model, kept = build(images, seed, data), read_best(store, _name(way, seed))
    model.restore(kept.weights, model.optimizer_state(), kept.history)
    return model


def _name(way: Way, seed: int) -> str:
    return f"{way.name.replace(' ', '-')}-{seed}"


def store_folder(root: str | None, quick: bool) -> RunFolder:
    """Where weights are kept: by the images that they were trained on."""
    name = f"{harness.data_fingerprint(root)}{'-quick' if quick else ''}"
    return RunFolder(str(ROOT / "build" / "image_changes" / name))
