"""Runs in their storage: created with all that was asked, found again, checked before they go on."""

import io
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import BinaryIO

from data_pipeline.dataset import Dataset
from data_pipeline.manifest import DataError
from data_pipeline.manifest_file import read_manifest, write_bad_files, write_manifest
from search import record
from search.driver.environment import describe_environment
from search.plan.settings import Settings, SettingsError, resume_settings
from search.plan.spaces import count_trials, read_space
from search.record import RunFolder, RunRecord


def run_name(settings: Settings) -> str:
    """The name of a new run: the setting's, or the space and the time, and what keeps apart those of one second."""
    return settings.run.name or f"{settings.space.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def new_run_folder(settings: Settings) -> RunFolder:
    """The folder of a run to be created, called as `run_name` says. Nothing is written.

    Raises:
        SettingsError: there is a run of that name.
    """
    folder = RunFolder(_in_storage(settings.run.storage, run_name(settings)))
    refuse_existing(folder)
    return folder


def refuse_existing(folder: RunFolder) -> None:
    """Begin no run where there is one.

    Raises:
        SettingsError: there is a run of that name.
    """
    if folder.exists("run.json"):
        raise SettingsError(
            f"There is a run called {folder.name!r} in {folder.url.rpartition('/')[0]} already. "
            f"Go on with it (resume={folder.name}), or choose another run.name."
        )


def create_run(folder: RunFolder, settings: Settings, dataset: Dataset) -> None:
    """Write what was asked and found: configuration, images and split, set-aside files, environment."""
    manifest, split = dataset.manifest, dataset.split
    settings.run.name = folder.name
    folder.write(settings.to_yaml().encode(), "config.yaml")
    _write_with(folder, "manifest.parquet", lambda file: write_manifest(manifest, split, file))
    _write_with(folder, "bad_files.csv", lambda file: write_bad_files(manifest.bad, file))
    folder.write_run(
        RunRecord(
            name=folder.name,
            created=time.time(),
            command=shlex.join(["python", "-m", "search.run", *sys.argv[1:]]),
            metric=settings.search.metric,
            classes=manifest.classes,
            config=settings.to_dict(),
            environment=describe_environment(),
            data={
                "fingerprint": manifest.fingerprint,
                "root": manifest.root,
                "counts": split.counts(manifest),
                "set_aside": len(manifest.bad),
            },
        )
    )


def update_run(folder: RunFolder, settings: Settings) -> None:
    """Keep what a later command changed (more trials, another ensemble): the next one goes on with it."""
    settings.run.name, settings.resume = folder.name, None
    folder.write_run(replace(folder.read_run(), config=settings.to_dict()))
    folder.write(settings.to_yaml().encode(), "config.yaml")


def find_run(wanted: str, words: Sequence[str]) -> RunFolder | None:
    """The run that `resume=wanted` means; `None` when `auto` finds none that was interrupted.

    Args:
        wanted: a run's name in the storage, its folder, or `auto` for the newest one that is not complete.
        words: the command line, of which run.storage and space are looked at.

    Raises:
        RecordError: there is no such run.
    """
    if wanted != "auto":
        return named_run(wanted, words)
    storage, space = last_word(words, "run.storage") or "runs", last_word(words, "space")
    parent = RunFolder(storage)
    folders = [RunFolder(_in_storage(storage, name)) for name in parent.names() if parent.exists(name, "run.json")]
    found = [(folder.read_run(), folder) for folder in folders if not is_complete(folder)]
    fitting = [entry for entry in found if not space or entry[0].config["space"]["name"] == space]
    return max(fitting, key=lambda entry: entry[0].created)[1] if fitting else None


def named_run(wanted: str, words: Sequence[str]) -> RunFolder:
    """The run of that name in the storage of the command line, or of that folder or packed file.

    Raises:
        RecordError: there is no such run.
    """
    is_path = "/" in wanted or wanted.endswith(record.PACKED)
    folder = RunFolder(wanted if is_path else _in_storage(last_word(words, "run.storage") or "runs", wanted))
    folder.read_run()
    return folder


def is_complete(folder: RunFolder) -> bool:
    """Whether every trial of a run has ended and, where that was asked for, is evaluated."""
    settings = resume_settings(folder.read_run().config, [])
    wanted = count_trials(read_space(settings), settings)
    trials = folder.read_trials()
    if max(trials, default=-1) + 1 < wanted or not all(trial.is_final for trial in trials.values()):
        return False
    finished = {trial.number for trial in trials.values() if trial.status == record.FINISHED}
    if not (settings.evaluate.enabled and finished):
        return True
    is_exported = folder.exists("winner", "winner.json")  # is written last
    return is_exported and finished <= {entry.trial for entry in folder.read_evaluations()}


def check_same_data(folder: RunFolder, dataset: Dataset) -> None:
    """Refuse to go on with other images than a run began with.

    Raises:
        DataError: names what differs.
    """
    if folder.read_run().data["fingerprint"] == dataset.manifest.fingerprint:
        return
    stored, _ = read_manifest(io.BytesIO(folder.read("manifest.parquet")))
    then = {row.image_id: (row.content_hash, row.label, row.pool) for row in stored.rows}
    now = {row.image_id: (row.content_hash, row.label, row.pool) for row in dataset.manifest.rows}
    gone, new = sorted(then.keys() - now.keys()), sorted(now.keys() - then.keys())
    changed = sorted(name for name in then.keys() & now.keys() if then[name] != now[name])
    parts = [
        f"{len(names)} {what} (such as {names[0]})"
        for what, names in (("gone", gone), ("new", new), ("changed", changed))
        if names
    ]
    raise DataError(
        f"A run goes on with the images that it began with; those in {dataset.manifest.root} differ: "
        f"{', '.join(parts)}. Restore them, or start a new run."
    )


def last_word(words: Sequence[str], key: str) -> str:
    """The value that a command line gives a key; empty where it gives none, or null."""
    value = next((word.partition("=")[2] for word in reversed(words) if word.startswith(f"{key}=")), "")
    return "" if value == "null" else value


def _in_storage(storage: str, name: str) -> str:
    return f"{storage.rstrip('/')}/{name}"


def _write_with(folder: RunFolder, name: str, write: Callable[[BinaryIO], None]) -> None:
    buffer = io.BytesIO()
    write(buffer)
    folder.write(buffer.getvalue(), name)
