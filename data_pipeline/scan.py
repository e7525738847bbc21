"""Prints what a folder of images holds: `python -m data_pipeline.scan FOLDER`.

The counts behind the report's figures 1 to 4, the files set aside, identical images and those that look alike, images
that do not fit the set, patients that occur twice, and how well brightness, contrast and shape alone separate the
classes.
"""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from data_pipeline.dataset import read_dataset
from data_pipeline.folders import KINDS, LABEL_SCHEMES
from data_pipeline.manifest import MULTICLASS, MULTILABEL, TASKS, DataError, ImageRow, Manifest
from data_pipeline.notices import list_notices
from data_pipeline.outliers import find_outliers
from data_pipeline.patients import AUTO
from data_pipeline.preprocess import PreparedImages
from data_pipeline.settings import DataSettings
from data_pipeline.shortcuts import PROPERTIES, shortcut_aucs
from data_pipeline.split import Split, split_pool

if TYPE_CHECKING:
    from rich.table import Table

_MOST_COLUMNS = 8


def print_scan(arguments: Sequence[str] | None = None) -> int:
    """Print what a folder holds; returns the exit status, 0 if the data can be used.

    Args:
        arguments: Of the command line, by default those of the process.
    """
    from rich.console import Console
    from rich.progress import Progress

    options = _build_parser(DataSettings.cache).parse_args(arguments)
    console = Console()
    try:
        # here bad files are shown, however many
        settings = DataSettings(
            root=options.root,
            labels=options.labels,
            classes=_read_setting("classes", options.classes),
            columns=_read_setting("columns", options.columns),
            task=options.task,
            patient=options.patient,
            positive=AUTO if options.task == MULTILABEL else None,  # here no class is looked at alone
            cache=options.cache,
            max_bad_fraction=1.0,
        )
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("Decoding")
            found = read_dataset(settings, lambda done, total: bar.update(task, completed=done, total=total))
    except DataError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    manifest = found[0]
    console.print(f"{manifest.root}, fingerprint {manifest.fingerprint[:12]}", markup=False)
    status = 0
    try:
        split = split_pool(manifest, settings.split)
        console.print(_count_table(manifest, split))
        for notice in list_notices(manifest, split, settings):
            console.print(notice, markup=False)
    except DataError as error:  # all else can be said of the images that are too few
        console.print(str(error), style="red", markup=False)
        status = 1
    for line in (*list_remarks(manifest), *list_outliers(*found)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_shortcut_table(*found))
    return status


def _build_parser(cache: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_pipeline.scan", description="Show what a data set holds.")
    parser.add_argument("root", nargs="?", help="folder of images (default: the sample that ships with the project)")
    parser.add_argument(
        "--labels", default="two_class", help=f"{', '.join(LABEL_SCHEMES)}, or a table (default: %(default)s)"
    )
    parser.add_argument(
        "--classes", default="{}", help="with a table: '{pneumonia: [Pneumonia], normal: [No Finding]}'"
    )
    parser.add_argument(
        "--task", choices=TASKS, default=MULTICLASS, help=f"with a table: {MULTILABEL} for images of several findings"
    )
    parser.add_argument("--columns", default="{}", help="of a table of no known set: '{image: COLUMN, label: COLUMN}'")
    parser.add_argument(
        "--patient",
        metavar="REGEX",
        default=AUTO,
        help="where a path names the patient (default: a folder a patient, or names as Kaggle's)",
    )
    parser.add_argument("--cache", default=cache, help="folder of the decoded images (default: %(default)s)")
    return parser


def _read_setting(name: str, text: str) -> dict[str, Any]:
    """A dictionary as the command line of a search has it; the sign * stands for itself."""
    import yaml

    try:
        found = yaml.safe_load(re.sub(r"(?<=[\[:,\s])\*(?=[\],}\s])", "'*'", text))
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"--{name} is a dictionary such as {{name: value}}. Received: {text!r}. Correct it.")
    return found


