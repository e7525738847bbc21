"""Scores the trainings of `benchmarks.image_changes` on the test set and an outside set, after validation has chosen.

`python -m benchmarks.image_changes_test --root FOLDER [--outside FOLDER]`, after `python -m benchmarks.image_changes`
with the same folder; about a minute. Whatever is chosen after a look at these figures was not chosen by validation
alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.paired import AucComparison, delong_comparison
from benchmarks import harness
from benchmarks.image_changes.__main__ import SEEDS, predict_views
from benchmarks.image_changes.changes import AS_THEY_ARE, VIEWS, WAYS, prepared
from benchmarks.image_changes.training import (
    Images,
    arriving,
    is_trained,
    read_pool,
    store_folder,
    trained,
    training_images,
)
from benchmarks.measurement import Grid, Machine, Measurement, Options, Quantity
from data_pipeline.dataset import prepare_extra_test
from data_pipeline.manifest import ImageRow
from search.evaluate.sets import number_patients
from search.record import TEST
from search.trial.metrics import mean_auc
from search.trial.process import release_memory

OUTSIDE = "outside"
COLUMNS = ("single trainings", "mean of the trainings", "difference from as they are")


@dataclass(frozen=True)
class ScoredSet:
    """Images that are scored.

    Attributes:
        name: TEST or OUTSIDE.
        images: as they arrive, uint8 (N, H, W, 1).
        labels: int64 (N,).
        patients: a number for the patient of each, int64 (N,).
        rows: of the manifest, N.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]
    rows: tuple[ImageRow, ...]


# Of each way or views by name, the probability of class 1: float (seeds, N).
Answers = Mapping[str, NDArray[np.floating]]


def measure(options: Options, machine: Machine) -> Measurement:
    """The AUCs of every way that was trained, on both sets."""
    pool = read_pool(options.root, options.quick)
    sets = scored_sets(pool, options.outside)
    return summarize([(each, answers(pool, each, options)) for each in sets], options.repeats)


def scored_sets(pool: Images, outside: str | None) -> Iterator[ScoredSet]:
    """The test set and, where one is given, the outside set."""
    dataset = pool.dataset
    found = {TEST: (dataset.manifest.test_rows, dataset.test)}
    if outside:
        extra = prepare_extra_test(OUTSIDE, outside, dataset.manifest.classes, arriving(pool.settings.data))
        found[OUTSIDE] = (extra.rows, extra.images)
    for name, (rows, images) in found.items():
        chosen = images.open()[[row.index for row in rows]]
        yield ScoredSet(name, chosen, np.array([row.label for row in rows]), number_patients(rows), tuple(rows))


def answers(pool: Images, scored: ScoredSet, options: Options) -> Answers:
    """What every training, and every average over views, says of a set; ways that were not trained are left out."""
    store = store_folder(options.root, options.quick)
    found: dict[str, list[NDArray[np.floating]]] = {}
    for way in WAYS:
        if not all(is_trained(store, way, seed) for seed in range(options.repeats)):
            continue
        data, _ = training_images(pool, way)
        images = prepared(scored.images, way.change, pool.settings.data.size)
        for seed in range(options.repeats):
            model = trained(pool, way, seed, data, store)
            for name in (way.name, *(VIEWS if way == AS_THEY_ARE else ())):
                said = predict_views(model, images, name if name in VIEWS else "")[:, 1]
                found.setdefault(name, []).append(said)
            del model
            release_memory()
    return {name: np.stack(said) for name, said in found.items()}


def summarize(found: Sequence[tuple[ScoredSet, Answers]], seeds: int) -> Measurement:
    """The measurement that the answers about each set make."""
    return Measurement(
        question="What would the changes of image_changes have done on the test set and on an outside set?",
        setting=f"The trainings of image_changes, {seeds} seeds, scored once after validation had chosen. Figures are "
        "AUCs: of the single trainings with their range; of the mean of their probabilities, and its difference from "
        "the images as they are, with 95 % intervals over patients (DeLong, Obuchowski).",
        grids=tuple(_grid(scored, said) for scored, said in found),
        limited_by="the sets' sizes: " + "; ".join(_size(scored) for scored, _ in found) + ".",
        physical_limit="an AUC of 1.",
        notes=("These figures chose nothing.",),
    )


def _size(scored: ScoredSet) -> str:
    return f"{scored.name}, {len(scored.labels)} images of {len(np.unique(scored.patients))} patients"


def _grid(scored: ScoredSet, said: Answers) -> Grid:
    rows = []
    for name, each in said.items():
        singles = tuple(auc(scored.labels, one) for one in each)
        pair = compare(scored, each, said[AS_THEY_ARE.name])
        bounds = [(e.low, e.value, e.high) for e in (pair.first, pair.difference)]
        values = (singles, *bounds) if name != AS_THEY_ARE.name else (singles, bounds[0], (0.0,))
        rows.append(tuple(Quantity(name, "", each) for each in values))
    return Grid(f"AUC, {_size(scored)}", COLUMNS, tuple(rows))


def auc(labels: NDArray[np.int64], positive: NDArray[np.floating]) -> float:
    """The area under the ROC curve of one training's probabilities of class 1, (N,)."""
    found = mean_auc(labels, np.column_stack([1 - positive, positive]).astype(np.float64))
    return np.nan if found is None else found


def compare(scored: ScoredSet, said: NDArray[np.floating], before: NDArray[np.floating]) -> AucComparison:
    """The means of two ways' trainings, float (seeds, N) each, on the same images."""
    return delong_comparison(scored.labels == 1, said.mean(axis=0), before.mean(axis=0), scored.patients)


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS)
