"""One trial as Tune runs it: steps, results, checkpoints, and a process that goes on from trial to trial."""

import math
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayActorError, RayTaskError

from data_pipeline.share import TrainingData
from search import record
from search.driver.tune import tune_config
from search.plan.settings import TrainSettings
from search.record import EpochRecord, RunFolder, TrialRecord
from search.trial import trainable
from search.trial.checkpoint import read_best, read_checkpoint
from search.trial.features import Backbones
from search.trial.trainable import ImageTrial, TrialContext
from search.trial.training import TrialModel
from tests.conftest import make_epoch

MAX_EPOCHS = 3


class ScriptedModel:
    """What a trial asks of a `TrialModel`, with a script of losses; its weights are the epoch.

    A loss that is an error is raised; a list that is shorter than the trial ends it by early stopping.
    """

    def __init__(self, losses: Sequence[float | Exception]) -> None:
        self.history: list[EpochRecord] = []
        self._losses = losses

    @property
    def is_diverged(self) -> bool:
        return bool(self.history) and not math.isfinite(self.history[-1].val_loss or 0.0)

    @property
    def is_done(self) -> bool:
        return len(self.history) >= len(self._losses)

    def run_epoch(self) -> None:
        loss = self._losses[len(self.history)]
        if isinstance(loss, Exception):
            raise loss
        self.history.append(make_epoch(len(self.history) + 1, loss))

    def weights(self) -> list[Any]:
        return [np.array(len(self.history))]

    def optimizer_state(self) -> list[Any]:
        return [np.array(len(self.history))]

    def restore(self, weights: Sequence[Any], optimizer: Sequence[Any], history: Sequence[EpochRecord]) -> None:
        self.history = list(history)
        assert int(weights[0]) == len(history)
        assert self.is_done or int(optimizer[0]) == len(history)


class ScriptedTrial(ImageTrial):
    """Our trial, its steps, checkpoints and results, around scripted models; without TensorFlow."""

    losses: Sequence[float | Exception] = ()

    def prepare_process(self, context: TrialContext) -> None:
        self.models_built = 0

    def build_model(self) -> TrialModel:
        self.models_built += 1
        return cast(TrialModel, ScriptedModel(self.losses))


def config_of(number: int = 0, trained: int = 0, target: int = MAX_EPOCHS, **parameters: Any) -> dict[str, Any]:
    """What Tune hands a process: a trial with some epochs behind it, to be trained up to a target."""
    trial = TrialRecord(number, parameters, 7, MAX_EPOCHS)
    trial.epochs += [make_epoch(epoch + 1, 0.5) for epoch in range(trained)]
    return tune_config(trial, target)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "log").mkdir()  # the driver has written to it
    return RunFolder(str(tmp_path))


@pytest.fixture
def start(folder: RunFolder) -> Callable[..., ScriptedTrial]:
    """Starts a process of the run with a trial of these losses."""

    def begin(losses: Sequence[float | Exception], config: dict[str, Any] | None = None) -> ScriptedTrial:
        trial = ScriptedTrial.__new__(ScriptedTrial)  # Tune's own __init__ opens its log files
        trial.losses = losses
        trial.setup(config or config_of(), context_of(folder))
        return trial

    return begin


def context_of(folder: RunFolder) -> TrialContext:
    return TrialContext(folder.url, 0.0, "val_loss", TrainSettings(precision="float32"), None, Backbones({}), 1)


def test_a_step_is_an_epoch_with_its_checkpoint(start: Callable[..., ScriptedTrial], folder: RunFolder) -> None:
    trial = start([0.5, 0.3, 0.4])
    results = [trial.step() for _ in range(3)]
    assert [result["metrics"]["epoch"] for result in results] == [1, 2, 3]
    assert [result["metrics"]["val_loss"] for result in results] == [0.5, 0.3, 0.4]
    assert [result["done"] for result in results] == [False, False, True]
    assert (results[2]["status"], results[2]["reason"]) == (record.FINISHED, "")
    assert "status" not in results[1]
    assert all(result["host"] and result["process"] for result in results)
    found, damaged = read_checkpoint(folder, "0000")
    assert found is not None
    assert (found.epoch, damaged) == (3, [])
    assert read_best(folder, "0000").epoch == 2


