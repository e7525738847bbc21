"""A search by Optuna, with a Keras objective and its pruning callback: `python -m benchmarks.peers.race_optuna TASK`.

Source: https://github.com/optuna/optuna-examples/blob/main/keras/keras_integration.py (KerasPruningCallback,
MedianPruner, clear_session before each trial). Samplers are Optuna's own default, TPE.
"""

import sys
from typing import Any

import keras
import optuna
from optuna_integration import KerasPruningCallback

from benchmarks.peers.race_keras import OBJECTIVE, build, train
from benchmarks.peers.race_task import read_race_task
from benchmarks.peers.task import load_images


def suggest(trial: optuna.Trial, name: str, kind: str, values: list[Any]) -> Any:
    """Optuna's value of a hyperparameter."""
    if kind == "choice":
        return trial.suggest_categorical(name, values)
    ask: Any = trial.suggest_int if kind.endswith("integer") else trial.suggest_float
    return ask(name, *values, log=kind.startswith("log"))


def main(path: str) -> None:
    """Search until the process is stopped."""
    task = read_race_task(path)
    images = load_images(task)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        parameters = task.parameters({name: suggest(trial, name, *domain) for name, domain in task.domains.items()})
        pruning = KerasPruningCallback(trial, OBJECTIVE)
        history = train(task, images, parameters, build(task, parameters), callbacks=[pruning])
        return float(max(history.history[OBJECTIVE]))

    sampler, pruner = optuna.samplers.TPESampler(seed=task.seed), optuna.pruners.MedianPruner()
    optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner).optimize(objective)


if __name__ == "__main__":
    main(sys.argv[1])
