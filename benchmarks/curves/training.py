"""Trains the configurations of a table of curves: a search of random trials, none of them stopped early."""

from pathlib import Path

from benchmarks import harness
from benchmarks.checkout import ROOT
from benchmarks.searches import data_words, kept_search
from search.record import RunFolder

SIZE = 64  # pixels; at the spaces' own 96 a table would take more than twice the time
TRIALS = {"cnn2": 400, "cnn3": 150}
QUICK_WORDS = ("search.max_epochs=8",)  # of the sample
QUICK_TRIALS = 30


def full_length_words(space: str, trials: int, seed: int = 0) -> list[str]:
    """The settings of random trials that each train to their last epoch."""
    words = [f"space={space}", "search.searcher=random", "search.prior_share=0", "search.scheduler=none"]
    return [*words, f"search.num_trials={trials}", f"search.seed={seed}"]


def curves_folder(
    space: str, root: str | None, size: int = SIZE, store: Path | None = None, seed: int = 0
) -> RunFolder:
    """The folder of the search that trains a space's curves on these images; it may not exist yet.

    Args:
        space: cnn2 or cnn3.
        root: folder of the images; None for the bundled sample.
        size: pixels, height and width.
        store: of all such searches, `build/curves` unless given.
        seed: of the search.
    """
    kept = store or ROOT / "build" / "curves"
    return RunFolder(str(kept / space / f"{harness.data_fingerprint(root)}-{size}px-{seed}"))


def train_curves(
    space: str,
    root: str | None,
    trials: int,
    size: int = SIZE,
    confirm: int = 0,
    store: Path | None = None,
    seed: int = 0,
) -> RunFolder:
    """The folder of that search with so many trials; those that are missing are trained now.

    Args:
        space: cnn2 or cnn3.
        root: folder of the images; None for a short try on the bundled sample.
        trials: how many configurations.
        size: pixels, height and width.
        confirm: how many of the best are then trained again with another seed.
        store: as in `curves_folder`.
        seed: of the search.

    Raises:
        RuntimeError: the search failed.
    """
    folder = Path(curves_folder(space, root, size, store, seed).url)
    words = [*full_length_words(space, trials, seed), f"data.size={size}", f"search.confirm={confirm}"]
    words += list(QUICK_WORDS) if root is None else []
    return kept_search([*words, *data_words(root, folder.parent / "cache")], folder.parent, folder.name)
