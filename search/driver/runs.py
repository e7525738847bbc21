"""Runs in their storage: created with all that was asked, found again, checked before they go on."""

import io
import secrets
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from data_pipeline.dataset import Dataset
from data_pipeline.manifest import VALIDATION, DataError
from data_pipeline.manifest_file import read_manifest, write_bad_files, write_manifest
from search.driver.environment import describe_environment
from search.plan.earlier import in_storage
from search.plan.settings import Settings, SettingsError
from search.record import RunFolder, RunRecord, WarmStart


def run_name(settings: Settings) -> str:
    """The name of a new run: the setting's, or the space and the time, and what keeps apart those of one second."""
    return settings.run.name or f"{settings.space.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def new_run_folder(settings: Settings) -> RunFolder:
    """The folder of a run to be created, called as `run_name` says. Nothing is written.

    Raises:
        SettingsError: there is a run of that name.
    """
    folder = RunFolder(in_storage(settings.run.storage, run_name(settings)))
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


def create_run(folder: RunFolder, settings: Settings, dataset: Dataset, warm: WarmStart | None = None) -> None:
    """Write what was asked and found: configuration, images and split, set-aside files, environment, earlier trials."""
    manifest, split = dataset.manifest, dataset.split
    settings.run.name = folder.name
    folder.write(settings.to_yaml().encode(), "config.yaml")
    _write_with(folder, "manifest.parquet", lambda file: write_manifest(manifest, split, file))
    _write_with(folder, "bad_files.csv", lambda file: write_bad_files(manifest.bad, file))
    if warm is not None and settings.search.warm_start:
        folder.write_warm_start(warm)
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
                "images": split.sizes(manifest),
                "set_aside": len(manifest.bad),
                "white": manifest.white,
                "held_out": manifest.held_out,
                "stated_split": any(row.part == VALIDATION for row in manifest.pool_rows),
            },
        )
    )


def update_run(folder: RunFolder, settings: Settings) -> None:
    """Keep what a later command changed (more trials, another ensemble): the next one goes on with it."""
    settings.run.name, settings.resume = folder.name, None
    folder.write_run(replace(folder.read_run(), config=settings.to_dict()))
    folder.write(settings.to_yaml().encode(), "config.yaml")


def check_same_data(folder: RunFolder, dataset: Dataset) -> None:
    """Refuse to go on with other images than a run began with.

    Raises:
        DataError: names what differs.
    """
    run, manifest = folder.read_run(), dataset.manifest
    if run.classes != manifest.classes:
        raise DataError(
            f"A run goes on with its classes, {', '.join(run.classes)}. Received: {', '.join(manifest.classes)}. Name "
            "them in data.classes as the run did; an outside set's findings may be added to each."
        )
    if run.data["fingerprint"] == manifest.fingerprint:
        return
    stored, _ = read_manifest(io.BytesIO(folder.read("manifest.parquet")))
    then = {row.image_id: (row.content_hash, row.label_text, row.pool) for row in stored.rows}
    now = {row.image_id: (row.content_hash, row.label_text, row.pool) for row in dataset.manifest.rows}
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


def _write_with(folder: RunFolder, name: str, write: Callable[[BinaryIO], None]) -> None:
    buffer = io.BytesIO()
    write(buffer)
    folder.write(buffer.getvalue(), name)
