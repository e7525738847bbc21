"""Trials as a plain Ray Tune function trainable: one CPU a trial, each loads the images itself, all else default.

`python -m benchmarks.peers.ray_tune TASK`

Source: https://docs.ray.io/en/latest/tune/ (Tuner, grid_search, with_resources; TuneReportCheckpointCallback).
"""

import sys
import tempfile
import time
from typing import Any

import ray
from ray import tune

from benchmarks.peers.task import Outcome, batches, build, load_images, print_outcome, read_task


def train_trial(config: dict[str, Any]) -> None:
    """Train one trial, reporting and checkpointing every epoch."""
    from ray.tune.integration.keras import TuneReportCheckpointCallback

    task = read_task(config["task"])
    parameters = {**task.fixed, **{name: config[name] for name in task.grid}}
    train, validation = batches(load_images(task), parameters["batch_size"])
    model = build(parameters, task.size)
    callbacks = [TuneReportCheckpointCallback()]
    model.fit(train, validation_data=validation, epochs=task.epochs, callbacks=callbacks, verbose=0)


def main(path: str) -> None:
    """Run the task's grid."""
    task = read_task(path)
    ray.init(include_dashboard=False, log_to_driver=False)
    grid = {name: tune.grid_search(list(values)) for name, values in task.grid.items()}
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(train_trial, {"cpu": 1}),
            param_space={"task": path, **grid},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        ended = time.time()
        if results.errors:
            raise results.errors[0]
        trials = [(result.config, result.metrics["time_total_s"]) for result in results]
    chosen = [({**task.fixed, **{name: config[name] for name in task.grid}}, spent) for config, spent in trials]
    print_outcome(Outcome(ended, tuple(chosen)))
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
