"""What the trainings of `benchmarks.image_changes` look at, on the test set and on an outside set.

`python -m benchmarks.seen_outside --root FOLDER --outside FOLDER`, after `python -m benchmarks.image_changes` with the
same folder; two minutes. It explains and chooses nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import harness
from benchmarks.image_changes.__main__ import SEEDS
from benchmarks.image_changes.changes import AS_THEY_ARE, Grey, lung_box, prepared
from benchmarks.image_changes.training import Images, read_pool, store_folder, trained, training_images
from benchmarks.image_changes_test import ScoredSet, scored_sets
from benchmarks.measurement import Grid, Machine, Measurement, Options, Quantity
from data_pipeline import shortcuts
from data_pipeline.manifest import ImageRow
from data_pipeline.opencv import opencv
from search.evaluate.gallery import grad_cam, overlay, png
from search.trial.process import release_memory
from search.trial.training import predict

PICTURE = "seen_outside.png"
SHOWN, SIDE = 4, 160  # images of each class of each set in the picture; pixels of their side there
SEEN = 100  # images of each class of each set whose heat is measured

# What is no sign of a disease, of an image uint8 (H, W).
PROPERTIES: dict[str, Callable[[ImageRow, Grey], float]] = {
    **{name: shortcuts.PROPERTIES[name] for name in ("brightness", "contrast")},
    "black border": lambda row, image: float((image < 16).mean()),
    # of an image of mean 0 and standard deviation 1, as the models see it
    "sharpness, normalized": lambda row, image: float(np.abs(_edges(image)).mean() / max(float(image.std()), 1.0)),
}


def _edges(image: Grey) -> NDArray[np.float64]:
    found: NDArray[np.float64] = opencv().Laplacian(image, opencv().CV_64F)
    return found


@dataclass(frozen=True)
class Seen:
    """What was found in one set.

    Attributes:
        name: TEST or OUTSIDE.
        classes: names.
        labels: int64 (N,).
        positive: probability of class 1, float (seeds, N).
        properties: of `PROPERTIES` by name, float (N,).
        inside: of each class, the share of the heat inside the lung field, in [0, 1]: float (seeds, K).
        expected: the share of the image that the lung field has, by class: float (K,).
    """

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    positive: NDArray[np.floating]
    properties: dict[str, NDArray[np.float64]]
    inside: NDArray[np.float64]
    expected: NDArray[np.float64]


def measure(options: Options, machine: Machine) -> Measurement:
    """Heat and properties of both sets, and a picture of some images with the heat over them."""
    pool = read_pool(options.root, options.quick)
    sets = [*scored_sets(pool, options.outside)]
    store, size = store_folder(options.root, options.quick), pool.settings.data.size
    data, _ = training_images(pool, AS_THEY_ARE)
    images = [prepared(each.images, AS_THEY_ARE.change, size) for each in sets]
    said: list[list[NDArray[np.floating]]] = [[] for _ in sets]
    heats: list[list[NDArray[np.float32]]] = [[] for _ in sets]
    for seed in range(options.repeats):
        model = trained(pool, AS_THEY_ARE, seed, data, store)
        for place, scored in enumerate(sets):
            said[place].append(predict(model.model, images[place], np.arange(len(scored.labels)))[:, 1])
            rows = chosen(scored.labels)
            heats[place].append(grad_cam(model.model, images[place][rows], np.ones(len(rows), np.int64)))
        del model
        release_memory()
    picture = np.concatenate([_rows(*each) for each in zip(sets, images, (heat[0] for heat in heats), strict=True)])
    harness.picture_path(options, PICTURE).write_bytes(png(picture))
    found = [_seen(pool, *each) for each in zip(sets, said, heats, strict=True)]
    return summarize(found, options.repeats)


def chosen(labels: NDArray[np.int64], most: int = SEEN) -> NDArray[np.int64]:
    """Rows of both classes in equal numbers, spread evenly over a set: int64 (n,), class 0 first."""
    own = [np.flatnonzero(labels == label) for label in (0, 1)]
    count = min(most, *map(len, own))
    return np.concatenate([rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)] for rows in own])


def _rows(scored: ScoredSet, images: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Two lines of a picture, one a class: images beside the heat over them, uint8 (2 SIDE, 2 SIDE SHOWN, 3)."""
    rows = chosen(scored.labels)
    half = len(rows) // 2
    count = min(SHOWN, half)
    lines = []
    for first in (0, half):
        shown = first + np.linspace(0, half - 1, count).astype(np.int64)
        pairs = [(scored.images[rows[n]], overlay(scored.images[rows[n]], heat[n])) for n in shown]
        parts = [each for plain, warm in pairs for each in (np.repeat(plain, 3, axis=2), warm)]
        lines.append(np.concatenate([_small(each) for each in parts], axis=1))
    return np.concatenate(lines)


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    made: NDArray[np.uint8] = opencv().resize(image, (SIDE, SIDE), interpolation=opencv().INTER_AREA)
    return made


