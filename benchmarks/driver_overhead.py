"""The cost of the driver itself: 1,000 trivial trials of three steps, ours beside Ray Tune's own.

`python -m benchmarks.driver_overhead`; about 12 minutes with three repeats. All ways draw their trials at random and
run equally many at a time; each has a driver process and a Ray session of its own, one after the other:

- ours: `search.driver.tune.run_search` with every record that a search writes: the event log, a checkpoint an epoch and
  the best weights. Its trial is `ImageTrial` with a model of one number, which does not import TensorFlow.
- plain Tune: a function trainable, a process for each trial; it is slow, so a few trials are measured and scaled.
- Tune with reuse_actors: a class trainable whose processes continue from trial to trial, with Tune's default loggers.
- the same without loggers: only Tune's own snapshot is recorded.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.machine import resident_mib, timed
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity, Target
from benchmarks.no_op import EPOCHS, no_op_epoch
from search.record import FINISHED, TrialRecord

TRIALS = 1000
QUICK_TRIALS = 300
BLOCK = 100  # trials between readings
TUNE_TRIALS = 30  # of plain Tune, which takes a process for each
FLAT = 1.1  # the last hundred beside the second hundred; the first holds the start of the processes
OURS, PLAIN, REUSE, BARE = "ours", "plain Tune", "Tune, reuse_actors", "Tune, reuse_actors, no loggers"


@dataclass(frozen=True)
class Course:
    """One way's course in one driver process.

    Attributes:
        trials: how many were run.
        seconds: from the call to its return.
        ended: the end of every hundredth trial, in seconds since the call.
        memory_mib: the driver's resident memory at these times.
    """

    trials: int
    seconds: float
    ended: tuple[float, ...]
    memory_mib: tuple[float, ...]

    @property
    def seconds_a_trial(self) -> float:
        """On average over all trials, the start of the processes included."""
        return self.seconds / self.trials

    @property
    def blocks(self) -> tuple[float, ...]:
        """Seconds a trial in each hundred trials; the first holds the start of the processes."""
        return tuple((end - start) / BLOCK for start, end in zip((0.0, *self.ended), self.ended, strict=False))


class Meter:
    """Reads the clock and the memory of this process as trials end."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._ended: list[float] = []
        self._memory: list[float] = []
        self._count = 0

    def count(self, ended: int) -> None:
        """Record that so many trials have ended in all."""
        if ended // BLOCK > self._count // BLOCK:
            self._ended.append(time.perf_counter() - self._started)
            self._memory.append(resident_mib())
        self._count = ended

    def count_one(self) -> None:
        """Record that one more trial has ended."""
        self.count(self._count + 1)

    def course(self) -> Course:
        """The readings, after the run has returned."""
        seconds = time.perf_counter() - self._started
        return Course(self._count, seconds, tuple(self._ended), tuple(self._memory))


def run_ours(trials: int, folder: str) -> Course:
    """Trials through our driver."""
    from benchmarks.no_op_trial import NoOpTrial
    from data_pipeline.dataset import prepare_dataset
    from models.counts import ParameterCount
    from search.driver.session import open_session
    from search.driver.state import SearchState
    from search.driver.tune import run_search
    from search.plan.searcher import build_searcher
    from search.plan.space_file import read_space
    from search.plan.words import load_settings
    from search.record import RunFolder

    settings = load_settings(
        [
            "space=plain2",
            "data.size=32",
            f"data.cache={folder}/cache",
            f"search.num_trials={trials}",
            f"search.max_epochs={EPOCHS}",
            "search.searcher=random",
            "search.scheduler=none",
        ]
    )
    dataset = prepare_dataset(settings.data)
    with open_session(settings, read_space(settings), dataset) as session:
        searcher = build_searcher(session.space, settings)
        state = SearchState(RunFolder(f"{folder}/run"), searcher, settings, lambda model: ParameterCount(1, 1))
        meter = Meter()
        run_search(session, state, lambda: meter.count(len(state.ended)), NoOpTrial)
        course = meter.course()
        state.close()
    return course