def test_the_optimizers_state_is_kept_until_the_last_epoch(
    start: Callable[..., ScriptedTrial], folder: RunFolder
) -> None:
    """After it, it is of no use; a new process reports the epoch from such a checkpoint nevertheless."""
    trial = start([0.5, 0.3, 0.4])
    for kept in (1, 1, 0):
        trial.step()
        found, _ = read_checkpoint(folder, "0000")
        assert found is not None
        assert len(found.optimizer) == kept
    again = start([0.5, 0.3, 0.4], config_of(trained=2)).step()
    assert (again["metrics"]["epoch"], again["status"]) == (3, record.FINISHED)


def test_a_trial_that_reaches_its_target_is_done_without_a_status(start: Callable[..., ScriptedTrial]) -> None:
    result = start([0.5, 0.3, 0.4], config_of(target=1)).step()
    assert result["done"]
    assert "status" not in result


def test_a_trial_that_stops_early_says_why(start: Callable[..., ScriptedTrial]) -> None:
    result = start([0.5]).step()
    assert (result["done"], result["status"]) == (True, record.FINISHED)
    assert "early stopping" in result["reason"]


def test_a_diverged_epoch_is_reported_and_not_saved(start: Callable[..., ScriptedTrial], folder: RunFolder) -> None:
    trial = start([0.5, math.nan, 0.4])
    trial.step()
    result = trial.step()
    assert (result["done"], result["status"], result["metrics"]["epoch"]) == (True, record.DIVERGED, 2)
    assert "epoch 2 is not a finite number" in result["reason"]
    found, _ = read_checkpoint(folder, "0000")
    assert found is not None
    assert found.epoch == 1


def test_a_trial_that_finds_no_memory_is_retried_for_a_reason_of_one_line(start: Callable[..., ScriptedTrial]) -> None:
    import tensorflow as tf

    full = tf.errors.ResourceExhaustedError(None, None, "Graph execution error:\nOOM when allocating tensor\n[[node]]")
    with pytest.raises(
        MemoryError, match=r"^A trial must fit into memory\. Received: OOM when allocating tensor\. .*$"
    ):
        start([full]).step()
    with pytest.raises(RuntimeError, match="another"):
        start([RuntimeError("another")]).step()


def test_what_cannot_be_trained_fails_the_trial_alone(start: Callable[..., ScriptedTrial]) -> None:
    result = start([ValueError("no room for a third pooling")]).step()
    assert result == {"done": True, "status": record.FAILED, "reason": "no room for a third pooling"}


@pytest.mark.parametrize("error", [OSError, OutOfDiskError, ObjectStoreFullError])
def test_an_error_of_the_system_is_no_fault_of_the_trial(
    error: type[Exception], start: Callable[..., ScriptedTrial]
) -> None:
    result = start([error("No space left on device")]).step()
    said = result.pop("host_error")
    assert said.startswith("No space left on device")
    assert "\n" not in said
    assert result == {"done": True, "host": socket.gethostname(), "node": ""}


