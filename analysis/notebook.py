"""The door for notebooks: `load` reads a run that also makes its tables, `run.table("ranking")`.

The rooms below take runs as `analysis.load` reads them, which are frames alone: tables are made of those.
"""

from typing import TYPE_CHECKING, Any

from analysis.load import Run as RunFrames
from search.record import RunFolder

if TYPE_CHECKING:
    import pandas as pd


class Run(RunFrames):
    """One run, as frames and tables."""

    def table(self, name: str, **options: Any) -> "pd.DataFrame":
        """A table of `analysis.tables.TABLES` by its name: "ranking", "report2", "early_stopping", ...

        Args:
            name: of the table.
            **options: of that table's function, for example `top=50` of "ranking".

        Raises:
            ValueError: there is no such table.
        """
        # Imported here, so that `import analysis` does not import pandas.
        from analysis.tables import make_table

        return make_table([self], name, **options)


def load(path: "str | RunFolder") -> Run:
    """The run in a folder, on a disk or in a bucket.

    Args:
        path: the run's own folder: `runs/NAME`, `s3://bucket/runs/NAME`.

    Raises:
        RecordError: the folder holds no run, or one of a schema that this version cannot read.
    """
    return Run.read(path)


def load_runs(path: str) -> list[Run]:
    """All readable runs of a folder of runs (`runs`), the newest first; the others are named in a warning."""
    return Run.read_all(path)
