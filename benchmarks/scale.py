"""How many workers one driver keeps busy, with trials whose epochs only take time, on Ray nodes of many CPUs.

`python -m benchmarks.scale`; about 25 minutes. The nodes are Ray nodes in this machine (ray.cluster_utils.Cluster),
each worker a process with our trial around a model that sleeps; every record and checkpoint of a search is written. The
driver's work is real, and so is the trials' own work at the end of an epoch, but all share this machine's cores: a
larger machine, or a cluster, keeps more workers busy.
"""

import bisect
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.growth import cluster
from benchmarks.machine import resident_mib
from benchmarks.measurement import Bound, Machine, Measurement, Options, Quantity, Target
from benchmarks.no_op import EPOCH_SECONDS, no_op_epoch

WORKERS, QUICK_WORKERS = (16, 32, 64), (2, 4)
NODE_CPUS = 16
EPOCHS, ROUNDS = 10, 3  # of a trial; trials for each worker
STATE_TRIALS = {"random": 4000, "tpe": 2000}
BUSY = Bound(0.9, at_most=False)  # of the epochs that undisturbed workers would train


@dataclass(frozen=True)
class Reading:
    """What the driver had used at a time (seconds since 1970): CPU seconds, and resident memory in MiB."""

    time: float
    cpu: float
    memory_mib: float


@dataclass(frozen=True)
class Load:
    """The work of a driver while all its workers were busy.

    Attributes:
        workers: their number.
        rate: epochs a second, of all workers together.
        cpu_ms: CPU time of the driver's process for an epoch.
        memory_mib: the driver's resident memory at the end.
    """

    workers: int
    rate: float
    cpu_ms: float
    memory_mib: float

    @property
    def busy(self) -> float:
        """The epochs trained, as a fraction of those that the workers would have trained without a driver."""
        return self.rate * EPOCH_SECONDS / self.workers


def find_load(workers: int, trials: Sequence[Sequence[float]], readings: Sequence[Reading]) -> Load:
    """The load from the first epochs of all workers until fewer trials than workers are left.

    Args:
        workers: at work at a time.
        trials: when each epoch of each trial ended, in the order of the trials' numbers.
        readings: in time order.
    """
    begin = max(epochs[0] for epochs in trials[:workers])
    end = sorted(epochs[-1] for epochs in trials)[len(trials) - workers]
    first, last = (readings[bisect.bisect(readings, at, key=lambda reading: reading.time) - 1] for at in (begin, end))
    count = sum(first.time < at <= last.time for epochs in trials for at in epochs)
    cpu = last.cpu - first.cpu
    return Load(workers, count / (last.time - first.time), 1000 * cpu / count, readings[-1].memory_mib)


