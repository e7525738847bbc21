"""The search itself: Ray Tune runs the trials, our log remembers them.

Tune schedules, restarts and reuses processes. What was tried and what came of it is kept by
`SearchState` in our own log, from which a search resumes; Tune's own snapshots are not used. This
module imports Ray at the top; `search.run` imports it only when a search begins.
"""

import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher

from data_pipeline.share import put_training_data, training_data
from search import record
from search.asha import ResumableAsha
from search.session import Session
from search.settings import Settings
from search.state import SearchState
from search.trial import ImageTrial, TrialContext


class SearchInterruptedError(Exception):
    """The search was asked to stop before its end; everything that was done is kept."""


class StorageError(OSError):
    """The run's folder cannot be written; everything before is kept."""


def run_search(
    session: Session,
    state: SearchState,
    on_change: Callable[[], None] = lambda: None,
    trainable: type[ImageTrial] = ImageTrial,
) -> None:
    """Run all trials that are still to be run; returns when every trial has ended.

    Args:
        session: what the trials share.
        state: new, or restored from the log.
        on_change: called several times a second, for a progress display.
        trainable: what a trial process runs.

    Raises:
        SearchInterruptedError: Ctrl-C or SIGTERM; in a resumed run trials go on from their last epoch.
        OSError: the run's folder can no longer be written; the run resumes when that is mended.
    """
    settings, resources = session.settings, session.resources
    scheduler = _build_scheduler(settings, state)
    if state.num_waiting == 0:
        return
    context = TrialContext(
        run_url=state.folder.absolute_url,
        metric=settings.search.metric,
        train=settings.train,
        data=put_training_data(training_data(session.dataset)),
        backbones=session.backbones,
        threads=resources.threads,
    )
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(trainable, context=context),
            {"cpu": resources.cpu, "gpu": resources.gpu},
        ),
        tune_config=tune.TuneConfig(
            search_alg=TrialQueue(state),
            scheduler=scheduler,
            num_samples=state.num_waiting,
            # Without it Tune keeps a single pending trial with a searcher of one's own.
            max_concurrent_trials=resources.at_a_time,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=state.folder.absolute_url,
            # Trials write checkpoints of their own (search.checkpoint), which no pickle of Tune's replaces.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=settings.search.max_failures),
            callbacks=[Recorder(state, on_change)],
            verbose=0,
        ),
    )
    # A batch system or a spot host that asks a process to end sends SIGTERM: the same as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        tuner.fit()
    except Exception:
        if state.storage_error is not None:
            raise state.storage_error from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        state.flush()
        if state.folder.is_local:
            shutil.rmtree(state.folder.child("tune"), ignore_errors=True)
    if state.num_waiting or not all(trial.is_final for trial in state.trials.values()):
        raise SearchInterruptedError


class _NotPickled:
    """Tune pickles searchers and callbacks for a restore of its own, which we never ask for."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialQueue(_NotPickled, TuneSearcher):  # type: ignore[misc]  # Ray ships no types
    """What Tune asks for the next trial; the search's state answers."""

    def __init__(self, state: SearchState) -> None:
        super().__init__(metric="score", mode="min")
        self._state = state

    def suggest(self, trial_id: str) -> Any:
        """The next trial as a Tune configuration, or `FINISHED`."""
        trial = self._state.next_trial()
        if trial is None:
            return TuneSearcher.FINISHED
        known = asdict(trial) | {"epochs": []}  # the process reads its history from its checkpoint
        return {"trial": known}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing here: the recorder tells the state."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing here: the log is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing here: the log is the state."""


class Recorder(_NotPickled, tune.Callback):  # type: ignore[misc]  # Ray ships no types
    """Writes what Tune sees into the search's state."""

    def __init__(self, state: SearchState, on_change: Callable[[], None]) -> None:
        self._state = state
        self._on_change = on_change

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A process took up the trial."""
        self._state.start(_number(trial))

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """A round of Tune's loop is over: several a second, whether anything happened or not."""
        self._on_change()

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """The trial reported an epoch, or that it cannot be trained (then without one).

        Raises:
            StorageError: the trial could not write its checkpoint; the search ends, to be resumed.
        """
        if "storage_error" in result:
            message = f"Trial {_trial_name(trial)} could not be saved: {result['storage_error']}"
            self._state.storage_error = StorageError(message)
            raise self._state.storage_error
        if "metrics" in result:
            self._state.add_epoch(_number(trial), result["metrics"], result["host"], result["process"])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial ended: by itself, which its last result says, or stopped by the scheduler."""
        result = trial.last_result or {}
        self._state.end(_number(trial), result.get("status", record.STOPPED), result.get("reason", ""))

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial's process was lost; Tune will start it again."""
        self._state.retry(_number(trial), _failure(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial's process was lost once too often."""
        self._state.end(_number(trial), record.FAILED, _failure(trial))


def _build_scheduler(settings: Settings, state: SearchState) -> TrialScheduler:
    if settings.search.scheduler == "none":
        return FIFOScheduler()
    scheduler = ResumableAsha(settings.search)
    state.end_unfinished(scheduler.replay(state.folder.read_events(), state.trials))
    return scheduler


def _number(trial: Any) -> int:
    number: int = trial.config["trial"]["number"]
    return number


def _trial_name(trial: Any) -> str:
    return record.trial_name(_number(trial))


def _failure(trial: Any) -> str:
    """The last line of the trial's error: what happened, without where."""
    lines = [line.strip() for line in str(trial.get_error() or "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "its process was lost"
