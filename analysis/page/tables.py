"""Tables as a page shows them, each in the section that its entry names."""

from collections.abc import Sequence

from analysis.load import Run
from analysis.page.blocks import Block, PageTable, Part, shown_columns, table_of
from analysis.table import Table
from analysis.tables import TABLES

MOST_ROWS = 50  # of a run's table on the page; ten thousand would be most of the page's size


def table_blocks(runs: Sequence[Run], section: str) -> list[Block]:
    """A block for each table of a section that has something to say about the runs."""
    return [
        Block(table.title, table.caption, _parts(table, runs), closed=table.closed)
        for table in TABLES.values()
        if table.section == section and table.suits(runs)
    ]


def joint_table(table: Table, runs: Sequence[Run]) -> PageTable:
    """A table that all runs share, as pages show it."""
    return table_of(table.arrange(shown_columns(table.of(runs))), table.texts)


def _parts(table: Table, runs: Sequence[Run]) -> tuple[Part, ...]:
    if table.joint:
        return (Part("", table=joint_table(table, runs)),)
    return tuple(_part(table, run) for run in runs)


def _part(table: Table, run: Run) -> Part:
    """A run's own table, without hyperparameters that do not differ."""
    frame = table.of([run])
    if frame.empty:
        return Part(run.name, reason=table.nothing)
    same = [name for name in run.hyperparameters if name in frame and run.trials[name].nunique(dropna=False) < 2]
    shown = table.arrange(shown_columns(frame.drop(columns=same)[:MOST_ROWS]))
    note = f"The first {MOST_ROWS} of {len(frame):,} rows; python -m analysis.tables RUN --table {table.name} has all."
    return Part(run.name, table=table_of(shown, table.texts), note=note if len(frame) > MOST_ROWS else "")
