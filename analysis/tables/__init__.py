"""Tables of one or several runs: frames in, a frame out. `python -m analysis.tables RUN` prints or writes them.

`make_table(runs, NAME)` makes one; `TABLES` lists them all. Where a table shows several runs, its first column is
`run`.
"""

from analysis.tables.registry import TABLES, default_tables, make_table

__all__ = ["TABLES", "default_tables", "make_table"]