def run_load(workers: int, quick: bool) -> Load:
    """The load of a driver with so many workers; call it in a process of its own, whose CPU time it reads."""
    from search.driver.screen import chatter_to

    nodes, cpus = max(1, workers // NODE_CPUS), min(workers, NODE_CPUS)
    with (
        tempfile.TemporaryDirectory() as folder,
        chatter_to(Path(folder, "log")),
        cluster(nodes, cpus) as address,
    ):
        os.environ["RAY_ADDRESS"] = address
        return _run(workers, folder, rounds=2 if quick else ROUNDS)


def _run(workers: int, folder: str, rounds: int) -> Load:
    from benchmarks.no_op_trial import SleepingTrial
    from data_pipeline.dataset import prepare_dataset
    from models.counts import ParameterCount
    from search.driver.session import open_session
    from search.driver.state import SearchState
    from search.driver.tune import run_search
    from search.plan.searcher import build_searcher
    from search.plan.space_file import read_space
    from search.plan.words import load_settings
    from search.record import RunFolder

    words = ["space=plain2", "data.size=32", f"data.cache={folder}/cache", "search.scheduler=none"]
    words += [f"search.num_trials={rounds * workers}", f"search.max_epochs={EPOCHS}", "search.searcher=random"]
    settings = load_settings([*words, "resources.cpus_per_trial=1", f"resources.max_concurrent={workers}"])
    dataset = prepare_dataset(settings.data)
    readings: list[Reading] = []
    with open_session(settings, read_space(settings), dataset) as session:
        searcher = build_searcher(session.space, settings)
        state = SearchState(RunFolder(f"{folder}/run"), searcher, settings, lambda model: ParameterCount(1, 1))
        run_search(session, state, lambda: readings.append(_read()), SleepingTrial)
        state.close()
    trials = [[epoch.time for epoch in trial.epochs] for trial in state.trials.values()]
    return find_load(workers, trials, readings)


def state_seconds(searcher: str, trials: int) -> list[float]:
    """Seconds that the search's state (ASHA, searcher and log) takes for each trial, in trial order, without Ray.

    Losses are drawn at random, so that ASHA promotes some trials and stops others.
    """
    from models.counts import ParameterCount
    from search.driver.state import SearchState
    from search.plan.searcher import build_searcher
    from search.plan.space_file import read_space
    from search.plan.words import load_settings
    from search.record import FINISHED, RunFolder

    losses = np.random.default_rng(0)
    words = [
        "space=plain2",
        f"search.num_trials={trials}",
        f"search.max_epochs={EPOCHS}",
        f"search.searcher={searcher}",
    ]
    settings, taken = load_settings(words), [0.0] * trials
    with tempfile.TemporaryDirectory() as folder:
        built = build_searcher(read_space(settings), settings)
        state = SearchState(RunFolder(folder), built, settings, lambda model: ParameterCount(1, 1))
        while not state.is_over:
            begun = time.perf_counter()
            trial = state.next_trial()
            if trial is None:
                raise RuntimeError(
                    "A trial must be ready when none is running. Received: None of next_trial(). Check the scheduler."
                )
            state.start(trial.number)
            for epoch in range(len(trial.epochs) + 1, state.target(trial.number) + 1):
                state.add_epoch(trial.number, asdict(no_op_epoch(epoch, float(losses.random()))))
            if len(trial.epochs) == EPOCHS:
                state.end(trial.number, FINISHED)
            else:
                state.wait(trial.number)
            taken[len(state.trials) - 1] += time.perf_counter() - begun
        state.close()
    return taken


def _read() -> Reading:
    return Reading(time.time(), time.process_time(), resident_mib())


def measure(options: Options, machine: Machine) -> Measurement:
    """The load with each number of workers, each in a process of its own."""
    loads: dict[int, list[Load]] = {workers: [] for workers in (QUICK_WORKERS if options.quick else WORKERS)}
    for _ in range(options.repeats):
        for workers, found in loads.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found.append(pool.submit(run_load, workers, options.quick).result())
    trials = {"random": 200, "tpe": 100} if options.quick else STATE_TRIALS
    states = {name: [state_seconds(name, count) for _ in range(options.repeats)] for name, count in trials.items()}
    return summarize(loads, states, machine)


def summarize(loads: dict[int, list[Load]], states: dict[str, list[list[float]]], machine: Machine) -> Measurement:
    """The measurement of these loads.

    Args:
        loads: by workers, one for each repeat.
        states: seconds that the search's state took for each trial, by searcher, one list for each repeat.
        machine: where they were measured.
    """
    largest = loads[max(loads)]
    cpu = Quantity("", "ms", tuple(load.cpu_ms for load in largest)).median
    return Measurement(
        question="How many workers does one driver keep busy?",
        setting=f"Trials of {EPOCHS} epochs that take {EPOCH_SECONDS:g} s each and train nothing, {ROUNDS} trials a "
        f"worker, on Ray nodes of up to {NODE_CPUS} CPUs inside this machine; read while every worker is at work.",
        targets=tuple(
            Target(
                Quantity(f"{workers} workers: share of their time in epochs", "", tuple(load.busy for load in found)),
                BUSY,
            )
            for workers, found in loads.items()
        ),
        others=tuple(
            Quantity(f"{workers} workers: {name}", unit, tuple(getattr(load, field) for load in found))
            for workers, found in loads.items()
            for field, name, unit in (
                ("rate", "epochs a second", ""),
                ("cpu_ms", "driver's CPU for an epoch", "ms"),
                ("memory_mib", "driver's memory", "MiB"),
            )
        )
        + tuple(
            Quantity(f"state with {name}: a trial near the {end:,}th", "ms", _near(end, found))
            for name, found in states.items()
            for end in (len(found[0]) // 4, len(found[0]))
        ),
        limited_by=f"the {machine.cores} cores that driver, Ray and all workers share.",
        physical_limit=f"one thread of the driver at {cpu:.1f} ms an epoch: {1000 / cpu:.0f} epochs a second.",
    )


def _near(end: int, states: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Milliseconds a trial over the fifty before this one, for each repeat."""
    return tuple(1000 * float(np.mean(taken[end - 50 : end])) for taken in states)


if __name__ == "__main__":
    harness.main(measure, __doc__)
