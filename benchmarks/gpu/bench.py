"""The searches that the checks share: the product's own command on the bundled sample, each run once."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.gpu.card import Card
from benchmarks.gpu.pretended import ENVIRONMENT
from benchmarks.gpu.probe import Sight
from benchmarks.searches import Search, environment_of, fixed_words, listed_words, run_command, run_search
from search.record import RunFolder, TrialRecord

LEARNING_RATES = (1e-3, 8e-4, 6e-4, 4e-4)
_LOOK_SECONDS = 0.05
_LIMIT = 300.0  # seconds of a command: one that hangs, as a driver of a GPU may, is a finding, and others follow


@dataclass(frozen=True)
class Sizes:
    """How much the checks train.

    Attributes:
        side: of an image, in pixels.
        backbone_side: of an image that passes through a backbone.
        filters: of a CNN's convolutions.
        epochs: of a trial.
    """

    side: int
    backbone_side: int
    filters: int
    epochs: int


FULL = Sizes(side=224, backbone_side=224, filters=16, epochs=16)
SMALL = Sizes(side=48, backbone_side=32, filters=4, epochs=6)  # without a GPU: the logic alone


class Bench:
    """Runs searches into a folder.

    Args:
        folder: of their runs and of prepared images.
        card: the GPU; None to pretend one.
        seconds: after which every command has ended: what still runs then is killed.
    """

    def __init__(self, folder: Path, card: Card | None, seconds: float = math.inf) -> None:
        self.card = card
        self._end = time.monotonic() + seconds
        self.sizes = SMALL if card is None else FULL
        self._folder = folder
        self._module = "benchmarks.gpu.pretended" if card is None else "search.run"
        self._environment = ENVIRONMENT if card is None else {}
        self._searches: dict[str, Search] = {}

    @cached_property
    def sight(self) -> Sight:
        """What a trial process sees of the GPU."""
        found = json.loads(run_command(["-m", "benchmarks.gpu.probe"], limit=self._left).splitlines()[-1])
        return Sight(**{**found, "gpus": tuple(found["gpus"])})

    def search(self, name: str, words: Sequence[str]) -> Search:
        """The search of a name; it is run at the first call.

        Raises:
            RuntimeError: it failed.
        """
        if name not in self._searches:
            given = [*words, *self._fixed_words()]
            self._searches[name] = self._run(given, name)
        return self._searches[name]

    def cnn(self, name: str, trials: int = 1, words: Sequence[str] = ()) -> Search:
        """A search of so many equal CNNs that differ in their learning rate, at most as many at a time."""
        return self.search(name, self.cnn_words(trials, words))

    def cnn_words(self, trials: int, words: Sequence[str] = ()) -> list[str]:
        """The settings of such a search."""
        fixed = {
            "backbone": "cnn",
            "batch_size": 32,
            "augment": "none",
            "class_weights": "none",
            "layers": 3,
            "filters": self.sizes.filters,
            "kernel": 3,
            "batch_norm": "none",
            "dense": [16],
            "dropout": 0.2,
        }
        rates = listed_words({"learning_rate": LEARNING_RATES[:trials]})
        lengths = [f"search.max_epochs={self.sizes.epochs}", f"data.size={self.sizes.side}"]
        grid = ["search.searcher=grid", "search.scheduler=none", f"resources.max_concurrent={trials}"]
        return ["space=plain2", *fixed_words(fixed), *rates, *lengths, *grid, *words]

    def killed(self, name: str, words: Sequence[str], epochs: int) -> Search:
        """A search whose driver is killed (-9) once so many epochs are recorded, and that is then resumed.

        Raises:
            RuntimeError: it ended before or recorded too little in time, or the resumed one failed.
        """
        folder, log = self.folder(name), self._folder / f"{name}.log"
        place = [f"run.storage={self._folder}", f"run.name={name}", "evaluate.enabled=false"]
        command = [sys.executable, "-m", self._module, *words, *self._fixed_words(), *place]
        deadline = time.monotonic() + (limit := self._left)
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment_of(self._environment))
            try:
                while process.poll() is None and _recorded(folder) < epochs and time.monotonic() < deadline:
                    time.sleep(_LOOK_SECONDS)
                ended = process.poll()
            finally:
                process.kill()
                process.wait()
        if ended is not None:
            raise RuntimeError(f"A search was to be killed, and ended before with {ended}:\n{log.read_text()[-1000:]}")
        if (recorded := _recorded(folder)) < epochs:
            raise RuntimeError(f"A search was to record {epochs} epochs in {limit:.0f} s and recorded {recorded}.")
        return self._run([f"resume={folder.url}", *self._fixed_words()], name)

    def _run(self, words: Sequence[str], name: str) -> Search:
        return run_search(words, self._folder, name, self._environment, self._module, self._left)

    @property
    def time_is_over(self) -> bool:
        """Whether no command may run any more."""
        return time.monotonic() >= self._end

    @property
    def _left(self) -> float:
        """Seconds that a command may take now."""
        return max(0.0, min(_LIMIT, self._end - time.monotonic()))

    def folder(self, name: str) -> RunFolder:
        """The records of a search."""
        return RunFolder(str(self._folder / name))

    def training_images(self, name: str) -> int:
        """How many images a search trains on."""
        return int(sum(self.folder(name).read_run().data["counts"]["train"]))

    def config(self, name: str) -> Mapping[str, Any]:
        """A search's settings, with what was chosen for the machine."""
        return self.folder(name).read_run().config

    def _fixed_words(self) -> list[str]:
        return ["cluster=local", f"data.cache={self._folder / 'cache'}"]


def images_per_second(trial: TrialRecord, images: int) -> float:
    """Training images a second, without the first epoch, which traces the graphs; scoring validation is in the time.

    Raises:
        RuntimeError: the trial has no second epoch.
    """
    later = trial.epochs[1:]
    if not later:
        raise RuntimeError(f"A speed needs a trial of two epochs. Received: {ending(trial)}")
    return images * len(later) / sum(epoch.seconds for epoch in later)


def ending(trial: TrialRecord) -> str:
    """How a trial ended, in words."""
    reason = f": {trial.reason.rstrip('.')}" if trial.reason else ""
    return f"trial {trial.number}, {trial.status} after {len(trial.epochs)} epochs{reason}."


def most_side_by_side(trials: Sequence[TrialRecord]) -> int:
    """How many trials were between the begin of their first and the end of their last epoch at the same time."""
    begins = [trial.epochs[0].time - trial.epochs[0].seconds for trial in trials]
    ends = [trial.epochs[-1].time for trial in trials]
    return max(sum(begin <= moment < end for begin, end in zip(begins, ends, strict=True)) for moment in begins)


def _recorded(folder: RunFolder) -> int:
    trials = folder.read_trials().values() if folder.exists("log") else ()
    return sum(len(trial.epochs) for trial in trials)