def test_a_process_that_cannot_be_set_up_is_its_hosts_fault_until_it_can(
    start: Callable[..., ScriptedTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TensorFlow, say: no configuration plays a part, and none may fail for it."""
    is_there = [False]

    def prepare(self: ScriptedTrial, context: TrialContext) -> None:
        self.models_built = 0
        if not is_there[0]:
            raise ModuleNotFoundError("No module named 'tensorflow'")

    monkeypatch.setattr(ScriptedTrial, "prepare_process", prepare)
    trial = start([0.5, 0.4, 0.3])
    assert trial.step()["host_error"] == "ModuleNotFoundError: No module named 'tensorflow'"
    trial.reset_config(config_of(1))
    assert trial.step()["done"]
    assert trial.models_built == 0
    is_there[0] = True
    assert trial.step()["metrics"]["epoch"] == 1


def test_a_host_that_does_not_see_the_run_says_so_and_writes_nothing(tmp_path: Path) -> None:
    folder = RunFolder(f"{tmp_path}/not mounted/one")
    trial = ScriptedTrial.__new__(ScriptedTrial)
    trial.losses = [0.5]
    trial.setup(config_of(), context_of(folder))
    assert "not mounted/one is not there, which holds the run" in trial.step()["host_error"]
    assert list(tmp_path.iterdir()) == []


def test_a_feature_store_that_cannot_write_is_no_fault_of_the_host(start: Callable[..., ScriptedTrial]) -> None:
    for cause in (OSError(28, "No space left on device"), OutOfDiskError("[Errno 28] No space left on device")):
        result = start([RayTaskError("add", "Traceback ...", cause).as_instanceof_cause()]).step()
        assert result["done"]
        assert result["storage_error"].startswith("[Errno 28] No space left on device")


def test_a_feature_store_that_died_is_not_reported_as_a_result(start: Callable[..., ScriptedTrial]) -> None:
    error = RayTaskError("step", "Traceback ...", RayActorError()).as_instanceof_cause()
    with pytest.raises(RayActorError):
        start([error]).step()


def test_a_new_process_resumes_from_the_checkpoint(start: Callable[..., ScriptedTrial], folder: RunFolder) -> None:
    start([0.5, 0.3, 0.4]).step()
    result = start([0.5, 0.3, 0.4], config_of(trained=1)).step()
    assert (result["metrics"]["epoch"], result["done"]) == (2, False)
    assert read_best(folder, "0000").epoch == 2


def test_an_epoch_that_was_saved_but_not_reported_is_reported_first(
    start: Callable[..., ScriptedTrial], folder: RunFolder
) -> None:
    """The first process dies between its checkpoint and its report, before it wrote the best weights."""
    start([0.5, 0.3, 0.4]).step()
    folder.remove("trials", "0000", "best.npz")
    again = start([0.5, 0.3, 0.4], config_of(trained=0))
    assert again.step()["metrics"]["epoch"] == 1
    assert read_best(folder, "0000").epoch == 1
    assert again.step()["metrics"]["epoch"] == 2


def test_a_damaged_checkpoint_is_skipped(
    start: Callable[..., ScriptedTrial], folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = start([0.5, 0.3, 0.4])
    trial.step()
    trial.step()
    folder.write(b"cut short", "trials", "0000", "epoch-0002.npz")
    result = start([0.5, 0.3, 0.4], config_of(trained=1)).step()
    assert result["metrics"]["epoch"] == 2
    assert "trials/0000/epoch-0002.npz is damaged" in capsys.readouterr().out


def test_a_process_keeps_the_model_of_the_trial_that_it_has_just_trained(start: Callable[..., ScriptedTrial]) -> None:
    trial = start([0.5, 0.3, 0.4], config_of(target=1))
    assert trial.step()["done"]
    assert trial.reset_config(config_of(trained=1, target=3))
    assert [trial.step()["metrics"]["epoch"] for _ in range(2)] == [2, 3]
    assert trial.models_built == 1


@pytest.mark.parametrize("change", [{"number": 1}, {"trained": 2}])
def test_a_process_builds_anew_for_another_trial_or_one_that_others_trained_on(
    start: Callable[..., ScriptedTrial], change: dict[str, int]
) -> None:
    trial = start([0.5, 0.3, 0.4], config_of(target=1))
    trial.step()
    if "trained" in change:  # another process trained the second epoch
        start([0.5, 0.3, 0.4], config_of(trained=1)).step()
    assert trial.reset_config(config_of(**change))
    assert trial.step()["metrics"]["epoch"] == change.get("trained", 0) + 1
    assert trial.models_built == 2


def test_a_trial_in_a_used_process_gives_the_numbers_of_a_fresh_one(
    small_data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same graphs with another learning rate, then other graphs: neither shows what the process trained before."""
    monkeypatch.setattr(trainable, "prepare_process", lambda *given: None)  # TensorFlow of this process is at work
    monkeypatch.setattr(trainable, "get_training_data", lambda reference: small_data)
    cnn = {"backbone": "cnn", "layers": 1, "filters": 2, "dense": [], "batch_size": 64}
    trials = [{**cnn, "learning_rate": 1e-3}, {**cnn, "learning_rate": 3e-3}, {**cnn, "dense": [4]}]
    configs = [config_of(number, target=1, **parameters) for number, parameters in enumerate(trials)]

    def fresh(run: str, config: dict[str, Any]) -> ImageTrial:
        trial = ImageTrial.__new__(ImageTrial)
        (tmp_path / run / "log").mkdir(parents=True, exist_ok=True)
        trial.setup(config, context_of(RunFolder(f"{tmp_path}/{run}")))
        return trial

    def losses(result: dict[str, Any]) -> tuple[float, float]:
        return result["metrics"]["train_loss"], result["metrics"]["val_loss"]

    used = fresh("used", configs[0])
    found = [losses(used.step())]
    for config in configs[1:]:
        assert used.reset_config(config)
        found.append(losses(used.step()))
    assert found == [losses(fresh("fresh", config).step()) for config in configs]
    assert len(set(found)) == 3
