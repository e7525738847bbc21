"""A search by Ray Tune with OptunaSearch and ASHA, one CPU a trial: `python -m benchmarks.peers.race_ray_tune TASK`.

Source: https://docs.ray.io/en/latest/tune/ (Tuner, with_parameters, with_resources, OptunaSearch, ASHAScheduler,
TuneReportCheckpointCallback).
"""

import sys
import tempfile
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.peers.race_task import RaceTask, read_race_task
from benchmarks.peers.task import Images, load_images


def train_trial(config: dict[str, Any], task: RaceTask, images: Images) -> None:
    """Train one trial, reporting and checkpointing every epoch."""
    from ray.tune.integration.keras import TuneReportCheckpointCallback

    from benchmarks.peers.race_keras import build, train

    parameters = task.parameters(config)
    train(task, images, parameters, build(task, parameters), callbacks=[TuneReportCheckpointCallback()])


def domain(kind: str, values: list[Any]) -> Any:
    """Tune's domain of a hyperparameter; its integers leave out the upper end."""
    if kind == "choice":
        return tune.choice(values)
    if kind.endswith("integer"):
        return (tune.lograndint if kind.startswith("log") else tune.randint)(values[0], values[1] + 1)
    return (tune.loguniform if kind.startswith("log") else tune.uniform)(*values)


def main(path: str) -> None:
    """Search until the process is stopped."""
    task = read_race_task(path)
    ray.init(include_dashboard=False, log_to_driver=False)
    trainable = tune.with_parameters(train_trial, task=task, images=load_images(task))
    cores = int(ray.cluster_resources()["CPU"])
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={name: domain(*each) for name, each in task.domains.items()},
            tune_config=tune.TuneConfig(
                metric="val_auc",
                mode="max",
                search_alg=OptunaSearch(seed=task.seed),
                scheduler=ASHAScheduler(max_t=task.epochs),
                num_samples=-1,  # without end
                max_concurrent_trials=cores,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()


if __name__ == "__main__":
    main(sys.argv[1])
