"""A search by KerasTuner: `python -m benchmarks.peers.race_keras_tuner TASK hyperband | bayesian`.

Source: https://keras.io/guides/keras_tuner/getting_started/ (HyperModel, custom objective, search) and
https://www.tensorflow.org/tutorials/keras/keras_tuner (Hyperband with EarlyStopping of patience 5).
"""

import sys
import tempfile
from typing import Any

import keras
import keras_tuner

from benchmarks.peers.race_keras import OBJECTIVE, build, train
from benchmarks.peers.race_task import RaceTask, read_race_task
from benchmarks.peers.task import Images, load_images

WITHOUT_END = 10_000  # trials, or rounds of Hyperband


class RaceHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner ships no types
    """The models of the task's space."""

    def __init__(self, task: RaceTask, images: Images) -> None:
        super().__init__()
        self._task, self._images = task, images

    def build(self, hp: Any) -> keras.Model:
        """The compiled model of one trial."""
        return build(
            self._task,
            self._task.parameters({name: suggest(hp, name, *self._task.domains[name]) for name in self._task.domains}),
        )

    def fit(self, hp: Any, model: keras.Model, *args: Any, **options: Any) -> Any:
        """Train one trial."""
        return train(self._task, self._images, self._task.parameters(hp.values), model, **options)


def suggest(hp: Any, name: str, kind: str, values: list[Any]) -> Any:
    """KerasTuner's value of a hyperparameter."""
    if kind == "choice":
        return hp.Choice(name, values)
    ask = hp.Int if kind.endswith("integer") else hp.Float
    return ask(name, *values, sampling="log" if kind.startswith("log") else "linear")


def main(path: str, way: str) -> None:
    """Search until the process is stopped."""
    task = read_race_task(path)
    hypermodel, objective = RaceHyperModel(task, load_images(task)), keras_tuner.Objective(OBJECTIVE, "max")
    with tempfile.TemporaryDirectory() as folder:
        common = {"objective": objective, "seed": task.seed, "directory": folder}
        if way == "hyperband":
            tuner = keras_tuner.Hyperband(
                hypermodel, max_epochs=task.epochs, hyperband_iterations=WITHOUT_END, **common
            )
        else:
            tuner = keras_tuner.BayesianOptimization(hypermodel, max_trials=WITHOUT_END, **common)
        stop_early = keras.callbacks.EarlyStopping("val_loss", patience=5)
        tuner.search(epochs=task.epochs, callbacks=[stop_early], verbose=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
