from pathlib import Path

import numpy as np
import pytest

from search.record import RunFolder
from search.trial.checkpoint import (
    Checkpoint,
    CheckpointError,
    drop_checkpoints,
    drop_optimizer,
    drop_trial,
    newest_epochs,
    read_best,
    read_checkpoint,
    write_checkpoint,
)
from tests.conftest import make_epoch


def make_checkpoint(epochs: int) -> Checkpoint:
    weights = [np.full((3, 2), epochs, np.float32), np.arange(epochs, dtype=np.int64)]
    return Checkpoint(weights, [np.array(epochs)], [make_epoch(n + 1, 1.0 / (n + 1)) for n in range(epochs)])


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(str(tmp_path))
    for epochs in (1, 2, 3):
        write_checkpoint(folder, "0000", make_checkpoint(epochs), is_best=epochs == 2)
    return folder


def test_the_newest_is_read_and_two_are_kept(folder: RunFolder) -> None:
    found, damaged = read_checkpoint(folder, "0000")
    assert found is not None
    assert (found.epoch, damaged) == (3, [])
    np.testing.assert_array_equal(found.weights[0], np.full((3, 2), 3))
    assert found.optimizer == [np.array(3)]
    assert found.history == make_checkpoint(3).history
    assert folder.names("trials", "0000") == ["best.npz", "epoch-0002.npz", "epoch-0003.npz"]


def test_the_best_weights_know_their_epoch(folder: RunFolder) -> None:
    assert read_best(folder, "0000").epoch == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_one_is_named_and_the_one_before_it_used(folder: RunFolder, damage: str) -> None:
    path = Path(folder.child("trials", "0000", "epoch-0003.npz"))
    content = bytearray(path.read_bytes())
    place = content.find(np.full((3, 2), 3, np.float32).tobytes())
    content[place] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "flipped": bytes(content), "empty": b""}[damage])
    found, damaged = read_checkpoint(folder, "0000")
    assert found is not None
    assert found.epoch == 2
    assert [line.partition(" is damaged (")[0] for line in damaged] == ["trials/0000/epoch-0003.npz"]


def test_a_trial_without_any_has_none(tmp_path: Path) -> None:
    assert read_checkpoint(RunFolder(str(tmp_path)), "0000") == (None, [])
    with pytest.raises(CheckpointError, match="never finished an epoch"):
        read_best(RunFolder(str(tmp_path)), "0000")


def test_an_ended_trial_keeps_its_last_and_its_best(folder: RunFolder) -> None:
    drop_checkpoints(folder, "0000", keep=1)
    assert folder.names("trials", "0000") == ["best.npz", "epoch-0003.npz"]
    drop_checkpoints(folder, "0000", keep=2)
    assert folder.names("trials", "0000") == ["best.npz", "epoch-0003.npz"]
    drop_checkpoints(folder, "0000", keep=0)
    assert folder.names("trials", "0000") == ["best.npz"]
    drop_trial(folder, "0000")
    assert folder.names("trials", "0000") == []


def test_the_newest_epochs_are_known_by_their_names(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"", "trials", "0007", "best.npz")
    folder.write(b"", "trials", "notes.txt")
    monkeypatch.setattr(folder, "read", None)
    assert newest_epochs(folder) == {"0000": 3, "0007": 0, "notes.txt": 0}


def test_the_optimizers_state_is_dropped_and_the_weights_stay(folder: RunFolder) -> None:
    drop_optimizer(folder, "0000")
    found, _ = read_checkpoint(folder, "0000")
    assert found is not None
    assert (found.epoch, list(found.optimizer)) == (3, [])
    np.testing.assert_array_equal(found.weights[0], np.full((3, 2), 3))
    assert found.history == make_checkpoint(3).history


def test_the_requests_of_an_epoch_in_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/scale.md counts them: 1 PUT, 1 LIST and 1 DELETE, and 1 PUT more for a best epoch."""
    from s3fs import S3FileSystem

    folder, requests, call = RunFolder(f"{bucket}/run"), [], S3FileSystem._call_s3

    def count(fs: S3FileSystem, method: str, *given: object, **named: object) -> object:
        requests.append(method)
        return call(fs, method, *given, **named)

    for epochs in (1, 2, 3):
        write_checkpoint(folder, "0000", make_checkpoint(epochs), is_best=False)
    monkeypatch.setattr(S3FileSystem, "_call_s3", count)
    write_checkpoint(folder, "0000", make_checkpoint(4), is_best=False)
    assert sorted(requests) == ["delete_object", "list_objects_v2", "put_object"]
    requests.clear()
    write_checkpoint(folder, "0000", make_checkpoint(5), is_best=True)
    assert sorted(requests) == ["delete_object", "list_objects_v2", "put_object", "put_object"]
    requests.clear()
    assert newest_epochs(folder) == {"0000": 5}
    assert requests == ["list_objects_v2"]
