"""Do CLAHE, crops of the lung field, or averaging over views of an image pay? `python -m benchmarks.image_changes`.

With `--root FOLDER` on the full set 9 trainings of 60 to 90 s on a free core; each is kept in `build/image_changes/`
when it ends, so that an interrupted benchmark goes on where it was.

The guess of `space=cnn2` is trained on the images as they are and prepared in two other ways, with three seeds each,
and judged as a search judges a trial: by the calibrated loss on a shifted copy of validation. A search shifts images
that were prepared already. Those of another hospital differ before they are prepared, and this order is scored too.

The rule that decides was written down before the first score: a change pays if the worst of its seeds is better than
the best seed of the images as they are, in both orders. Only what pays becomes a setting.

No test image is opened here. `python -m benchmarks.image_changes_test` opens them, after the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import mean_interval
from benchmarks import harness
from benchmarks.image_changes.changes import AS_THEY_ARE, VIEWS, WAYS, views
from benchmarks.image_changes.training import read_pool, store_folder, train, trained, training_images
from benchmarks.measurement import Grid, Machine, Measurement, Options, Quantity
from search.trial.metrics import judge
from search.trial.process import release_memory
from search.trial.training import TrialModel, predict

SEEDS = 3
COLUMNS = (
    "shifted, as a search does",
    "shifted first, then prepared",
    "AUC, shifted first",
    "mean of the trainings, as a search does",
    "mean of the trainings, shifted first",
)


@dataclass(frozen=True)
class Judged:
    """The scores of probabilities for the validation images: calibrated losses, and an AUC in [0, 1].

    Attributes:
        shifted: on images shifted after they were prepared, as a search judges.
        shifted_first: on images shifted before.
        auc: on images shifted before.
    """

    shifted: float
    shifted_first: float
    auc: float


@dataclass(frozen=True)
class Found:
    """The scores of one way, or of one average over views.

    Attributes:
        seeds: of each training.
        together: of the mean of their probabilities, as a winner averages several models.
    """

    seeds: tuple[Judged, ...]
    together: Judged


def measure(options: Options, machine: Machine) -> Measurement:
    """Train what is missing, and judge every way and every average over views on validation."""
    images, store = read_pool(options.root, options.quick), store_folder(options.root, options.quick)
    train(images, WAYS, options.repeats, store)
    labels = images.dataset.manifest.pool_labels[images.dataset.split.validation]
    said: dict[str, list[NDArray[np.floating]]] = {}
    for way in WAYS:
        data, copies = training_images(images, way)
        for seed in range(options.repeats):
            model = trained(images, way, seed, data, store)
            for name in (way.name, *(VIEWS if way == AS_THEY_ARE else ())):
                of_views = name if name in VIEWS else ""
                both = [predict_views(model, copy, of_views) for copy in (copies.shifted, copies.shifted_first)]
                said.setdefault(name, []).append(np.stack(both))
            del model
            release_memory()
    found = {
        name: Found(tuple(_judge(labels, each) for each in seeds), _judge(labels, np.mean(seeds, axis=0)))
        for name, seeds in said.items()
    }
    return summarize(found, images.settings.data.size, images.settings.search.max_epochs, len(labels))


def _judge(labels: NDArray[np.int64], said: NDArray[np.floating]) -> Judged:
    """The scores of probabilities for both copies, float (2, m, K)."""
    shifted, first = (judge(labels, each) for each in said)
    return Judged(*(np.nan if x is None else x for x in (shifted.calibrated_loss, first.calibrated_loss, first.auc)))


def predict_views(model: TrialModel, images: NDArray[np.uint8], name: str = "") -> NDArray[np.floating]:
    """Probabilities, float (N, 2), averaged over the views of `VIEWS` of that name; without one, of the images."""
    seen = views(images, name) if name else (images,)
    said = np.stack([predict(model.model, each, np.arange(len(images))) for each in seen])
    mean: NDArray[np.floating] = said.mean(axis=0)
    return mean


def pays(change: Sequence[Judged], before: Sequence[Judged]) -> bool:
    """Whether the worst seed of a change is better than the best seed of the images as they are, in both orders."""
    return all(
        max(getattr(each, order) for each in change) < min(getattr(each, order) for each in before)
        for order in ("shifted", "shifted_first")
    )


def summarize(found: Mapping[str, Found], size: int, epochs: int, validation: int) -> Measurement:
    """The measurement that the scores of each way make.

    Args:
        found: by the name of a way or of views.
        size: pixels that the models see.
        epochs: of a training.
        validation: how many images validate.
    """
    before = found[AS_THEY_ARE.name].seeds
    chosen = [name for name, each in found.items() if pays(each.seeds, before)]
    verdict = f"What pays by the rule: {', '.join(chosen)}." if chosen else "By the rule none of them pays."
    return Measurement(
        question="Do CLAHE, crops of the lung field, or averaging over views of an image pay on shifted validation?",
        setting=f"The guess of space cnn2, {epochs} epochs, {size} pixels, {len(before)} seeds (the repeats); the best "
        f"epoch by the search's own score; {validation} validation images. Images are changed at 224 pixels and then "
        "made smaller. Columns are calibrated losses (lower is better) on copies of validation, and the AUC. A change "
        "pays if its worst seed is better than the best seed of the images as they are, in both orders of shifting; "
        "the rule was written before the first score.",
        grids=(
            Grid("images prepared", COLUMNS, tuple(_row(way.name, found[way.name]) for way in WAYS)),
            Grid("predictions averaged over views", COLUMNS, tuple(_row(name, found[name]) for name in VIEWS)),
        ),
        limited_by="three seeds, whose spread is the yardstick.",
        physical_limit="a loss of 0.",
        notes=(
            verdict,
            *(_difference(name, found[name].seeds, before) for name in VIEWS),
            "CLAHE: OpenCV's, clip limit 2, 8 x 8 tiles. Lung crop: between the brightest columns of the outer "
            "quarters and the brightest rows of the outer sixths.",
            "Views are of the models of images as they are: 2, 10 and 10 an image. Shifts are by 4 % of the side, and "
            "crops show 90 % of it.",
        ),
    )


def _row(name: str, found: Found) -> tuple[Quantity, ...]:
    columns = ("shifted", "shifted_first", "auc")
    seeds = (tuple(getattr(each, column) for each in found.seeds) for column in columns)
    together = ((found.together.shifted,), (found.together.shifted_first,))
    return tuple(Quantity(name, "", values) for values in (*seeds, *together))


def _difference(name: str, seeds: Sequence[Judged], before: Sequence[Judged]) -> str:
    """By how much averaging over views changes the losses of the same trainings, in words."""
    orders = []
    for order in ("shifted", "shifted_first"):
        found = mean_interval([getattr(a, order) - getattr(b, order) for a, b in zip(seeds, before, strict=True)])
        orders.append(f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]")
    return f"Averaging over {name} changes the losses of the same trainings by {orders[0]}; shifted first {orders[1]}."


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS)
