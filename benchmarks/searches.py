"""Runs searches by command, as a user does, and times them until their last trial ended."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.plan.earlier import is_complete
from search.record import RunFolder, TrialRecord


@dataclass(frozen=True)
class Search:
    """A search that was run.

    Attributes:
        trials: as its log records them.
        seconds: from the start of the command to the end of its last trial: imports, data, Ray and weights included,
            evaluation and page not.
        said: what the command printed.
    """

    trials: tuple[TrialRecord, ...]
    seconds: float
    said: str = ""

    @property
    def training_seconds(self) -> float:
        """From the start of the first epoch to the end of the last trial: the part that grows with the work."""
        begin = min(trial.epochs[0].time - trial.epochs[0].seconds for trial in self.trials)
        return max(trial.ended for trial in self.trials) - begin


def run_search(
    words: Sequence[str],
    storage: Path,
    name: str,
    environment: Mapping[str, str] | None = None,
    module: str = "search.run",
    limit: float | None = None,
) -> Search:
    """Run `python -m search.run` with these settings, without evaluation.

    Args:
        words: settings, `key=value`.
        storage: the folder that the run's own folder is made in.
        name: of the run.
        environment: variables besides those of this process.
        module: a command that takes the same settings.
        limit: seconds after which it is stopped; None for never.

    Raises:
        RuntimeError: the search failed, or had not ended by then.
    """
    command = [*words, f"run.storage={storage}", f"run.name={name}", "evaluate.enabled=false"]
    started = time.time()
    said = run_command(["-m", module, *command], environment, limit)
    trials = tuple(RunFolder(f"{storage}/{name}").read_trials().values())
    return Search(trials, max(trial.ended for trial in trials) - started, said)


def kept_search(words: Sequence[str], store: Path, name: str) -> RunFolder:
    """The folder of a search in a store that outlasts benchmarks: run now, resumed, or there already.

    A search that is there may be given more trials (`search.num_trials`); its other settings must be the same.

    Raises:
        RuntimeError: the search failed.
    """
    folder = RunFolder(str(store / name))
    if not folder.exists("run.json"):
        print(f"{name}: {' '.join(words)}", flush=True)
        run_search(words, store, name)
    elif not is_complete(folder, words):
        run_search([f"resume={folder.url}", *words], store, name)
    return folder


def run_command(
    words: Sequence[str], environment: Mapping[str, str | None] | None = None, limit: float | None = None
) -> str:
    """The output of Python for these arguments, in a process of its own.

    Args:
        words: the arguments.
        environment: variables besides those of this process; None removes one.
        limit: seconds after which it is stopped; None for never.

    Raises:
        RuntimeError: it failed, or had not ended by then.
    """
    command, child = [sys.executable, *words], environment_of(environment)
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=child, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"python {' '.join(words)} had not ended after {limit:g} s and was stopped.") from error
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise RuntimeError(f"python {' '.join(words)} ended with {done.returncode}:\n{last}")
    return done.stdout


def environment_of(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The variables of a child process: those of this one, changed; None removes one."""
    given = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(changes or {})}
    return {name: value for name, value in given.items() if value is not None}


def data_words(root: str | None, cache: Path) -> list[str]:
    """The settings of the data: a folder or the sample, prepared into `cache`."""
    return ([f"data.root={root}"] if root else []) + [f"data.cache={cache}"]


def fixed_words(parameters: Mapping[str, object]) -> list[str]:
    """Settings that hold a space's parameters at these values."""
    return [f"space.parameters.{name}={{value: {_plain(value)}}}" for name, value in parameters.items()]


def listed_words(choices: Mapping[str, Sequence[object]]) -> list[str]:
    """Settings that let a space's parameters take these values."""
    return [f"space.parameters.{name}={{choice: {_plain(values)}}}" for name, values in choices.items()]


def _plain(value: object) -> str:
    """A value in Hydra's grammar: `[1,2]`, `none`, `0.001`."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_plain, value))}]"
    return str(value)