def _seen(
    pool: Images,
    scored: ScoredSet,
    said: Sequence[NDArray[np.floating]],
    heats: Sequence[NDArray[np.float32]],
) -> Seen:
    rows = chosen(scored.labels)
    fields = np.stack([_lung_field(scored.images[row][..., 0]) for row in rows])  # (n, H, W)
    of_class = scored.labels[rows]
    inside = np.array([[inside_share(h[of_class == k], fields[of_class == k]) for k in (0, 1)] for h in heats])
    return Seen(
        name=scored.name,
        classes=pool.dataset.manifest.classes,
        labels=scored.labels,
        positive=np.stack(said),
        properties={name: _values(scored, of) for name, of in PROPERTIES.items()},
        inside=inside,
        expected=np.array([fields[of_class == k].mean() for k in (0, 1)]),
    )


def _values(scored: ScoredSet, of: Callable[[ImageRow, Grey], float]) -> NDArray[np.float64]:
    return np.array([of(row, image[..., 0]) for row, image in zip(scored.rows, scored.images, strict=True)])


def _lung_field(image: Grey) -> NDArray[np.bool_]:
    top, bottom, left, right = lung_box(image)
    field = np.zeros(image.shape, bool)
    field[top:bottom, left:right] = True
    return field


def inside_share(heat: NDArray[np.float32], fields: NDArray[np.bool_]) -> float:
    """The share of the heat (n, h, w) that lies inside the fields (n, H, W), the mean over images that have heat."""
    cv2 = opencv()
    height, width = fields.shape[1:]
    large = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_LINEAR) for each in heat])
    whole = large.sum(axis=(1, 2))
    shares = (large * fields).sum(axis=(1, 2))[whole > 0] / whole[whole > 0]
    return float(shares.mean()) if len(shares) else float("nan")


def summarize(found: Sequence[Seen], seeds: int) -> Measurement:
    """The measurement that what was seen in each set makes."""
    return Measurement(
        question="What do small CNNs look at in images of another place, and which cue would rank these the wrong way?",
        setting=f"The {seeds} trainings of image_changes on images as they are, of the guess of space cnn2. Grad-CAM "
        f"of class 1 on up to {SEEN} images of each class; the lung field is the crop of image_changes. A property's "
        "AUC is that of the property alone for class 1 (0.5: tells nothing); the rank correlation (Spearman) is that "
        "of the property with the mean answer of the trainings.",
        grids=(
            Grid("share of the heat inside the lung field", ("heat", "the field's share of the image"), _heat(found)),
            Grid("no sign of a disease", tuple(_columns(found)), _property_rows(found)),
        ),
        limited_by="Grad-CAM: its maps have few pixels, and they show where, not what.",
        physical_limit="heat inside the lungs alone.",
        notes=("The picture has lines of " + _lines(found) + "; each image stands beside its heat.",),
        picture=PICTURE,
    )


def _lines(found: Sequence[Seen]) -> str:
    return ", ".join(f"{each.name} {name}" for each in found for name in each.classes)


def _heat(found: Sequence[Seen]) -> tuple[tuple[Quantity, ...], ...]:
    return tuple(
        (
            Quantity(f"{each.name}, {name}", "", tuple(map(float, each.inside[:, place]))),
            Quantity(f"{each.name}, {name}", "", (float(each.expected[place]),)),
        )
        for each in found
        for place, name in enumerate(each.classes)
    )


def _columns(found: Sequence[Seen]) -> list[str]:
    return [f"{each.name}: {what}" for each in found for what in ("AUC alone", "correlation with the answer")]


def _property_rows(found: Sequence[Seen]) -> tuple[tuple[Quantity, ...], ...]:
    rows = []
    for name in PROPERTIES:
        row = []
        for each in found:
            values = each.properties[name]
            alone = shortcuts.auc_alone(values, each.labels == 1)
            follows = float(spearmanr(values, each.positive.mean(axis=0)).statistic)
            row += [Quantity(name, "", (alone,)), Quantity(name, "", (follows,))]
        rows.append(tuple(row))
    return tuple(rows)


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS)
