"""Writes and reads a trial's checkpoints: weights and optimizer as plain arrays, and the history up to there.

A checkpoint is an `.npz` file: it holds no pickle, and the zip's own checksums reveal a truncated or
changed file. Every epoch writes one; the last two are kept, so that a damaged one has a predecessor.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.record import EpochRecord, RunFolder, to_json

BEST = "best.npz"
_KEPT = 2


class CheckpointError(ValueError):
    """A checkpoint is missing or damaged."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial after `len(history)` epochs.

    Attributes:
        weights: those that training changes, in the model's order; never a frozen backbone's.
        optimizer: the optimizer's variables; empty in `best.npz`, and after the last epoch of a trial.
    """

    weights: Sequence[NDArray[Any]]
    optimizer: Sequence[NDArray[Any]]
    history: Sequence[EpochRecord]

    @property
    def epoch(self) -> int:
        """The epoch after which it was taken."""
        return len(self.history)


def write_checkpoint(folder: RunFolder, trial: str, checkpoint: Checkpoint, is_best: bool) -> None:
    """Write the state after an epoch, and its weights as the trial's best ones if `is_best`."""
    folder.write(_pack(checkpoint), "trials", trial, _name(checkpoint.epoch))
    if is_best:
        write_best(folder, trial, checkpoint)
    drop_checkpoints(folder, trial, keep=_KEPT)


def write_best(folder: RunFolder, trial: str, checkpoint: Checkpoint) -> None:
    """Write the checkpoint's weights as the trial's best ones."""
    folder.write(_pack(Checkpoint(checkpoint.weights, (), checkpoint.history)), "trials", trial, BEST)


def read_checkpoint(folder: RunFolder, trial: str) -> tuple[Checkpoint | None, list[str]]:
    """The trial's newest sound checkpoint, and the names of the damaged ones that were skipped."""
    damaged: list[str] = []
    for name in reversed(_names(folder, trial)):
        try:
            return _unpack(folder.read("trials", trial, name)), damaged
        except CheckpointError:
            damaged.append(f"trials/{trial}/{name}")
    return None, damaged


def read_best(folder: RunFolder, trial: str) -> Checkpoint:
    """The trial's best weights.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        return _unpack(folder.read("trials", trial, BEST))
    except FileNotFoundError as error:
        raise CheckpointError(f"Trial {trial} has no {BEST}: it never finished an epoch.") from error


def drop_checkpoints(folder: RunFolder, trial: str, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints; the best weights are kept."""
    names = _names(folder, trial)
    for name in names[: len(names) - keep]:
        folder.remove("trials", trial, name)


def newest_epochs(folder: RunFolder) -> dict[str, int]:
    """The epoch of the newest checkpoint of every trial that has files, by its name; 0 with none but the best weights.

    One listing: no checkpoint is read.
    """
    newest: dict[str, int] = {}
    for file in folder.files("trials"):
        _, trial, name = (*file.split("/"), "")[:3]
        is_checkpoint = name.startswith("epoch-") and name.endswith(".npz")
        epoch = name.removeprefix("epoch-").removesuffix(".npz") if is_checkpoint else "0"
        newest[trial] = max(newest.get(trial, 0), int(epoch) if epoch.isdigit() else 0)
    return newest


def drop_optimizer(folder: RunFolder, trial: str) -> None:
    """Write the newest checkpoint again without the optimizer's state: the trial trains no more."""
    checkpoint, _ = read_checkpoint(folder, trial)
    if checkpoint is not None and checkpoint.optimizer:
        weights_alone = Checkpoint(checkpoint.weights, (), checkpoint.history)
        folder.write(_pack(weights_alone), "trials", trial, _name(checkpoint.epoch))


def drop_trial(folder: RunFolder, trial: str) -> None:
    """Remove all files of a trial."""
    for name in folder.names("trials", trial):
        folder.remove("trials", trial, name)


def _name(epoch: int) -> str:
    return f"epoch-{epoch:04d}.npz"


def _names(folder: RunFolder, trial: str) -> list[str]:
    names = folder.names("trials", trial)
    return [name for name in names if name.startswith("epoch-") and name.endswith(".npz")]


def _pack(checkpoint: Checkpoint) -> bytes:
    arrays = {f"weight_{place:04d}": array for place, array in enumerate(checkpoint.weights)}
    arrays |= {f"optimizer_{place:04d}": array for place, array in enumerate(checkpoint.optimizer)}
    history = to_json([asdict(epoch) for epoch in checkpoint.history])
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, history=np.frombuffer(history.encode(), np.uint8), **arrays)
    return buffer.getvalue()


def _unpack(content: bytes) -> Checkpoint:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            history = json.loads(file["history"].tobytes())
            return Checkpoint(
                weights=[file[key] for key in sorted(file.files) if key.startswith("weight_")],
                optimizer=[file[key] for key in sorted(file.files) if key.startswith("optimizer_")],
                history=[EpochRecord(**entry) for entry in history],
            )
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError) as error:
        raise CheckpointError(f"A checkpoint is damaged ({error}).") from error