def run_tune(trials: int, folder: str, reuse_actors: bool, loggers: bool) -> Course:
    """Trials through Ray Tune, following its documentation."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not loggers:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import ray
    from ray import tune

    from benchmarks.no_op_trial import TuneTrial, report_three_steps

    class Counter(tune.Callback):  # type: ignore[misc]  # Ray ships no types
        """Counts the trials that have ended."""

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            meter.count_one()

    ray.init(include_dashboard=False)
    meter = Meter()
    results = tune.Tuner(
        tune.with_resources(TuneTrial if reuse_actors else report_three_steps, {"cpu": 1}),
        param_space={"learning_rate": tune.loguniform(1e-5, 1e-2), "layers": tune.randint(1, 4)},
        tune_config=tune.TuneConfig(
            num_samples=trials,
            max_concurrent_trials=int(ray.cluster_resources()["CPU"]),
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(
            storage_path=f"{folder}/run",
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[Counter()],
            verbose=0,
        ),
    ).fit()
    course = meter.course()
    ray.shutdown()
    if results.num_errors:
        raise RuntimeError(
            f"Every trial must succeed to be measured. Received: {results.num_errors} errors in {trials} trials. "
            "Read Tune's log for the reason."
        )
    return course


WAYS: dict[str, Callable[[int, str], Course]] = {
    OURS: run_ours,
    PLAIN: lambda trials, folder: run_tune(min(trials, TUNE_TRIALS), folder, reuse_actors=False, loggers=True),
    REUSE: lambda trials, folder: run_tune(trials, folder, reuse_actors=True, loggers=True),
    BARE: lambda trials, folder: run_tune(trials, folder, reuse_actors=True, loggers=False),
}


def run_way(way: str, trials: int) -> Course:
    """One way's course, with Ray's output in a file; call it in a process of its own, whose memory it measures."""
    from search.driver.screen import chatter_to

    with tempfile.TemporaryDirectory() as folder, chatter_to(Path(folder, "log")):
        return WAYS[way](trials, folder)


def suggestion_seconds(searcher: str, trials: int) -> list[float]:
    """How long each suggestion of a searcher takes when all trials before it have ended, without any driver."""
    from search.plan.searcher import build_searcher
    from search.plan.space_file import read_space
    from search.plan.words import load_settings

    settings = load_settings(["space=plain2", f"search.num_trials={trials}", f"search.searcher={searcher}"])
    searching = build_searcher(read_space(settings), settings)
    taken = []
    for number in range(trials):
        started = time.perf_counter()
        plan = searching.suggest(number)
        taken.append(time.perf_counter() - started)
        loss = plan.parameters["dropout"] + plan.parameters["learning_rate"]  # any function of the parameters
        searching.tell(TrialRecord(number, plan.parameters, 0, 1, status=FINISHED, epochs=[no_op_epoch(1, loss)]))
    return taken


def call_seconds() -> float:
    """How long a call to an idle process takes, there and back: the median of many."""
    import ray

    class Idle:
        def answer(self) -> None:
            """Nothing."""

    ray.init(include_dashboard=False, log_to_driver=False)
    idle = ray.remote(Idle).remote()
    ray.get(idle.answer.remote())
    taken = statistics.median(timed(lambda: ray.get(idle.answer.remote())) for _ in range(1000))
    ray.shutdown()
    return taken


def measure(options: Options, machine: Machine) -> Measurement:
    """Seconds a trial and the driver's memory, each way in a process of its own, in turn."""
    trials = QUICK_TRIALS if options.quick else TRIALS
    courses: dict[str, list[Course]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):
        for way, found in courses.items():
            # A new process for each: memory that one way leaves must not be another's.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found.append(pool.submit(run_way, way, trials).result())
    suggestions = {searcher: suggestion_seconds(searcher, trials) for searcher in ("random", "tpe")}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return summarize(courses, suggestions, pool.submit(call_seconds).result())


