"""Trains the guess of `space=cnn2` on images that were prepared in one way, and keeps what it learnt.

Nothing here opens a test image.
"""

import json
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.image_changes.changes import ARRIVING, Way, prepared
from data_pipeline.dataset import Dataset, DataSettings, prepare_dataset
from data_pipeline.preprocess import cpu_count
from data_pipeline.share import TrainingData
from data_pipeline.shift import shifted
from search.plan.lengths import with_lengths
from search.plan.priors import complete
from search.plan.seeds import trial_seed
from search.plan.settings import Settings
from search.plan.space_file import read_space
from search.plan.spaces import Plan
from search.plan.words import load_settings
from search.record import EpochRecord, TrialRecord, from_json
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
    """The validation images, prepared in one way: uint8 (m, size, size, 1) each.

    Attributes:
        plain: as they are.
        shifted: shifted after they were prepared: the copy that a search judges its trials by.
        shifted_first: shifted as they arrive and then prepared, as images of another hospital are.
    """

    plain: NDArray[np.uint8]
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
    """The pool prepared in one way, with its validation images and their two shifted copies."""
    dataset, size = images.dataset, images.settings.data.size
    pool, rows = dataset.pool.open(), dataset.split.validation
    changed = prepared(pool, way.change, size)
    copies = Copies(changed[rows], shifted(changed, rows), prepared(shifted(pool, rows), way.change, size))
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
    plan = Plan(images.parameters, images.settings.search.max_epochs)
    # The seed is that of the first trial, the guess, of a search with that seed.
    trial = TrialRecord(0, plan.parameters, trial_seed(seed, 0, plan), plan.max_epochs)
    return TrialModel(trial_config(trial, images.settings.train), data, image_inputs(data))


def train(images: Images, ways: tuple[Way, ...], seeds: int, store: Path) -> None:
    """Train every way with every seed, and keep the weights of the best epoch by the metric of a search.

    Trainings that are in the store already are left out, so that an interrupted command goes on where it was.
    """
    missing = [(seed, way) for seed in range(seeds) for way in ways if not weights_file(store, way, seed).is_file()]
    if missing:
        prepare_process(cpu_count())
    for seed, way in missing:
        if weights_file(store, way, seed).is_file():  # made by another process meanwhile
            continue
        data, _ = training_images(images, way)
        model = build(images, seed, data)
        best, kept = float("inf"), model.weights()
        while not model.is_done:
            epoch = model.run_epoch()
            if epoch.shifted_calibrated_loss is not None and epoch.shifted_calibrated_loss < best:
                best, kept = epoch.shifted_calibrated_loss, model.weights()
        _write(weights_file(store, way, seed), kept, [asdict(epoch) for epoch in model.history])
        print(f"{way.name}, seed {seed}: {best:.4f}, {sum(e.seconds for e in model.history):.0f} s", flush=True)
        del model
        release_memory()


def trained(images: Images, way: Way, seed: int, data: TrainingData, store: Path) -> TrialModel:
    """A model with the weights that were kept."""
    model = build(images, seed, data)
    with np.load(weights_file(store, way, seed)) as kept:
        history = [from_json(EpochRecord, epoch) for epoch in json.loads(str(kept["history"]))]
        model.restore([kept[str(place)] for place in range(len(kept.files) - 1)], (), history)
    return model


def store_folder(root: str | None, quick: bool) -> Path:
    """Where weights are kept: by the images that they were trained on."""
    return harness.ROOT / "build" / "image_changes" / f"{harness.data_fingerprint(root)}{'-quick' if quick else ''}"


def weights_file(store: Path, way: Way, seed: int) -> Path:
    """The file of a training's weights."""
    return store / f"{way.name.replace(' ', '_')}-{seed}.npz"


def _write(path: Path, weights: list[NDArray[Any]], history: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        named = {str(place): array for place, array in enumerate(weights)}
        np.savez(file, **named, history=np.array(json.dumps(history)))  # type: ignore[arg-type]
    partial.replace(path)
