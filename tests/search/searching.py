"""Searches as a user starts them, each in a process of its own: small ones, on the shipped sample at 32 x 32 pixels."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from search.record import RunFolder, TrialRecord
from tests.waiting import LIMIT, wait_until

ROOT = Path(__file__).parents[2]
SMALL = ["data.size=32", "search.seed=5", "resources.max_concurrent=1"]
TINY = ["space=plain2", "search.num_trials=5", "search.max_epochs=4", "search.asha.reduction_factor=2", "run.name=one"]


def command(arguments: Sequence[str], module: str = "search.run") -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def run(arguments: Sequence[str], module: str = "search.run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(arguments, module), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)


def small(storage: Path, cache: Path, *arguments: str) -> list[str]:
    """The words of a small search."""
    return [*SMALL, f"data.cache={cache}", f"run.storage={storage}", *arguments]


def search(storage: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(small(storage, cache, *arguments))


def start(arguments: Sequence[str]) -> "subprocess.Popen[str]":
    """A search that goes on beside the test, which reads what it prints."""
    return subprocess.Popen(
        command(arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def count_epochs(folder: RunFolder) -> int:
    return sum(event["event"] == "epoch" for event in folder.read_events())


def wait_for_epochs(folder: RunFolder, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until the search has recorded so many epochs."""
    wait_until(lambda: count_epochs(folder) >= count, f"epoch {count} of the search", process)


def numbers(trials: dict[int, TrialRecord]) -> list[tuple]:
    """What an interrupted search must reproduce: everything but times, memory and processes."""
    return [
        (
            trial.number,
            trial.parameters,
            trial.seed,
            trial.status,
            [(e.epoch, e.learning_rate, e.train_loss, e.val_loss, e.val_auc) for e in trial.epochs],
        )
        for trial in trials.values()
    ]
