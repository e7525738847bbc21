"""The search itself: Ray Tune runs the trials, our log remembers them.

Tune is handed a stretch of a trial at a time, up to the next rung of ASHA (search.asha) or the trial's end; it
schedules, restarts and reuses processes. What was tried and what came of it is kept by
`SearchState` in our own log, from which a search resumes; Tune's own snapshots are not used. This
module imports Ray at the top; `search.run` imports it only when a search begins.
"""

import contextlib
import dataclasses
import shutil
import signal
from collections.abc import Callable
from typing import Any

import ray
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray import tune
from ray.tune.search import Searcher as TuneSearcher

from data_pipeline.share import put_training_data, training_data
from search import record
from search.driver.session import Session
from search.driver.state import SearchState
from search.record import TrialRecord
from search.trial.trainable import ImageTrial, TrialContext

# All that is still read of a result, by Tune and `Recorder`, when the log has it.
_KEPT_RESULTS = frozenset({"trial_id", "done", "status", "reason"})


class SearchInterruptedError(Exception):
    """The search was asked to stop before its end; everything that was done is kept."""


class StorageError(OSError):
    """The run's folder cannot be written; everything before is kept."""


class _SearchOverError(Exception):
    """Every trial has ended; raised to leave Tune before it sums up what our log has already."""


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
    if state.is_over:
        return
    context = TrialContext(
        run_url=state.folder.absolute_url,
        patience=settings.run.patience,
        metric=settings.search.metric,
        train=settings.train,
        data=put_training_data(training_data(session.dataset, settings.search.judges_by_shifted, session.repeats)),
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
            num_samples=-1,  # until the queue says that it is over
            # Without it Tune keeps a single pending trial with a searcher of one's own.
            max_concurrent_trials=resources.at_a_time,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=state.folder.absolute_url if state.folder.is_local else state.folder.path,
            # An object store is reached as we reach it: PyArrow's own client knows nothing of ~/.aws/config.
            storage_filesystem=None if state.folder.is_local else PyFileSystem(FSSpecHandler(state.folder.fs)),
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
    except _SearchOverError:
        pass
    except Exception:
        if state.storage_error is not None:
            raise state.storage_error from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with contextlib.suppress(OSError, ray.exceptions.RayError):  # neither may hide a first error
            state.add_feature_costs(session.backbones.costs())
        state.flush()
        if state.folder.is_local:
            shutil.rmtree(state.folder.child("tune"), ignore_errors=True)
    if not state.is_over:
        raise SearchInterruptedError


class _NotPickled:
    """Tune pickles searchers and callbacks for a restore of its own, which we never ask for."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


def tune_config(trial: TrialRecord, target: int) -> dict[str, Any]:
    """A trial as Tune hands it to a process, to be trained up to an epoch: one line of JSON, as in the log.

    Tune copies, flattens and names the entries of a configuration one by one, several times a trial.
    """
    plain = dataclasses.replace(trial, epochs=[])  # the process reads its history from its checkpoint
    return {
        "number": trial.number,
        "trial": record.to_json(plain),
        "trained": len(trial.epochs),
        "target": target,
    }


class TrialQueue(_NotPickled, TuneSearcher):  # type: ignore[misc]  # Ray ships no types
    """What Tune asks for the next trial; the search's state answers."""

    def __init__(self, state: SearchState) -> None:
        super().__init__()
        self._state = state

    def suggest(self, trial_id: str) -> Any:
        """The next stretch of a trial as a Tune configuration; `None` while others decide whether there will be one."""
        trial = self._state.next_trial()
        if trial is not None:
            return tune_config(trial, self._state.target(trial.number))
        return TuneSearcher.FINISHED if self._state.is_over else None

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
        """A round of Tune's loop is over: several a second, whether anything happened or not.

        Raises:
            _SearchOverError: no trial is left. Tune would go on to write a snapshot of every trial and to look for
                every trial's files; it stops the processes in either case.
        """
        self._on_change()
        if self._state.is_over:
            raise _SearchOverError

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
        # Tune keeps every trial's last result and statistics of all its numbers until the search is over.
        for key in result.keys() - _KEPT_RESULTS:
            del result[key]

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial ended, which its last result says, or came to its target."""
        result = trial.last_result or {}
        if "status" in result:
            self._state.end(_number(trial), result["status"], result.get("reason", ""))
        else:
            self._state.wait(_number(trial))
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial's process was lost; Tune will start it again."""
        self._state.retry(_number(trial), _failure(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial's process was lost once too often."""
        self._state.end(_number(trial), record.FAILED, _failure(trial))


def _number(trial: Any) -> int:
    number: int = trial.config["number"]
    return number


def _trial_name(trial: Any) -> str:
    return record.trial_name(_number(trial))


def _failure(trial: Any) -> str:
    """The last line of the trial's error: what happened, without where."""
    lines = [line.strip() for line in str(trial.get_error() or "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "its process was lost"
