"""Makes the table of a space's learning curves: `python -m benchmarks.curves --root FOLDER [--space cnn3]`.

Trains random configurations to their full length and writes what is finished as `benchmarks/curves/SPACE.parquet`. 400
configurations of cnn2 take about five hours on two cores: an interrupted command goes on where it was, and with more
`--trials` the table grows. The search stays in `build/curves/`. Where that folder is gone, or on another machine,
another `--seed` adds its configurations to the same table.

    train    train what is missing, then gather (the default)
    gather   write what is finished so far, also while another process trains
    test     open the test set: score every finished trial on it, as `benchmarks/curves/SPACE_test.parquet`

With `--quick` it is 30 short trials on the bundled sample; the table goes to `build/quick/curves/` and means nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.curves.held_out import open_test_set, write_test_scores
from benchmarks.curves.table import Curves, about_run, complete_trials, read_curves, table_path, write_curves
from benchmarks.curves.training import QUICK_TRIALS, SIZE, TRIALS, curves_folder, train_curves
from search.record import RunFolder


def gather(folder: RunFolder, path: Path) -> Curves:
    """The table, with the finished curves of this search in it."""
    write_curves(Curves(about_run(folder.read_run()), complete_trials(tuple(folder.read_trials().values()))), path)
    return read_curves(path)


def main(words: Sequence[str] | None = None) -> int:
    """Make a table from the command line; returns the exit code."""
    given = _parse(words)
    size, path = given.size, table_path(given.space, given.quick)
    if given.step == "train":
        try:
            train_curves(given.space, given.root, given.trials, size, given.confirm, seed=given.seed)
        finally:  # an interrupted session leaves the table that it has earned
            _gather(curves_folder(given.space, given.root, size, seed=given.seed), path)
        return 0
    folder = curves_folder(given.space, given.root, size, seed=given.seed)
    if given.step == "gather":
        _gather(folder, path)
        return 0
    print("This opens the test set: whatever is chosen after a look at its scores was not chosen by validation alone.")
    evaluations = open_test_set(folder, given.root)
    write_test_scores(evaluations, given.seed, path.with_name(f"{given.space}_test.parquet"))
    print(f"{len(evaluations)} trials scored on the test set: {path.with_name(f'{given.space}_test.parquet')}")
    return 0


def _gather(folder: RunFolder, path: Path) -> None:
    if not folder.exists("run.json"):
        print(f"No curves yet: {folder.url} has no search. Run the command without `gather` first.", file=sys.stderr)
        return
    curves = gather(folder, path)
    epochs = sum(len(trial.epochs) for trial in curves.trials)
    print(f"{len(curves.trials)} trials, {epochs:,} epochs: {path} ({path.stat().st_size / 2**20:.2f} MiB)")


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=("train", "gather", "test"), default="train")
    parser.add_argument("--root", help="folder of the images")
    parser.add_argument("--space", choices=tuple(TRIALS), default="cnn2")
    parser.add_argument("--trials", type=int, help=f"configurations of this search (default: {TRIALS})")
    parser.add_argument("--seed", type=int, default=0, help="of the search: another one draws other configurations")
    parser.add_argument("--size", type=int, help=f"pixels, height and width (default: {SIZE})")
    parser.add_argument("--confirm", type=int, default=0, help="train so many of the best again with another seed")
    parser.add_argument("--quick", action="store_true", help="30 short trials on the bundled sample")
    given = parser.parse_args(words)
    if bool(given.root) == given.quick:
        parser.error("Curves are trained on your images (--root FOLDER) or, to try it, on the sample (--quick).")
    given.trials = given.trials or (QUICK_TRIALS if given.quick else TRIALS[given.space])
    given.size = given.size or SIZE
    return given


if __name__ == "__main__":
    sys.exit(main())