def _count_table(manifest: Manifest, split: Split) -> "Table":
    """Images per split and class with each split's share of all images: the report's figures 1 to 4."""
    sizes, lines = split.sizes(manifest), []
    for part, counts in split.counts(manifest).items():
        lines.append([part, *map(str, counts), str(sizes[part]), f"{sizes[part] / len(manifest.rows):.1%}"])
    return _table(["split", *manifest.classes, "images", "share"], lines, "Images")


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], title: str) -> "Table":
    """A table with numbers in all columns but the first; one that would be too wide is turned on its side."""
    from rich.table import Table

    if len(heads) > _MOST_COLUMNS:
        heads, *lines = [list(line) for line in zip(heads, *lines, strict=True)]
    table = Table(*heads, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for line in lines:
        table.add_row(*line)
    return table


def _shortcut_table(manifest: Manifest, pool: PreparedImages, test: PreparedImages) -> "Table":
    """How well properties that are no sign of a disease separate the classes, in the pool and in the test set."""
    # of two classes, one is enough
    shown = range(len(manifest.classes)) if len(manifest.classes) > 2 or manifest.is_multilabel else (1,)
    parts = {"train": (manifest.pool_rows, pool), "test": (manifest.test_rows, test)}
    found = {name: shortcut_aucs(rows, images.open(), manifest.classes) for name, (rows, images) in parts.items()}
    heads = ["shortcut", *(f"{manifest.classes[place]}, {name}" for place in shown for name in parts)]
    lines = [
        [name, *(_two_digits(found[part][name][place]) for place in shown for part in parts)] for name in PROPERTIES
    ]
    return _table(heads, lines, "AUC of what is no sign of a disease (0.5: tells nothing)")


def _two_digits(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def list_remarks(manifest: Manifest) -> Iterator[str]:
    """Bad files, identical images, those that look alike and shared patients, one line each."""
    yield f"Set aside: {len(manifest.bad)}"
    yield from (f"    {bad.path}: {bad.reason}" for bad in manifest.bad)
    duplicates = manifest.duplicates()
    yield f"Byte-identical across pool and test: {len(duplicates.across_pools)}"
    yield from (f"    {' = '.join(ids)}" for ids in duplicates.across_pools)
    yield f"Byte-identical across patients of one pool: {len(duplicates.across_groups)}"
    yield from (f"    {' = '.join(ids)}" for ids in duplicates.across_groups)
    alike = manifest.look_alikes()
    yield f"Look alike across pool and test: {len(alike.across_pools)}"
    yield from (f"    {' = '.join(ids)}" for ids in alike.across_pools)
    yield f"Look alike across patients of one pool: {len(alike.across_groups)}"
    yield from (f"    {' = '.join(ids)}" for ids in alike.across_groups)
    same_kind = _patients_with_kind(manifest.pool_rows) & _patients_with_kind(manifest.test_rows)
    yield (
        f"Patient numbers in both pool and test: {len(manifest.shared_patients())}; with the same kind of "
        f"pneumonia in both: {len(same_kind)} (bacterial and viral patients seem to be numbered apart)"
    )


def list_outliers(manifest: Manifest, pool: PreparedImages, test: PreparedImages) -> Iterator[str]:
    """Images that do not fit the set, one line each: the pool and the test set together are one set."""
    rows = (*manifest.pool_rows, *manifest.test_rows)
    found = find_outliers(chain(pool.open(), test.open()))
    for what, places in (
        ("Black and white seem exchanged, unlike in most images", found.inverted),
        ("Blank", found.blank),
        ("Unlike all others", found.unlike),
    ):
        yield f"{what}: {len(places)}"
        yield from (f"    {rows[place].image_id}" for place in places)


def _patients_with_kind(rows: Iterable[ImageRow]) -> set[tuple[str, str]]:
    return {(row.group.partition("/")[2], word) for row in rows for word in KINDS if word in row.image_id.casefold()}


if __name__ == "__main__":
    raise SystemExit(print_scan())
