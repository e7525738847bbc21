"""A checkpoint belongs to the configuration that it was trained with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.record import RunFolder, TrialRecord
from search.trial.checkpoint import (
    Checkpoint,
    CheckpointError,
    configuration_hash,
    read_best,
    read_checkpoint,
    write_checkpoint,
)
from tests.conftest import make_epoch

TRIAL = TrialRecord(11, {"dropout": 0.1, "dense": [16, 8]}, seed=3, max_epochs=9)
OTHERS = (
    replace(TRIAL, parameters={"dropout": 0.2, "dense": [16, 8]}),
    replace(TRIAL, seed=4),
    replace(TRIAL, repeat=1),
)


def make_checkpoint(epochs: int, configuration: str) -> Checkpoint:
    history = [make_epoch(number + 1, 0.5) for number in range(epochs)]
    return Checkpoint([np.full(2, epochs)], [np.array(epochs)], history, configuration)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path))


def test_only_what_epochs_follow_from_makes_another_configuration() -> None:
    own = configuration_hash(TRIAL)
    same = replace(TRIAL, number=7, status="running", parameters=dict(reversed(TRIAL.parameters.items())))
    assert configuration_hash(same) == own
    assert len({own, *map(configuration_hash, OTHERS)}) == 1 + len(OTHERS)


def test_a_checkpoint_of_another_configuration_is_refused_and_named(folder: RunFolder) -> None:
    own, other = configuration_hash(TRIAL), configuration_hash(OTHERS[0])
    write_checkpoint(folder, TRIAL.name, make_checkpoint(1, own), is_best=False)
    write_checkpoint(folder, TRIAL.name, make_checkpoint(2, other), is_best=True)
    found, skipped = read_checkpoint(folder, TRIAL.name, own)
    assert found is not None
    assert (found.epoch, found.configuration) == (1, own)
    assert skipped == ["trials/0011/epoch-0002.npz is of another configuration than the trial in the log."]
    with pytest.raises(CheckpointError, match=r"best\.npz is of another configuration"):
        read_best(folder, TRIAL.name, own)
    assert read_best(folder, TRIAL.name, other).epoch == 2
    assert read_checkpoint(folder, TRIAL.name)[1] == []  # whatever it is of


def test_a_trial_that_begins_anew_keeps_its_own_checkpoints(folder: RunFolder) -> None:
    for epochs in (8, 9):
        write_checkpoint(folder, TRIAL.name, make_checkpoint(epochs, configuration_hash(OTHERS[0])), is_best=True)
    own = configuration_hash(TRIAL)
    assert read_checkpoint(folder, TRIAL.name, own)[0] is None
    for epochs in (1, 2, 3):
        write_checkpoint(folder, TRIAL.name, make_checkpoint(epochs, own), is_best=epochs == 1)
    assert folder.names("trials", TRIAL.name) == ["best.npz", "epoch-0002.npz", "epoch-0003.npz"]
    assert read_best(folder, TRIAL.name, own).epoch == 1


def test_a_checkpoint_of_an_older_version_fits_any_configuration(folder: RunFolder) -> None:
    write_checkpoint(folder, TRIAL.name, make_checkpoint(1, ""), is_best=True)
    for trial in (TRIAL, *OTHERS):
        found, skipped = read_checkpoint(folder, TRIAL.name, configuration_hash(trial))
        assert found is not None
        assert (found.epoch, skipped) == (1, [])
        assert read_best(folder, TRIAL.name, configuration_hash(trial)).epoch == 1
