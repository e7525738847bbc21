"""How well a trial's first epochs foretell its end, by two scores.

One way has the default score and batch norm ("now"), the other the validation loss and Keras' batch norm ("before").

`python -m benchmarks.first_rung --root FOLDER`; on 2 cores about an hour and a half with the full set, a third of it
without `--root`, on the sample alone. Every trial is trained to its last epoch and none is compared on the way. The
searches stay in `build/first_rung/`, so that an interrupted benchmark resumes and nothing is trained twice (remove the
folder when training itself has changed). Of the full set, the default's trials are the first ones of
`benchmarks.curves`, whose table is read where it has enough of them.

No test image is opened: evaluation is off.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from benchmarks import harness
from benchmarks.checkout import ROOT
from benchmarks.curves.table import read_curves, table_path
from benchmarks.curves.training import SIZE, full_length_words, train_curves
from benchmarks.measurement import Bound, Machine, Measurement, Options, Quantity, Target
from benchmarks.searches import data_words, kept_search
from search.plan.lengths import first_rung
from search.plan.settings import KERAS_NORM_MOMENTUM
from search.record import RunFolder, TrialRecord, lower_is_better

TRIALS, QUICK_TRIALS = 60, 6
NOW, BEFORE = "shifted_calibrated_loss", "val_loss"
RESAMPLES = 2_000


@dataclass(frozen=True)
class Way:
    """One way of training and of judging.

    Attributes:
        name: in words.
        words: settings besides the space's.
        metric: by which a trial is judged at the rung and at its end.
    """

    name: str
    words: tuple[str, ...]
    metric: str


WAYS = (
    Way("now", (), NOW),
    Way("before", (f"train.norm_momentum={KERAS_NORM_MOMENTUM}",), BEFORE),
)


@dataclass(frozen=True)
class Curves:
    """The trials of one search, and the epoch of the first rung that it would have had."""

    trials: Sequence[TrialRecord]
    rung: int


def measure(options: Options, machine: Machine) -> Measurement:
    """Both ways on the sample and, with `--root`, on that set too; searches in the folder are read from it."""
    sets = [("the sample", None)] + ([("the full set", options.root)] if options.root else [])
    return summarize({name: {way.name: _curves(way, root, options.quick) for way in WAYS} for name, root in sets})


def summarize(found: Mapping[str, Mapping[str, Curves]]) -> Measurement:
    """The measurement that the curves of each set and way make."""
    targets: list[Target] = []
    others: list[Quantity] = []
    for data, ways in found.items():
        rung = ways["now"].rung
        quantities = {
            (way.name, epoch): _quantity(f"{data}, {way.name}: after epoch {epoch}", way.metric, ways[way.name], epoch)
            for way in WAYS
            for epoch in (1, ways[way.name].rung)
        }
        gain = quantities["now", rung].median - quantities["before", 1].median
        name = f"{data}: now after epoch {rung}, the first rung of `auto`, less before after epoch 1"
        targets.append(Target(Quantity(name, "", (gain,)), Bound(0.0, at_most=False)))
        others += quantities.values()
    count = len(next(iter(next(iter(found.values())).values())).trials)
    return Measurement(
        question="How well does the score after a trial's first epochs rank it as its end does (Spearman)?",
        setting=f"Space cnn2, {count} random trials trained to their end, one seed; the sample at the space's own "
        f"size, the full set at {SIZE} pixels. A trial's end is its best epoch by the same score: now the shifted "
        "calibrated loss; before the validation loss as it is, with Keras' momentum of batch norm.",
        targets=tuple(targets),
        others=tuple(others),
        notes=(
            "Brackets hold the 95 % interval over resampled trials.",
            "Searches are kept: the time below is that of the last session alone.",
        ),
        limited_by="the noise of the ends: one configuration with two seeds does not end twice at the same score.",
        physical_limit="1, if the first epoch told the end.",
    )


def _quantity(name: str, metric: str, curves: Curves, epoch: int) -> Quantity:
    return rank_quantity(name, *scores(curves.trials, metric, epoch))


def rank_quantity(name: str, early: NDArray[np.float64], last: NDArray[np.float64]) -> Quantity:
    """Spearman's rank correlation between the ends of its 95 % interval, as a figure of that name."""
    low, high = interval(early, last)
    return Quantity(name, "", (low, correlation(early, last), high))


