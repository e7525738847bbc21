"""The tables of the report: published numbers beside measured ones.

Columns keep one name in every language; `HEADINGS_FR` has the report's own headings.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.published import published_rows
from analysis.frames import all_trials, confusions_on_test
from analysis.load import Run
from analysis.statistics import next_interval
from analysis.table import Table
from search.record import FINISHED, counted

SCORES = ("test_loss", "test_accuracy", "val_loss", "val_accuracy")
REPORT_TEST_IMAGES = 624
NOT_RUN = "not run"
# The tables of the report, by their own names and by those of the spaces that replay them.
REPORT_TABLES = {
    "table1": ("table1",),
    "table2": ("table2",),
    "table3": ("table3",),
    "table4": ("table4",),
    "prose": ("prose",),
    "report2": ("table1",),
    "report3": ("table2",),
    "report_transfer": ("table3", "table4"),
}

_SCORES_FR = {
    "test_loss": "Test Loss",
    "test_accuracy": "Test Acc",
    "val_loss": "Val Loss",
    "val_accuracy": "Val Acc",
}
_TRANSFER_FR = {"model": "modèle", "parameters": "Nb param.", "epochs": "epochs", **_SCORES_FR}

# The columns that the report prints in each of its tables, in its order, with its own headings, which differ between
# tables.
_TABLES_FR: Mapping[str, Mapping[str, str]] = {
    "table1": {
        "model": "Modèle",
        "augment": "Data Augmentation",
        "parameters": "Nb param.",
        "learning_rate": "Learning Rate",
        "batch_size": "Batch-size",
        **_SCORES_FR,
    },
    "table2": {
        "model": "modèle",
        "parameters": "paramètres",
        "epochs": "epochs",
        "augment": "data augmentation",
        "learning_rate": "learning rate",
        "test_loss": "loss test",
        "test_accuracy": "accuracy test",
        "confusion": "confusion matrix",
    },
    "table3": _TRANSFER_FR,
    "table4": _TRANSFER_FR,
}
HEADINGS_FR = {**_TABLES_FR, "prose": _TABLES_FR["table1"]}  # these are models of table 1's section


def report_table(name: str, trials: pd.DataFrame, confusions: Mapping[tuple[str, int], Any]) -> pd.DataFrame:
    """One of the report's tables, a row for each of its rows, published beside measured.

    Every score `s` has the columns `s` (published), `s_measured` (mean over repeats), `s_measured_low` and
    `s_measured_high` (where one more run with another seed would fall, 95 %; NaN for one repeat) and `s_difference`.
    A published number is that of one run: outside the interval it was not reproduced. `status` says how often a row
    was run, or that it was not.

    Args:
        name: of `REPORT_TABLES`.
        trials: of one or several runs, with the column `run`.
        confusions: test confusion matrices by run and trial.
    """
    tables = REPORT_TABLES[name]
    columns = list(HEADINGS_FR[tables[0]])
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
    """How often a row was run to its end, and how its other trials ended, in words."""
    if not len(replays):
        return NOT_RUN
    parts = [counted(done, "repeat")]
    parts += [f"{count} {status}" for status, count in replays["status"].value_counts().items() if status != FINISHED]
    if replays["random_weights"].any():
        parts.append("from random weights, not ImageNet's")
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


def _are_replayed(name: str, runs: Sequence[Run]) -> bool:
    """Whether some trial replays a row of a table of the report."""
    return any(row.split("/")[0] == name for run in runs for row in run.trials["row"] if row)


def _without_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without what a reader can subtract: a page has too little room for it."""
    return frame.drop(columns=[name for name in frame if str(name).endswith("_difference")])


def _entry(name: str, title: str, title_fr: str) -> Table:
    return Table(
        name,
        title,
        title_fr,
        lambda runs: report_table(name, all_trials(runs), confusions_on_test(runs)),
        joint=True,
        headings_fr=HEADINGS_FR[REPORT_TABLES[name][0]],
        fits=partial(_are_replayed, name),
        section="published",
        caption="Published beside measured, the mean over repeats; in brackets where one more run with another seed "
        "would fall (95 %).",
        arrange=_without_differences,
    )


# French titles are the headings of the report's sections 3.1 to 3.4.
TABLES = (
    _entry("table1", "Table 1 of the report: CNN, 2 classes", "Tableau 1 du rapport : modèle CNN à 2 classes"),
    _entry("table2", "Table 2 of the report: CNN, 3 classes", "Tableau 2 du rapport : modèle CNN à 3 classes"),
    _entry("table3", "Table 3 of the report: VGG16, 2 classes", "Tableau 3 du rapport : modèle VGG16 N à 2 classes"),
    _entry("table4", "Table 4 of the report: ResNet, 2 classes", "Tableau 4 du rapport : modèle ResNet N à 2 classes"),
    _entry(
        "prose",
        "Models that the report tells of without a row in a table",
        "Modèles du rapport sans ligne dans un tableau",
    ),
    _entry(
        "report2",
        "The report's two-class CNNs, run again",
        "Les modèles CNN à 2 classes du rapport, réentraînés",
    ),
    _entry(
        "report3",
        "The report's three-class CNNs, run again",
        "Les modèles CNN à 3 classes du rapport, réentraînés",
    ),
    _entry(
        "report_transfer",
        "The report's pretrained networks, run again",
        "Les modèles du rapport à l'aide du transfert learning, réentraînés",
    ),
)