def summarize(
    courses: dict[str, list[Course]], suggestions: dict[str, list[float]], call_seconds: float
) -> Measurement:
    """The measurement that these courses make.

    Args:
        courses: by way, one for each repeat.
        suggestions: seconds of each suggestion, by searcher.
        call_seconds: that a call to an idle process takes, there and back.
    """
    seconds = {way: Quantity(way, "s a trial", _each(found, _mean_seconds)) for way, found in courses.items()}
    count = courses[OURS][0].trials
    last = f"{count - BLOCK + 1:,} to {count:,}"
    pace = Quantity(f"seconds of trials {last} beside 101 to 200", "", _each(courses[OURS], _pace_growth))
    memory = Quantity("driver's memory after the last trial beside the 100th", "", _each(courses[OURS], _memory_growth))
    others = [
        Quantity(f"{way}, memory a trial from the 100th on", "KiB", _each(found, _memory_a_trial))
        for way, found in courses.items()
        if way != PLAIN
    ]
    for searcher, taken in suggestions.items():
        for end in (100, len(taken)):
            values = tuple(1000 * value for value in taken[end - 20 : end])
            others.append(Quantity(f"a suggestion of {searcher} near trial {end:,}", "ms", values))
    return Measurement(
        question="What does the driver itself cost, and does its cost grow with the trials?",
        setting=f"{count:,} trivial trials of {EPOCHS} steps, drawn at random, no early stopping; from "
        "the call to its return, the start of the processes included. Plain Tune ran "
        f"{courses[PLAIN][0].trials} trials, a process each, and its seconds a trial are taken for all.",
        comparisons=(
            Comparison(seconds[OURS], seconds[PLAIN], Bound(0.05)),
            Comparison(seconds[OURS], seconds[REUSE], Bound(1.0)),
            Comparison(seconds[OURS], seconds[BARE], Bound(1.0)),
        ),
        targets=(Target(pace, Bound(FLAT)), Target(memory, Bound(FLAT))),
        others=tuple(others),
        notes=tuple(_course_in_words(way, found) for way, found in courses.items() if way != PLAIN),
        limited_by="the driver's one thread: mostly Tune's own work at each of a trial's events, then ours (a "
        "suggestion, six lines of the log, the searcher's study).",
        physical_limit=f"{EPOCHS + 1} calls to a process and back for each trial (take up, {EPOCHS} steps), "
        f"{1000 * (EPOCHS + 1) * call_seconds:.1f} ms.",
    )


def _each(courses: Sequence[Course], figure: Callable[[Course], float]) -> tuple[float, ...]:
    return tuple(figure(course) for course in courses)


def _mean_seconds(course: Course) -> float:
    return course.seconds_a_trial


def _pace_growth(course: Course) -> float:
    return course.blocks[-1] / course.blocks[1]


def _memory_growth(course: Course) -> float:
    return course.memory_mib[-1] / course.memory_mib[0]


def _memory_a_trial(course: Course) -> float:
    return 1024 * (course.memory_mib[-1] - course.memory_mib[0]) / (BLOCK * (len(course.memory_mib) - 1))


def _course_in_words(way: str, courses: Sequence[Course]) -> str:
    seconds = [statistics.median(values) for values in zip(*(course.blocks for course in courses), strict=True)]
    memory = [statistics.median(values) for values in zip(*(course.memory_mib for course in courses), strict=True)]
    return (
        f"{way}, by hundreds of trials (medians): {', '.join(f'{1000 * value:.0f}' for value in seconds)} ms a trial; "
        f"{', '.join(f'{value:.0f}' for value in memory)} MiB in the driver."
    )


if __name__ == "__main__":
    harness.main(measure, __doc__)
