"""A search whose trials time their own parts: `python -m benchmarks.timed_trial SETTINGS`, as `search.run`.

Each trial leaves `parts.json` beside its checkpoints. Nothing else differs from a search.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from search.trial.trainable import ImageTrial
from search.trial.training import TrialModel

PARTS_FILE = "parts.json"


@dataclass
class Parts:
    """The seconds of one trial by what they were spent on.

    Attributes:
        build: the model, before the first epoch.
        train: the training images, tracing of the graphs included.
        validation: scoring the validation images.
        checkpoint: writing weights and optimizer to disk.
        report: from the end of a step to the start of the next: Tune, the log, the scheduler.
    """

    build: float = 0.0
    train: float = 0.0
    validation: float = 0.0
    checkpoint: float = 0.0
    report: float = 0.0


class TimedTrial(ImageTrial):
    """A trial that times its own parts."""

    _parts: Parts
    _left: float  # when the last step ended; 0 before the first

    def step(self) -> dict[str, Any]:
        """One epoch, its parts timed and written."""
        if self._left:
            self._parts.report += time.perf_counter() - self._left
        result = super().step()
        self._folder.write(json.dumps(asdict(self._parts)).encode(), "trials", self._trial.name, PARTS_FILE)
        self._left = time.perf_counter()
        return result

    def _begin(self, config: dict[str, Any]) -> None:
        super()._begin(config)
        self._parts = Parts()
        self._left = 0.0

    def _build_or_restore(self) -> TrialModel:
        started = time.perf_counter()
        model = super()._build_or_restore()
        self._parts.build += time.perf_counter() - started
        return model

    def _run_epoch(self, model: TrialModel) -> None:
        parts, score = self._parts, model.score_validation
        before = parts.validation

        def score_timed() -> Any:
            started = time.perf_counter()
            scores = score()
            parts.validation += time.perf_counter() - started
            return scores

        model.score_validation = score_timed  # type: ignore[method-assign]
        started = time.perf_counter()
        super()._run_epoch(model)
        del model.score_validation  # the class's own again
        epoch = model.history[-1].seconds
        parts.train += epoch - (parts.validation - before)
        parts.checkpoint += time.perf_counter() - started - epoch


def main() -> int:
    """Run a search of timed trials; returns its exit code."""
    import search.run
    from search.driver import tune

    tune.run_search = partial(tune.run_search, trainable=TimedTrial)
    return search.run.main(sys.argv[1:])


if __name__ == "__main__":
    # Imported under its own name: no trial process could import a class of __main__.
    from benchmarks.timed_trial import main as run

    sys.exit(run())
