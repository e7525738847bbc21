"""One self-contained HTML page of one or several runs: `python -m analysis.report RUN [RUN2 ...]`."""

import argparse
import sys
from collections.abc import Sequence

from analysis.command import exit_code
from analysis.load import Run, load
from analysis.page.render import report_html
from search.record import PACKED, RunFolder, Storage

__all__ = ["main", "report_html", "write_report"]

REPORT_NAME = "report.html"


def write_report(runs: Sequence[Run], path: str) -> str:
    """Write the report of some runs to a file, on a disk or in a bucket; returns its path.

    Raises:
        ValueError: there is no run.
        OSError: the file cannot be written.
    """
    folder, _, name = path.replace("\\", "/").rpartition("/")
    Storage(folder or ".").write(report_html(runs).encode(), name)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, its URL in a bucket, or a packed one")
    parser.add_argument("--out", help=f"the file to write; by default {REPORT_NAME} in, or beside, the first run")
    given = parser.parse_args(arguments)

    def write() -> None:
        runs = [load(path) for path in given.runs]
        print(f"Written: {write_report(runs, given.out or _default_path(runs[0].folder))}")

    return exit_code(write)


def _default_path(folder: RunFolder) -> str:
    """The page in a run's folder; of a packed run, beside its file."""
    return f"{folder.url.removesuffix(PACKED)}.html" if folder.is_packed else f"{folder.url}/{REPORT_NAME}"


if __name__ == "__main__":
    sys.exit(main())
