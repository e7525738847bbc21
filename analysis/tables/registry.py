"""All tables by name: `make_table(runs, NAME)` makes one.

A module of tables lists its entries in `TABLES`. The modules are listed here, in the order in which their tables are
printed and shown. Without the report's wing, `analysis.claims`, its three modules leave the list and nothing else does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.claims import dataset, replay, verdicts
from analysis.load import Run
from analysis.table import Table
from analysis.tables import comparison, costs, effects, endings, isolation, ranking, selection

_ALL: tuple[Table, ...] = (
    *replay.TABLES,
    *dataset.TABLES,
    *ranking.TABLES,
    *selection.TABLES,
    *comparison.TABLES,
    *isolation.TABLES,
    *effects.TABLES,
    *endings.TABLES,
    *costs.TABLES,
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
        ValueError: there is no such table, or no run.
    """
    if name not in TABLES:
        raise ValueError(f"There is no table called {name!r}; there are {', '.join(TABLES)}.")
    if not runs:
        raise ValueError("A table needs at least one run; received none. Load one: analysis.load(PATH).")
    return TABLES[name].of(runs, **options)


def default_tables(runs: Sequence[Run]) -> list[str]:
    """The tables that say something about the runs, by name."""
    return [table.name for table in TABLES.values() if table.fits(runs)]
