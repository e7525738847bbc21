"""The test scores of a table's trials, in a file of their own; nothing that chooses a default may read them.

An import contract keeps `benchmarks.replays` away from this module.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.searches import data_words, run_command
from search.record import TEST, Evaluation, RunFolder

SCORES = ("loss", "accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity", "average_precision")


def open_test_set(folder: RunFolder, root: str | None) -> list[Evaluation]:
    """The scores of every finished trial on the test set, made now where they are missing."""
    cache = Path(folder.url).parent / "cache"
    run_command(["-m", "search.evaluate", folder.url, *data_words(root, cache)])
    return [entry for entry in folder.read_evaluations() if entry.dataset == TEST]


def write_test_scores(evaluations: Sequence[Evaluation], seed: int, path: Path) -> None:
    """Write the scores of a search's trials beside those of other searches in the file.

    A row is a trial: the seed of its search, its number, the epoch of its weights, and float32 scores.
    """
    frame = pd.DataFrame(
        {
            "search_seed": pd.array([seed] * len(evaluations), dtype="int16"),
            "trial": pd.array([entry.trial for entry in evaluations], dtype="int16"),
            "epoch": pd.array([entry.epoch for entry in evaluations], dtype="int16"),
            **{score: pd.array([getattr(entry, score) for entry in evaluations], dtype="Float32") for score in SCORES},
        }
    )
    if path.is_file():
        kept = pd.read_parquet(path)
        is_old = (kept["search_seed"] == seed) & kept["trial"].isin(frame["trial"])
        frame = pd.concat([kept[~is_old], frame]).sort_values(["search_seed", "trial"])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, partial, compression="zstd", compression_level=19)
    partial.replace(path)
