"""The published rows and image counts of the report, as frames."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

_WHOLE = ("parameters", "batch_size")  # whole numbers, of which some rows print none


@functools.cache
def read_published() -> Mapping[str, Any]:
    """The content of `published.yaml`: the report's rows and counts."""
    content: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text("utf-8"))
    return content


def published_rows() -> pd.DataFrame:
    """The report's rows, indexed by row id (`table2/6`); scores are fractions, NaN where none is printed.

    Those of `prose` are models of section 3.1 without a row in a table; `figure` is a letter of the annex, or NaN.
    """
    return pd.DataFrame(read_published()["rows"]).set_index("row").astype(dict.fromkeys(_WHOLE, "Int64"))


def published_counts(classes: int) -> pd.DataFrame:
    """The report's image counts: columns `split`, `class`, `published`; no rows but for two or three classes."""
    counts = pd.DataFrame(read_published()["data"])
    chosen = counts[counts["classes"] == classes]
    return chosen[["split", "class", "images"]].rename(columns={"images": "published"})
