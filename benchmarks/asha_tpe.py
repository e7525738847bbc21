"""ASHA with TPE against random trials of full length: how good, for how many epochs.

`python -m benchmarks.asha_tpe --root FOLDER`; on the full set and 2 cores about an hour, most of it for the random
trials. Each search's folder is kept in `build/asha_tpe/`, so that nothing is trained twice: an interrupted benchmark
resumes, and searches of full length serve for every later version of ASHA and TPE (remove the folder when training
itself has changed).

Both search the shipped space plain2 on images of 64 x 64 pixels; a repeat is a seed. They are judged by the AUC: after
one epoch many networks call every image pneumonia. Their accuracies are then all 0.5, which does not distinguish them;
their AUCs do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness
from benchmarks.checkout import ROOT
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity, Target
from benchmarks.searches import data_words, kept_search
from search.record import TrialRecord

SEEDS = 5
TRIALS, EPOCHS, SIZE = 24, 9, 64
QUICK_TRIALS, QUICK_EPOCHS, QUICK_SIZE = 4, 2, 32
METRIC = "val_auc"
WAYS = {"random": ("random", "none"), "asha_tpe": ("tpe", "asha")}  # searcher, scheduler


@dataclass(frozen=True)
class Score:
    """The result of a search.

    Attributes:
        best: the best METRIC of any epoch of any trial.
        accuracy: the best validation accuracy, of whichever epoch.
        epochs: that it trained in all.
    """

    best: float
    accuracy: float
    epochs: int


def measure(options: Options, machine: Machine) -> Measurement:
    """Both ways with each seed, those already in the folder read from it."""
    store = ROOT / "build" / "asha_tpe" / _store_name(options)
    found = {way: [score(_trials(way, seed, options, store)) for seed in range(options.repeats)] for way in WAYS}
    return summarize(found["asha_tpe"], found["random"], options.quick)


def summarize(ours: Sequence[Score], random: Sequence[Score], quick: bool = False) -> Measurement:
    """The measurement that the scores of each seed make."""
    trials, epochs, size = (QUICK_TRIALS, QUICK_EPOCHS, QUICK_SIZE) if quick else (TRIALS, EPOCHS, SIZE)
    behind = tuple(100 * (theirs.best - each.best) for each, theirs in zip(ours, random, strict=True))
    return Measurement(
        question="How much of a random search's result do ASHA and TPE reach, for how much of its training?",
        setting=f"Space plain2 at {size} x {size}, {trials} trials of up to {epochs} epochs, {len(ours)} seeds of the "
        f"search (the repeats); a search is judged by the best {METRIC} of any epoch of its trials.",
        comparisons=(
            Comparison(
                Quantity("ASHA + TPE", "epochs", tuple(float(each.epochs) for each in ours)),
                Quantity("random, full length", "epochs", tuple(float(each.epochs) for each in random)),
                Bound(1 / 3),
            ),
        ),
        targets=(Target(Quantity("best of random less best of ASHA + TPE", "points", behind), Bound(0.5)),),
        others=(
            Quantity(f"best {METRIC}, ASHA + TPE", "%", tuple(100 * each.best for each in ours)),
            Quantity(f"best {METRIC}, random", "%", tuple(100 * each.best for each in random)),
            Quantity("best validation accuracy, ASHA + TPE", "%", tuple(100 * each.accuracy for each in ours)),
            Quantity("best validation accuracy, random", "%", tuple(100 * each.accuracy for each in random)),
        ),
        limited_by="how well a trial's first epochs foretell its last ones, which the rungs of ASHA rely on.",
        physical_limit=f"one trial of {epochs} epochs in {trials}, {100 / trials:.0f} %, if the best were known "
        "beforehand.",
    )


def score(trials: Sequence[TrialRecord]) -> Score:
    """The result of a search's trials; 0 where no epoch has a value."""
    epochs = [epoch for trial in trials for epoch in trial.epochs]
    best = max((getattr(epoch, METRIC) or 0.0 for epoch in epochs), default=0.0)
    return Score(best, max((epoch.val_accuracy or 0.0 for epoch in epochs), default=0.0), len(epochs))


def _store_name(options: Options) -> str:
    """A folder for each data set and size, so that kept searches are never mistaken for those of other images."""
    trials, epochs, size = _sizes(options)
    return f"{harness.data_fingerprint(options.root)}-{trials}x{epochs}-{size}px"


def _sizes(options: Options) -> tuple[int, int, int]:
    return (QUICK_TRIALS, QUICK_EPOCHS, QUICK_SIZE) if options.quick else (TRIALS, EPOCHS, SIZE)


def _trials(way: str, seed: int, options: Options, store: Path) -> Sequence[TrialRecord]:
    """The trials of one search."""
    trials, epochs, size = _sizes(options)
    searcher, scheduler = WAYS[way]
    words = ["space=plain2", f"data.size={size}", f"search.num_trials={trials}", f"search.max_epochs={epochs}"]
    words += [f"search.searcher={searcher}", f"search.scheduler={scheduler}", f"search.seed={seed}"]
    words += [f"search.metric={METRIC}", *data_words(options.root, store / "cache")]
    return tuple(kept_search(words, store, f"{way}-{METRIC}-{seed}").read_trials().values())


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS)
