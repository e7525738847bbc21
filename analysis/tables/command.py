"""The command `python -m analysis.tables`: prints tables, or writes one file each."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from analysis.command import CommandError, exit_code
from analysis.export import EXTENSIONS, FORMATS, LANGUAGES, latex_document, to_text
from analysis.load import Run, load
from analysis.tables.registry import TABLES, default_tables, make_table
from search.record import counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the tables of runs from the command line."""
    given = _parser().parse_args(arguments)
    return exit_code(lambda: _show_tables(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.tables",
        description="The tables of one or several runs, printed as Markdown or written to a folder.",
        epilog="Tables: " + ", ".join(TABLES),
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or URL, or a file of search.pack")
    parser.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    parser.add_argument("--out", metavar="FOLDER", help="write one file a table there, instead of printing")
    parser.add_argument(
        "--lang", choices=LANGUAGES, default="en", help="of titles and headings; fr as the report prints them"
    )
    parser.add_argument("--table", metavar="NAME", action="append", choices=[*TABLES], help="only this one; repeatable")
    parser.add_argument(
        "--columns", metavar="A,B,...", type=lambda text: text.split(","), help="only these, by their names in CSV"
    )
    parser.add_argument(
        "--where", metavar="COLUMN=VALUE", action="append", default=[], help="only rows with that value; repeatable"
    )
    return parser


def _show_tables(given: argparse.Namespace) -> None:
    runs = [load(url) for url in given.runs]
    texts = _texts(runs, given, titled=True)
    for run in runs:
        for problem in run.problems:
            print(f"{run.name}: {problem}", file=sys.stderr)
    if given.out is None:
        print("\n".join(texts.values()), end="")
        return
    write_tables(texts, given.format, given.out)
    print(f"Wrote {counted(len(texts), 'table')} to {given.out}")


def printed(arguments: Sequence[str], read: Callable[[str], Run] = load) -> str:
    """The output of the command for these arguments, without the tables' titles.

    Args:
        arguments: of the command.
        read: gives a run.

    Raises:
        CommandError: a table has no such column.
        RecordError: a run cannot be read.
        SystemExit: the arguments are wrong; argparse has said so on stderr.
    """
    given = _parser().parse_args(arguments)
    return "\n".join(_texts([read(url) for url in given.runs], given, titled=False).values())


def _texts(runs: Sequence[Run], given: argparse.Namespace, titled: bool) -> dict[str, str]:
    """Every table that is asked for as text, by name."""
    for name in given.table or ():
        if not TABLES[name].can_be_of(runs):
            raise CommandError(
                f"The table {name} is of images with one class each. Received: a run with several findings an image. "
                "Print --table findings."
            )
    return {
        name: to_text(
            chosen_columns(chosen_rows(make_table(runs, name), given.where), given.columns),
            given.format,
            TABLES[name].heading(given.lang) if titled else "",
            given.lang,
            TABLES[name].headings_fr,
        )
        for name in given.table or default_tables(runs)
    }


def chosen_rows(table: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """The rows of a table that meet all conditions, each `COLUMN=VALUE` with the value as CSV has it.

    Raises:
        CommandError: a condition has no `=`, or the table has no such column.
    """
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise CommandError(f"--where takes COLUMN=VALUE, such as dataset=test. Received: {condition!r}.")
        _check_column(table, name)
        table = table[table[name].map(str) == value]
    return table


def chosen_columns(table: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """Some columns of a table in the order in which they are named, each with its interval; all where none is named.

    Raises:
        CommandError: the table has no such column.
    """
    if names is None:
        return table
    for name in names:
        _check_column(table, name)
    wanted = [each for name in names for each in (name, f"{name}_low", f"{name}_high") if each in table]
    return table[wanted]


def _check_column(table: pd.DataFrame, name: str) -> None:
    if name not in table:
        raise CommandError(f"A column must be one of {', '.join(map(str, table))}. Received: {name!r}.")


def write_tables(texts: Mapping[str, str], format_name: str, out: str) -> None:
    """Write tables to a folder, one file each; with LaTeX also `all.tex`, which shows them all."""
    os.makedirs(out, exist_ok=True)
    files = {f"{name}.{EXTENSIONS[format_name]}": text for name, text in texts.items()}
    if format_name == "latex":
        files["all.tex"] = latex_document(list(texts))
    for name, text in files.items():
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="") as file:
            file.write(text)
