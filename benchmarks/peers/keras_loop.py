"""Trials in a plain loop over Keras: one process, its default threads, the images loaded once.

`python -m benchmarks.peers.keras_loop TASK`
"""

import sys
import time

import keras

from benchmarks.peers.task import Outcome, batches, build, load_images, print_outcome, read_task


def main(path: str) -> None:
    """Train all trials of the task one after the other."""
    task = read_task(path)
    images = load_images(task)
    trials = []
    for parameters in task.trials:
        started = time.time()
        keras.backend.clear_session()
        train, validation = batches(images, parameters["batch_size"])
        model = build(parameters, task.size)
        model.fit(train, validation_data=validation, epochs=task.epochs, verbose=0)
        trials.append((parameters, time.time() - started))
    print_outcome(Outcome(time.time(), tuple(trials)))


if __name__ == "__main__":
    main(sys.argv[1])
