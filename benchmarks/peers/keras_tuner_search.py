"""Trials by KerasTuner's GridSearch: one after the other, its default threads, the images loaded once.

`python -m benchmarks.peers.keras_tuner_search TASK`

Source: https://keras.io/guides/keras_tuner/getting_started/ (HyperModel with build and fit; search).
"""

import sys
import tempfile
import time
from typing import Any

import keras
import keras_tuner

from benchmarks.peers.task import Images, Outcome, Task, batches, build, load_images, print_outcome, read_task


class TrialHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner ships no types
    """The task's models, and the time that each trial takes."""

    def __init__(self, task: Task, images: Images, backbone_weights: Any) -> None:
        super().__init__()
        self.trials: list[tuple[dict[str, Any], float]] = []
        self._task = task
        self._images = images
        self._backbone_weights = backbone_weights

    def build(self, hp: Any) -> keras.Model:
        """The compiled model of one trial."""
        chosen = {name: hp.Choice(name, list(values)) for name, values in self._task.grid.items()}
        return build({**self._task.fixed, **chosen}, self._task.size, self._backbone_weights)

    def fit(self, hp: Any, model: keras.Model, *args: Any, **options: Any) -> Any:
        """Train one trial."""
        started = time.time()
        parameters = {**self._task.fixed, **hp.values}
        train, validation = batches(self._images, parameters["batch_size"])
        history = model.fit(train, *args, validation_data=validation, **options)
        self.trials.append((parameters, time.time() - started))
        return history


def main(path: str) -> None:
    """Search the task's grid."""
    task = read_task(path)
    hypermodel = TrialHyperModel(task, load_images(task), _backbone_weights(task))
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.GridSearch(hypermodel, "val_accuracy", max_trials=len(task.trials), directory=folder)
        tuner.search(epochs=task.epochs, verbose=0)
    print_outcome(Outcome(time.time(), tuple(hypermodel.trials)))


def _backbone_weights(task: Task) -> Any:
    """The arrays of the task's backbone; None for random ones, and for a CNN."""
    from models.registry import load_backbone_weights

    if task.weights == "none":
        return None
    return load_backbone_weights(task.fixed["backbone"], task.weights)


if __name__ == "__main__":
    main(sys.argv[1])
