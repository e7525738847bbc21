"""Parts that the commands have in common: exit codes, the run that a command names, its images, its page."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.dataset import Dataset, prepare_dataset
from data_pipeline.manifest import DataError, Manifest, count_labels
from data_pipeline.notices import list_notices, outside_notices
from data_pipeline.settings import DataSettings
from data_pipeline.split import Split, repeat_splits
from models.registry import WeightsError
from search.driver.environment import recorded_onednn, set_onednn
from search.plan.earlier import resumed_settings
from search.plan.meaning import check_meaning
from search.plan.settings import Settings, SettingsError
from search.plan.spaces import Space
from search.record import RecordError, RunFolder, counted, error_words

if TYPE_CHECKING:
    from rich.console import Console

_MOST_COLUMNS = 6  # classes that have a column each; more have a row
_USER_ERRORS = (SettingsError, DataError, RecordError, WeightsError, OSError)


def exit_code(work: Callable[[], int]) -> int:
    """The exit code of `work`; a user's mistake is one clear message, without a traceback."""
    try:
        return work()
    except _USER_ERRORS as error:
        print(f"Error: {error_words(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def open_run(command: str, words: Sequence[str]) -> tuple[RunFolder, Settings]:
    """The run that a command names first, with the settings that may be changed after it.

    Args:
        command: such as "search.evaluate", for the message.
        words: of the command line.

    Raises:
        SettingsError: the first word is no folder, or a later one may not change.
        RecordError: the folder holds no run.
    """
    if not words or "=" in words[0]:
        given = words[0] if words else "nothing"
        raise SettingsError(f"The first word is a run's folder. Received: {given}. Use python -m {command} runs/NAME.")
    folder = RunFolder(words[0])
    return folder, resumed_settings(folder, words[1:])


def prepare(settings: Settings, console: "Console") -> Dataset:
    """Prepare the images of a run, with a progress bar, and print what they are."""
    from search.driver.screen import image_progress

    started = time.monotonic()
    data = settings.data
    with image_progress(console) as progress:
        dataset = prepare_dataset(data, progress)
    print_images(console, dataset, data)
    console.print(f"{counted(len(dataset.manifest.rows), 'image')} ready in {time.monotonic() - started:.1f} s")
    return dataset


def check_prepared(space: Space, settings: Settings, dataset: Dataset) -> list[str]:
    """Lines that say what folds and classes decide, after the checks that need prepared images but not yet Ray.

    Raises:
        DataError: a repeat of a configuration cannot draw its own validation images.
        SettingsError: a setting speaks of a class that the data do not name.
    """
    split, manifest = settings.data.split, dataset.manifest
    repeats = repeat_splits(manifest, split, settings.search.repeats) if split.by_repeat else ()
    folds = [] if split.folds is None else [fold_line(manifest, repeats)]
    return folds + check_meaning(space, settings, manifest.classes)


def fold_line(manifest: Manifest, folds: Sequence[Split]) -> str:
    """How many images of each class validate in each fold, of which there is one a repeat."""
    counts = np.array([split.counts(manifest)["validation"] for split in folds])  # (folds, classes)
    of_class = [f"{name} {', '.join(map(str, own))}" for name, own in zip(manifest.classes, counts.T, strict=True)]
    return (
        f"repeats {len(folds)}: one validates on each of {len(folds)} folds of the patients, the first as in the "
        f"table; images in each: {'; '.join(of_class)}"
    )


def print_images(console: "Console", dataset: Dataset, data: DataSettings) -> None:
    """Print the notices on the images, and how many there are of each class in each part and outside set."""
    from rich.table import Table

    manifest = dataset.manifest
    for notice in (*list_notices(manifest, dataset.split, data), *outside_notices(dataset, data)):
        console.print(notice, markup=False, soft_wrap=True)
    counts = _image_counts(dataset)
    names = (*manifest.classes, "all")
    heads, lines = names, [[part, *numbers] for part, numbers in counts.items()]
    if len(manifest.classes) > _MOST_COLUMNS:
        heads = tuple(counts)
        lines = [list(line) for line in zip(names, *counts.values(), strict=True)]
    table = Table(title=f"Images in {manifest.root}", title_justify="left")
    table.add_column("")
    for name in heads:
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def _image_counts(dataset: Dataset) -> dict[str, list[str]]:
    """Images of each class and all, for each part and outside set; `-` for a finding that it does not tell of."""
    manifest, split = dataset.manifest, dataset.split
    sizes, found = split.sizes(manifest), {}
    for part, numbers in split.counts(manifest).items():
        found[part] = [f"{number:,}" for number in (*numbers, sizes[part])]
    for name, outside in dataset.extra_tests.items():
        numbers = count_labels(manifest.labels_of(outside.rows), len(manifest.classes))
        named = zip(manifest.classes, numbers, strict=True)
        told = ["-" if finding in outside.unknown else f"{number:,}" for finding, number in named]
        found[name] = [*told, f"{len(outside.rows):,}"]
    return found


def say_onednn(run: RunFolder | None, console: "Console") -> None:
    """Set oneDNN for a new run (None), or as an earlier one recorded it, and say what the user should know."""
    news = set_onednn(None if run is None else recorded_onednn(run.read_run().environment))
    if news:
        console.print(news, markup=False, soft_wrap=True)


def say_cache(run: RunFolder, settings: Settings, console: "Console") -> None:
    """Say that the cache that a run records is not used, unless it is the one of these settings."""
    recorded = run.read_run().config["data"].get("cache")
    if recorded is not None and Path(recorded).expanduser() != settings.data.cache_dir:
        console.print(
            f"The cache is {settings.data.cache}; the run began with data.cache={recorded}, which a resumed run uses "
            "only where its command says so.",
            markup=False,
            soft_wrap=True,
        )


def write_page(folder: RunFolder, console: "Console") -> None:
    """Write the run's page, in a process of its own: the search does not depend on the analysis."""
    words = [sys.executable, *["-P"] * sys.flags.safe_path, "-m", "analysis.report", folder.url]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        console.print(f"The page could not be written: {' '.join(reason)}", markup=False, soft_wrap=True)
