"""The table of looks at test images: each evaluation of a run, with its settings."""

import datetime
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.load import Run
from analysis.table import Table

COLUMNS = ("began", "test_images", "trials", "settings")


def looks_table(run: Run) -> pd.DataFrame:
    """The evaluations that the log records, in order: `COLUMNS`, a row an evaluation.

    `test_images` names each test set with its number of images, `settings` those of `evaluate.*`.
    """
    lines = [
        (
            datetime.datetime.fromtimestamp(look.time, datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
            ", ".join(f"{name} ({count:,})" for name, count in look.images.items()),
            look.trials,
            ", ".join(f"{name}={_word(value)}" for name, value in look.settings.items()),
        )
        for look in run.looks
    ]
    return pd.DataFrame(lines, columns=[*COLUMNS])


def _word(value: Any) -> str:
    """A setting's value as a command line has it."""
    return json.dumps(value).replace('"', "")


def _fits(runs: Sequence[Run]) -> bool:
    return any(run.looks for run in runs)


TABLES = (
    Table(
        "looks",
        "Looks at test images",
        "Regards sur les images de test",
        looks_table,
        headings_fr={"began": "début", "test_images": "images de test", "settings": "réglages"},
        fits=_fits,
        section="made",
        caption="Each evaluation is a look: a model or a setting that is chosen after it has had a part of the test "
        "images in the choice.",
        nothing="No evaluation is recorded.",
        texts=("settings",),
    ),
)
