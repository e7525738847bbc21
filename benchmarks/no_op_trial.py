"""Trials that train nothing, for `driver_overhead` and `scale`: ours, and the two kinds of Ray Tune."""

import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from ray import tune

from benchmarks.no_op import EPOCH_SECONDS, EPOCHS, no_op_epoch
from search.record import EpochRecord
from search.trial.trainable import ImageTrial, TrialContext
from search.trial.training import TrialModel


class NoOpModel:
    """A stand-in for `TrialModel` in `ImageTrial`, with one number for weights and a falling loss."""

    is_diverged = False

    def __init__(self, max_epochs: int) -> None:
        self.history: list[EpochRecord] = []
        self._max_epochs = max_epochs

    @property
    def is_done(self) -> bool:
        """Whether all epochs have ended."""
        return len(self.history) >= self._max_epochs

    def run_epoch(self) -> None:
        """Append an epoch in which nothing was trained."""
        epoch = len(self.history) + 1
        self.history.append(no_op_epoch(epoch, 1 / epoch))

    def weights(self) -> list[NDArray[np.float32]]:
        """One number."""
        return [np.zeros(1, np.float32)]

    def optimizer_state(self) -> list[NDArray[np.float32]]:
        """One number."""
        return [np.zeros(1, np.float32)]

    def restore(self, weights: Sequence[Any], optimizer: Sequence[Any], history: Sequence[EpochRecord]) -> None:
        """Resume from a checkpoint."""
        self.history = list(history)


class NoOpTrial(ImageTrial):
    """Our trial with its checkpoints and results, around a model that does nothing; without TensorFlow."""

    def prepare_process(self, context: TrialContext) -> None:
        """Nothing to set up."""

    def build_model(self) -> TrialModel:
        """A model that does nothing."""
        return cast(TrialModel, NoOpModel(self._trial.max_epochs))


class SleepingModel(NoOpModel):
    """A model whose epochs take time."""

    def run_epoch(self) -> None:
        """Sleep for an epoch."""
        time.sleep(EPOCH_SECONDS)
        super().run_epoch()


class SleepingTrial(NoOpTrial):
    """Our trial around a model that sleeps."""

    def build_model(self) -> TrialModel:
        """A model that sleeps."""
        return cast(TrialModel, SleepingModel(self._trial.max_epochs))


class TuneTrial(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """Trials of three steps in a process that continues from trial to trial."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first trial of the process."""
        self._epoch = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial."""
        self._epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        """An epoch in which nothing was trained."""
        self._epoch += 1
        return {"val_loss": 1 / self._epoch, "done": self._epoch == EPOCHS}


def report_three_steps(config: dict[str, Any]) -> None:
    """The same trial as a function, for which Tune starts a process of its own."""
    for epoch in range(1, EPOCHS + 1):
        tune.report({"val_loss": 1 / epoch})
