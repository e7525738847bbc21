"""Writes and reads a trial's checkpoints: weights and optimizer as plain arrays, and the history up to there.

A checkpoint is an `.npz` file: it holds no pickle, and the zip's own checksums reveal a truncated or
changed file. Every epoch writes one; the last two are kept, so that a damaged one has a predecessor. It names the
configuration that it belongs to: where a log has lost lines, another trial may have had the same number.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.record import EpochRecord, RunFolder, TrialRecord, to_json

BEST = "best.npz"
_KEPT = 2


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or of another configuration."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial after `len(history)` epochs.

    Attributes:
        weights: those that training changes, in the model's order; never a frozen backbone's.
        optimizer: the optimizer's variables; empty in `best.npz`, and after the last epoch of a trial.
        configuration: as `configuration_hash`; empty in files of older versions, which fit any.
    """

    weights: Sequence[NDArray[Any]]
    optimizer: Sequence[NDArray[Any]]
    history: Sequence[EpochRecord]
    configuration: str = ""

    @property
    def epoch(self) -> int:
        """The epoch after which it was taken."""
        return len(self.history)


def configuration_hash(trial: TrialRecord) -> str:
    """A hash of all that the epochs of a trial follow from in its run: 16 hexadecimal digits."""
    content = json.dumps([trial.parameters, trial.seed, trial.repeat], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def write_checkpoint(folder: RunFolder, trial: str, checkpoint: Checkpoint, is_best: bool) -> None:
    """Write the state after an epoch, and its weights as the trial's best ones if `is_best`.

    Files of later epochs, which were refused, are removed with those that are too old.
    """
    own = _name(checkpoint.epoch)
    folder.write(_pack(checkpoint), "trials", trial, own)
    if is_best:
        write_best(folder, trial, checkpoint)
    names = _names(folder, trial)
    earlier = [name for name in names if name <= own]
    for name in (*earlier[:-_KEPT], *(name for name in names if name > own)):
        folder.remove("trials", trial, name)


def write_best(folder: RunFolder, trial: str, checkpoint: Checkpoint) -> None:
    """Write the checkpoint's weights as the trial's best ones."""
    folder.write(_pack(replace(checkpoint, optimizer=())), "trials", trial, BEST)


def read_checkpoint(folder: RunFolder, trial: str, configuration: str = "") -> tuple[Checkpoint | None, list[str]]:
    """The trial's newest sound checkpoint, and why newer ones were skipped, a sentence each.

    Args:
        folder: the run's.
        trial: its name.
        configuration: as `configuration_hash`; checkpoints of another one are skipped too. Empty for any.
    """
    skipped: list[str] = []
    for name in reversed(_names(folder, trial)):
        try:
            return _read(folder, trial, name, configuration), skipped
        except CheckpointError as error:
            skipped.append(str(error))
    return None, skipped


def unlogged_epochs(folder: RunFolder, trial: TrialRecord) -> tuple[Sequence[EpochRecord], list[str]]:
    """The epochs in a trial's newest sound checkpoint that its record lacks; why newer checkpoints were skipped."""
    checkpoint, skipped = read_checkpoint(folder, trial.name, configuration_hash(trial))
    return (checkpoint.history[len(trial.epochs) :] if checkpoint else ()), skipped


def read_best(folder: RunFolder, trial: str, configuration: str = "") -> Checkpoint:
    """The trial's best weights.

    Args:
        folder: the run's.
        trial: its name.
        configuration: that they must be of, as `configuration_hash`; empty for any.

    Raises:
        CheckpointError: the file is missing, damaged, or of another configuration.
    """
    try:
        return _read(folder, trial, BEST, configuration)
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
        folder.write(_pack(replace(checkpoint, optimizer=())), "trials", trial, _name(checkpoint.epoch))


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
    texts = {"history": history, "configuration": checkpoint.configuration}
    arrays |= {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _read(folder: RunFolder, trial: str, name: str, configuration: str) -> Checkpoint:
    """The checkpoint in a file of a trial.

    Raises:
        CheckpointError: it is damaged, or of another configuration than that, where one is given.
    """
    path, content = f"trials/{trial}/{name}", folder.read("trials", trial, name)
    try:
        checkpoint = _unpack(content)
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}).") from error
    if configuration and checkpoint.configuration not in ("", configuration):
        raise CheckpointError(f"{path} is of another configuration than the trial in the log.")
    return checkpoint


def _unpack(content: bytes) -> Checkpoint:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        own = file["configuration"].tobytes().decode() if "configuration" in file.files else ""
        return Checkpoint(
            weights=[file[key] for key in sorted(file.files) if key.startswith("weight_")],
            optimizer=[file[key] for key in sorted(file.files) if key.startswith("optimizer_")],
            history=[EpochRecord(**entry) for entry in json.loads(file["history"].tobytes())],
            configuration=own,
        )
