"""All tables by name: `make_table(runs, NAME)` makes one.

A module of tables lists its entries in `TABLES`; their order here is that of print and pages. Tables of the report's
wing (`analysis.claims`) stand in the list like any other, and no other module of this room imports the wing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.claims import dataset, replay, verdicts
from analysis.load import Run
from analysis.table import Table
from analysis.tables import (
    comparison,
    costs,
    decisions,
    effects,
    endings,
    findings,
    isolation,
    looks,
    mixture,
    ranking,
    selection,
    subgroups,
)

_ALL: tuple[Table, ...] = (
    *replay.TABLES,
    *dataset.TABLES,
    *ranking.TABLES,
    *findings.TABLES,
    *decisions.TABLES,
    *subgroups.TABLES,
    *selection.TABLES,
    *comparison.TABLES,
    *mixture.TABLES,
    *isolation.TABLES,
    *effects.TABLES,
    *endings.TABLES,
    *costs.TABLES,
    *looks.TABLES,
    *verdicts.TABLES,
)
TABLES: Mapping[str, Table] = {table.name: table for table in _ALL}


def make_table(runs: Sequence[Run], name: str, **options: Any) -> pd.DataFrame:
    """One table of one or several runs.

    Args:
        runs: at least one.
        name: of `TABLES`.
        **options: of that table's function, for example `top=50` of "ranking".

    Raises:
        ValueError: there is no such table or no run, or the table cannot be made of a run.
    """
    if name not in TABLES:
        raise ValueError(f"A table must be one of {', '.join(TABLES)}. Received: {name!r}.")
    if not TABLES[name].can_be_of(runs):
        raise ValueError(f"The table {name} is of images with one class each. Received: a run with several findings.")
    if not runs:
        raise ValueError("A table needs at least one run. Received: none. Load one with analysis.load(PATH).")
    return TABLES[name].of(runs, **options)


def default_tables(runs: Sequence[Run]) -> list[str]:
    """The names of the tables that have something to say about the runs."""
    return [table.name for table in TABLES.values() if table.suits(runs)]