def scores(trials: Sequence[TrialRecord], metric: str, epoch: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best score up to an epoch and up to the end, float64 (trials,) each; lower is better."""
    sign = 1 if lower_is_better(metric) else -1

    def best(trial: TrialRecord, epochs: int) -> float:
        values = [getattr(each, metric) for each in trial.epochs[:epochs]]
        return min((sign * value for value in values if value is not None), default=math.inf)

    return (
        np.array([best(trial, epoch) for trial in trials]),
        np.array([best(trial, len(trial.epochs)) for trial in trials]),
    )


def correlation(early: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    """Spearman's rank correlation."""
    return float(spearmanr(early, last).statistic)


def interval(early: NDArray[np.float64], last: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the correlation over trials (percentiles, a fixed seed)."""
    rows = np.random.default_rng(0).integers(0, len(early), (RESAMPLES, len(early)))
    low, high = np.nanpercentile(correlations(early[rows], last[rows]), (2.5, 97.5))
    return float(low), float(high)


def correlations(early: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rank correlation of each row of (R, N) with the same row of the other; NaN where one is constant."""
    ranks = np.stack([rankdata(each, axis=1) for each in (early, last)])  # (2, R, N), equals share a rank
    apart = ranks - ranks.mean(axis=-1, keepdims=True)
    spread = np.sqrt((apart**2).sum(axis=-1).prod(axis=0))  # (R,)
    found: NDArray[np.float64] = np.full(len(early), math.nan)
    np.divide(apart.prod(axis=0).sum(axis=-1), spread, out=found, where=spread > 0)
    return found


def _curves(way: Way, root: str | None, quick: bool) -> Curves:
    """The curves of one search, trained or read."""
    if way.name == "now" and root and not quick:
        if kept := _table_curves(root, TRIALS):
            return kept
        return curves_of(train_curves("cnn2", root, TRIALS), TRIALS)
    return kept_curves(way, SIZE if root else None, root, quick)


def kept_curves(way: Way, size: int | None, root: str | None, quick: bool) -> Curves:
    """The curves of a search that this benchmark keeps, trained now unless it is there.

    Args:
        way: of training.
        size: of the images, in pixels; None for the space's own.
        root: folder of the images; None for the bundled sample.
        quick: few trials of two epochs.
    """
    count = QUICK_TRIALS if quick else TRIALS
    store = ROOT / "build" / "first_rung" / f"{harness.data_fingerprint(root)}-{count}"
    words = [*full_length_words("cnn2", count), *way.words, *(["search.max_epochs=2"] if quick else [])]
    name = way.name
    if size is not None:
        words, name = [*words, f"data.size={size}"], f"{name}-{size}px"
    return curves_of(kept_search([*words, *data_words(root, store / "cache")], store, name), count)


def curves_of(folder: RunFolder, count: int) -> Curves:
    """The first trials of a search."""
    grace = folder.read_run().config["search"]["asha"]["grace_period"]
    return Curves(tuple(folder.read_trials().values())[:count], grace)


def _table_curves(root: str, count: int) -> Curves | None:
    """The first trials of the table that `benchmarks.curves` made, if it is of these images and has so many."""
    kept = read_curves(table_path("cnn2")) if table_path("cnn2").is_file() else None
    if kept is None or len(kept.trials) < count or kept.about.fingerprint[:12] != harness.data_fingerprint(root):
        return None
    return Curves(kept.trials[:count], first_rung(kept.about.settings.search.max_epochs, kept.about.steps))


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=1)
