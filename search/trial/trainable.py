"""Runs one trial for Ray Tune: one epoch a step up to a target, in a process that trains one trial after another.

This module imports Ray at the top because a trainable is a subclass; the driver imports it only when
a search begins.
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray import ObjectRef, tune
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayTaskError

from data_pipeline.share import get_training_data
from search import record
from search.plan.settings import TrainSettings
from search.record import RunFolder, TrialRecord
from search.trial.checkpoint import Checkpoint, configuration_hash, read_checkpoint, write_best, write_checkpoint
from search.trial.features import Backbones, trial_inputs
from search.trial.process import out_of_memory, prepare_process, release_memory
from search.trial.training import TrialModel, trial_config

_SYSTEM_ERRORS = (OSError, OutOfDiskError, ObjectStoreFullError)  # the last two are Ray's, of a host without room


@dataclass(frozen=True)
class TrialContext:
    """Settings and data that all trials of a run share.

    Attributes:
        patience: seconds to wait for a storage that fails.
        data: `TrainingData` in the object store: pool images only, by construction no test image.
        backbones: pretrained weights and features.
        threads: TensorFlow's threads in a trial.
    """

    run_url: str
    patience: float
    metric: str
    train: TrainSettings
    data: "ObjectRef[Any]"
    backbones: Backbones
    threads: int


class ImageTrial(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """Trains one configuration; a process imports TensorFlow once, for any number of trials.

    Only `prepare_process` and `build_model` use TensorFlow: a subclass that overrides both trains
    something else and keeps the steps, checkpoints and results (benchmarks.no_op_trial).
    """

    _model: TrialModel | None

    def setup(self, config: dict[str, Any], context: TrialContext) -> None:
        """Set up the process, once, and begin its first trial."""
        self._context = context
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        self._place = {"host": socket.gethostname(), "node": node}
        self._last: TrialModel | None = None
        self._unfit = self._prepare()
        self._begin(config)

    def _prepare(self) -> str:
        """Set up what all trials of the process need; why this host cannot: no trial plays a part."""
        try:
            self._folder = RunFolder(self._context.run_url).patient(self._context.patience)
            self.prepare_process(self._context)
        except Exception as error:
            return _in_a_line(error) if isinstance(error, OSError) else f"{type(error).__name__}: {_in_a_line(error)}"
        return ""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process, or continue the one that it has just trained."""
        model = self._model
        if new_config["number"] == self._trial.number and model and len(model.history) == new_config["trained"]:
            self._target = new_config["target"]
            return True
        self._last = model
        self._begin(new_config)
        return True

    def prepare_process(self, context: TrialContext) -> None:
        """Set up the process for its first trial."""
        prepare_process(context.threads, context.train.deterministic)

    def step(self) -> dict[str, Any]:
        """Train and checkpoint one epoch; or report one that a lost process had checkpointed but not reported."""
        self._unfit = self._unfit and self._prepare()
        if self._unfit:
            return {"done": True, "host_error": self._unfit, **self._place}
        try:
            if self._model is None:
                self._model = self._build_or_restore()
                if len(self._model.history) > self._trained:
                    return self._result()
            self._run_epoch(self._model)
            return self._result()
        except ValueError as error:
            # The configuration itself cannot be trained: a second try would fail alike.
            return {"done": True, "status": record.FAILED, "reason": str(error)}
        except RayTaskError as error:
            if not isinstance(error.cause, _SYSTEM_ERRORS):
                raise
            # The feature store cannot write: every other trial would fail too.
            return {"done": True, "storage_error": _in_a_line(error.cause)}
        except _SYSTEM_ERRORS as error:
            # This host has no mount, no credentials or a full disk; another may do, which the driver decides.
            return {"done": True, "host_error": _in_a_line(error), **self._place}
        except Exception as error:
            if reason := out_of_memory(error):
                # A failure like a lost process: its neighbours on the GPU may have had the memory.
                raise MemoryError(reason) from None
            raise

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial = TrialRecord(**json.loads(config["trial"]))
        self._trained, self._target = config["trained"], config["target"]
        # Built in the first step, which distinguishes a configuration that fails from a lost process.
        self._model = None

    def _build_or_restore(self) -> TrialModel:
        if self._folder.is_local and not self._folder.exists("log"):
            raise FileNotFoundError(f"{self._folder.url} is not there, which holds the run. Mount its storage.")
        model = self.build_model()
        checkpoint, skipped = read_checkpoint(self._folder, self._trial.name, configuration_hash(self._trial))
        for line in skipped:
            print(f"{line} The one before it is used, or the trial begins anew.")
        if checkpoint is not None:
            model.restore(checkpoint.weights, checkpoint.optimizer, checkpoint.history)
            if self._is_best(model):  # the process may have died before it wrote them
                write_best(self._folder, self._trial.name, checkpoint)
        return model

    def build_model(self) -> TrialModel:
        """The trial's model before its first epoch: the last one restarted, or a new one after its memory is freed."""
        config = trial_config(self._trial, self._context.train)
        data = get_training_data(self._context.data).of_repeat(self._trial.repeat)
        backbones = self._context.backbones
        inputs, weights = trial_inputs(backbones, config, data), backbones.arrays(config.model)
        last, self._last = self._last, None
        if last is not None and last.restart(config, data, inputs, weights):
            return last
        del last
        release_memory()
        return TrialModel(config, data, inputs, weights)

    def _run_epoch(self, model: TrialModel) -> None:
        model.run_epoch()
        if model.is_diverged:
            return  # weights that are not finite are useless
        state = () if model.is_done else model.optimizer_state()  # of no use after the last epoch
        checkpoint = Checkpoint(model.weights(), state, model.history, configuration_hash(self._trial))
        write_checkpoint(self._folder, self._trial.name, checkpoint, self._is_best(model))

    def _is_best(self, model: TrialModel) -> bool:
        self._trial.epochs = model.history
        best = self._trial.best_epoch(self._context.metric)
        return best is not None and best.epoch == len(model.history)

    def _result(self) -> dict[str, Any]:
        model = self._model
        if model is None:
            raise RuntimeError("A result needs a model; step builds it first.")
        epoch = model.history[-1]
        result: dict[str, Any] = {
            "done": epoch.epoch >= self._target,
            "metrics": asdict(epoch),
            "process": os.getpid(),
            **self._place,
        }
        if model.is_diverged:
            reason = f"the loss of epoch {epoch.epoch} is not a finite number"
            result |= {"done": True, "status": record.DIVERGED, "reason": reason}
        elif model.is_done:
            early = epoch.epoch < self._trial.max_epochs
            reason = "early stopping: val_loss no longer improves" if early else ""
            result |= {"done": True, "status": record.FINISHED, "reason": reason}
        return result


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())
