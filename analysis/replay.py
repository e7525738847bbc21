"""The report's own tables: what it published beside what runs measured.

Columns keep one name in every language; `headings` gives those of a reader.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.statistics import next_interval
from search.record import FINISHED

SCORES = ("test_loss", "test_accuracy", "val_loss", "val_accuracy")
REPORT_TEST_IMAGES = 624
NOT_RUN = "not run"

# The tables of the report by the name of the space that replays them, too.
REPORT_TABLES = {
    "table1": ("table1",),
    "table2": ("table2",),
    "table3": ("table3",),
    "table4": ("table4",),
    "report2": ("table1",),
    "report3": ("table2",),
    "report_transfer": ("table3", "table4"),
}


@functools.cache
def read_published() -> Mapping[str, Any]:
    """The report's rows, counts and headings, as `published.yaml` holds them."""
    content: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text("utf-8"))
    return content


def published_rows() -> pd.DataFrame:
    """The report's rows, indexed by row id (`table2/6`); scores are fractions, NaN where none is printed."""
    return pd.DataFrame(read_published()["rows"]).set_index("row").astype({"batch_size": "Int64"})


def report_columns(table: str) -> list[str]:
    """The columns that the report prints in one of its tables, in its order."""
    return list(read_published()["headings_fr"][table])


def report_table(name: str, trials: pd.DataFrame, confusions: Mapping[tuple[str, int], Any]) -> pd.DataFrame:
    """One of the report's tables, a row for each of its rows, published beside measured.

    Every score `s` has the columns `s` (published), `s_measured` (mean over repeats), `s_measured_low` and
    `s_measured_high` (where one more run with another seed would fall, 95 %; NaN for one repeat) and `s_difference`.
    What was published was one run: outside of that interval it was not reproduced. `status` says how often a row was
    run, or that it was not.

    Args:
        name: of `REPORT_TABLES`.
        trials: of one or several runs, with the column `run`.
        confusions: test confusion matrices by run and trial.
    """
    tables = REPORT_TABLES[name]
    columns = report_columns(tables[0])
    published = published_rows()
    wanted = published[published.index.str.split("/").str[0].isin(tables)]
    lines = [_report_line(row, columns, trials[trials["row"] == row.Index], confusions) for row in wanted.itertuples()]
    return pd.DataFrame(lines).astype({"parameters_measured": "Int64"})


def _report_line(
    row: Any, columns: Sequence[str], replays: pd.DataFrame, confusions: Mapping[tuple[str, int], Any]
) -> dict[str, Any]:
    done = replays[replays["status"] == FINISHED]
    matrices = [confusions[key] for key in zip(done["run"], done.index, strict=True) if key in confusions]
    line: dict[str, Any] = {"row": row.Index}
    for name in columns:
        line[name] = getattr(row, name)
        if name == "parameters":
            line["parameters_measured"] = done["parameters"].iloc[0] if len(done) else pd.NA
        elif name == "confusion":
            line[name] = _matrix_text([row.confusion])
            line["confusion_measured"] = _matrix_text(matrices) if matrices else ""
        elif name in SCORES:
            measured = next_interval(done[name].dropna())
            most = 1.0 if name.endswith("accuracy") else np.inf
            line[f"{name}_measured"] = measured.value
            line[f"{name}_measured_low"], line[f"{name}_measured_high"] = np.clip(
                (measured.low, measured.high), 0, most
            )
            line[f"{name}_difference"] = measured.value - line[name]
    line["status"] = _replay_status(replays, len(done), matrices)
    return line


def _replay_status(replays: pd.DataFrame, done: int, matrices: Sequence[Any]) -> str:
    """How often a row was run to its end, and what else happened to it, in words."""
    if not len(replays):
        return NOT_RUN
    parts = [f"{done} repeat{'s' if done != 1 else ''}"]
    parts += [f"{count} {status}" for status, count in replays["status"].value_counts().items() if status != FINISHED]
    if done and not matrices:
        parts.append("not evaluated")
    images = sorted({int(np.sum(matrix)) for matrix in matrices} - {REPORT_TEST_IMAGES})
    if images:
        parts.append(f"on {' and '.join(map(str, images))} test images, not {REPORT_TEST_IMAGES}")
    return ", ".join(parts)


def _matrix_text(matrices: Sequence[Any]) -> str:
    """The mean of confusion matrices as the report prints one: `[[170, 19, 45], ...]`."""
    mean = np.mean(np.asarray(matrices, float), axis=0)
    rows = [", ".join(f"{value:.1f}".removesuffix(".0") for value in row) for row in mean]
    return f"[{', '.join(f'[{row}]' for row in rows)}]"


def published_counts(classes: int) -> pd.DataFrame:
    """The report's image counts: columns `split`, `class`, `published`; no rows but for two or three classes."""
    counts = pd.DataFrame(read_published()["data"])
    chosen = counts[counts["classes"] == classes]
    return chosen[["split", "class", "images"]].rename(columns={"images": "published"})
