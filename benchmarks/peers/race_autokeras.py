"""A search by AutoKeras over its own small CNNs: `python -m benchmarks.peers.race_autokeras TASK`.

AutoKeras brings a space of its own. Most of its blocks (ResNet, Xception, EfficientNet) are far larger networks, which
may download pretrained weights; so the space is narrowed to `vanilla`, as its tutorial shows.

Source: https://autokeras.com/tutorial/image_classification/ (Customized Search Space).
"""

import sys
import tempfile
from typing import Any

import autokeras
import keras_tuner

from benchmarks.peers.race_keras import OBJECTIVE, Recorder, auc
from benchmarks.peers.race_task import read_race_task
from benchmarks.peers.task import load_images

WITHOUT_END = 10_000  # trials


class Head(autokeras.ClassificationHead):  # type: ignore[misc]  # AutoKeras ships no types
    """AutoKeras' own head; its 3.0.0 gives `Dense` a NumPy number of units, which Keras refuses since 3.13."""

    def build(self, hp: Any, inputs: Any = None) -> Any:
        """The head's layers."""
        self.shape: list[int] = [int(length) for length in self.shape]
        return super().build(hp, inputs)


def main(path: str) -> None:
    """Search until the process is stopped."""
    task = read_race_task(path)
    images = load_images(task)
    start = autokeras.ImageInput()
    end: Any = Head(metrics=["accuracy", auc()])
    objective = keras_tuner.Objective(OBJECTIVE, "max")
    with tempfile.TemporaryDirectory() as folder:
        search = autokeras.AutoModel(
            inputs=start,
            outputs=end(autokeras.ImageBlock(block_type="vanilla")(start)),
            objective=objective,
            max_trials=WITHOUT_END,
            seed=task.seed,
            directory=folder,
        )
        search.fit(
            images.train / 255.0,  # as images are shown to every model of the race
            images.train_labels,
            validation_data=(images.validation / 255.0, images.validation_labels),
            callbacks=[Recorder(task.folder)],
            verbose=0,
        )


if __name__ == "__main__":
    main(sys.argv[1])
