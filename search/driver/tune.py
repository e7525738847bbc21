"""Runs the trials of a search with Ray Tune, and records them in our own log.

Tune gets one stretch of a trial at a time, up to the scheduler's next target or the trial's last epoch; it starts,
restarts and reuses processes. `SearchState` keeps the trials and their results in our log, from which a search
resumes; Tune's own snapshots are not used. This module imports Ray at the top; `search.run` imports it only when a
search begins.
"""

import contextlib
import dataclasses
import math
import pickle
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import ray
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search import Searcher as TuneSearcher

from data_pipeline.share import put_training_data, training_data
from search import record
from search.driver.bad_hosts import MOST_FAULTS, BadHosts
from search.driver.faults import BAD_HOST, LOST_HOST, SERVICE, Fault, fault_of
from search.driver.machine import find_hosts
from search.driver.placement import avoided_hosts, avoiding, node_at, placement, usable_hosts
from search.driver.preflight import probe
from search.driver.session import Session
from search.driver.state import SearchState
from search.driver.waiting import Patience, WorkerWatch, launch_reasons
from search.record import RunFolder, Storage, TrialRecord
from search.trial.trainable import ImageTrial, TrialContext

_MOST_IN_VAIN = 5  # retries of a trial in a row because of what trials share
_LOOK_SECONDS = 10.0  # between two looks for hosts that have joined or left
# The keys of a result that Tune and `Recorder` still read once the log has it.
_KEPT_RESULTS = frozenset({"trial_id", "done", "status", "reason", "host_error"})


class SearchInterruptedError(Exception):
    """The search was stopped before its end; all results so far are kept."""


class StorageError(OSError):
    """No host can do what trials need, the run's folder among it; all earlier results are kept."""


class _SearchOverError(Exception):
    """Every trial has ended; raised to leave Tune before it summarizes what our log has already."""


def run_search(
    session: Session,
    state: SearchState,
    on_change: Callable[[], None] = lambda: None,
    trainable: type[ImageTrial] = ImageTrial,
) -> None:
    """Run all remaining trials; returns when every trial has ended.

    Args:
        session: what the trials share.
        state: new, or restored from the log.
        on_change: called several times a second, for a progress display.
        trainable: what a trial process runs.

    Raises:
        SearchInterruptedError: Ctrl-C or SIGTERM; a resumed run continues its trials from their last epoch.
        OSError: the run's folder can no longer be written, or no host is left that works; once that is fixed, the run
            can be resumed.
    """
    if state.is_over:
        return
    _empty_tune_folder(state.folder)
    tuner = _build_tuner(session, state, on_change, trainable)
    try:
        tuner.fit()
    except _SearchOverError:
        pass
    except Exception:
        if state.storage_error is not None:
            raise state.storage_error from None
        raise
    finally:
        with contextlib.suppress(OSError, ray.exceptions.RayError):  # neither may hide an earlier error
            state.add_feature_costs(session.backbones.costs())
        state.flush()
        if state.folder.is_local:
            shutil.rmtree(state.folder.child("tune"), ignore_errors=True)
    if not state.is_over:
        raise SearchInterruptedError


def _empty_tune_folder(folder: RunFolder) -> None:
    """Remove what Tune left in a killed session: it writes there whatever links it finds, and reads nothing of it.

    Raises:
        OSError: the folder itself is a link out of the run, or cannot be removed.
    """
    folder.own("tune", "trials")
    if folder.is_local:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder.child("tune"))


def _build_tuner(
    session: Session, state: SearchState, on_change: Callable[[], None], trainable: type[ImageTrial]
) -> tune.Tuner:
    """Tune set up for this search: its trials from the state, its events to the state, no files of its own."""
    settings, resources = session.settings, session.resources
    context = TrialContext(
        run_url=state.folder.absolute_url,
        patience=settings.run.patience,
        metric=settings.search.metric,
        train=settings.train,
        data=put_training_data(
            training_data(session.dataset, settings.search.judges_by_shifted, session.repeats, session.disks)
        ),
        backbones=session.backbones,
        threads=resources.threads,
    )
    hosts = BadHosts(lambda: usable_hosts(resources))
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, context=context), placement(resources)),
        tune_config=tune.TuneConfig(
            search_alg=GrowingLimit(
                TrialQueue(state, hosts), resources.at_a_time, _room_now(session), state.news.append
            ),
            scheduler=EarlyEnds(state, hosts),
            num_samples=-1,  # until the queue answers that the search is over
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=state.folder.absolute_url if state.folder.is_local else state.folder.path,
            # Object stores through our own client: PyArrow's does not read ~/.aws/config.
            storage_filesystem=None if state.folder.is_local else PyFileSystem(FSSpecHandler(state.folder.fs)),
            # Trials write their own checkpoints (search.trial.checkpoint); Tune's pickles are not needed.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            # The state decides whether a trial goes on, and gives it to Tune again as another stretch.
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[Recorder(state, hosts, on_change, _watch_workers(session, state, hosts))],
            verbose=0,
        ),
    )


def _room_now(session: Session) -> Callable[[], int]:
    """How many trials have room on the hosts that are there; no more than the settings allow at a time."""
    most = session.settings.resources.max_concurrent or math.inf
    return lambda: int(min(most, session.resources.room(find_hosts(seconds=0))))


def _watch_workers(session: Session, state: SearchState, hosts: BadHosts) -> WorkerWatch:
    def reasons() -> Sequence[str]:
        return [*hosts.reasons, *launch_reasons()]

    return WorkerWatch(Patience(f"a host with {session.resources} free", state.news.append, reasons))


class _NotPickled:
    """An empty pickle: Tune pickles searchers and callbacks for its own restore, which we never use."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


def tune_config(trial: TrialRecord, target: int, avoided: Sequence[str] = ()) -> dict[str, Any]:
    """A trial as Tune's configuration, to be trained up to the epoch `target`; its record is one JSON string.

    It does not run on the nodes of Ray that it avoids.

    Tune copies, flattens and names the entries of a configuration one by one, several times a trial: fewer entries
    cost less.
    """
    plain = dataclasses.replace(trial, epochs=[])  # the process reads its history from its checkpoint
    return {
        "number": trial.number,
        "trial": record.to_json(plain),
        "trained": len(trial.epochs),
        "target": target,
        **avoiding(avoided),
    }


class TrialQueue(_NotPickled, TuneSearcher):  # type: ignore[misc]  # Ray ships no types
    """Gives Tune the next trial from the search's state."""

    def __init__(self, state: SearchState, hosts: BadHosts) -> None:
        super().__init__()
        self._state, self._hosts = state, hosts

    def suggest(self, trial_id: str) -> Any:
        """The next stretch of a trial as a Tune configuration; `None` while it depends on others."""
        trial = self._state.next_trial()
        if trial is not None:
            return tune_config(trial, self._state.target(trial.number), self._hosts.avoided_by(trial.number))
        return TuneSearcher.FINISHED if self._state.is_over else None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing to do: the recorder updates the state."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing here: the log is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing here: the log is the state."""


class GrowingLimit(_NotPickled, ConcurrencyLimiter):  # type: ignore[misc]  # Ray ships no types
    """Limits the trials at a time to those that have room; hosts that join later make room for more.

    Without a limiter Tune keeps a single pending trial with a custom searcher.

    Args:
        searcher: gives the trials.
        at_a_time: the room at the beginning, with the hosts that were then known to come.
        room: the room now.
        say: tells the user.
    """

    max_concurrent: int

    def __init__(
        self, searcher: TuneSearcher, at_a_time: int, room: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        super().__init__(searcher, at_a_time)
        self._room, self._say, self._next = room, say, time.monotonic() + _LOOK_SECONDS

    def suggest(self, trial_id: str) -> Any:
        """The searcher's suggestion, or `None` where there is no room for it."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LOOK_SECONDS
            room = self._room()
            if room > self.max_concurrent:
                self.max_concurrent = room
                self._say(f"hosts have joined: room for {record.counted(room, 'trial')} at a time")
        return super().suggest(trial_id)


class EarlyEnds(_NotPickled, FIFOScheduler):  # type: ignore[misc]  # Ray ships no types
    """Ends a stretch of a trial early: where the clock leaves no time for it, or no host is left that it waits for."""

    def __init__(self, state: SearchState, hosts: BadHosts) -> None:
        super().__init__()
        self._state, self._hosts = state, hosts
        self._choosy: list[Any] = []  # stretches that wait for a host other than some
        self._next = 0.0

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Watch a stretch that avoids hosts: Ray never forgets what it was asked to avoid."""
        if avoided_hosts(trial.config):
            self._choosy.append(trial)

    def choose_trial_to_run(self, controller: Any) -> Any:
        """Tune's own choice, after the stretches have ended that wait for hosts that were lost."""
        if self._choosy and time.monotonic() >= self._next:
            self._next = time.monotonic() + _LOOK_SECONDS
            self._choosy = [trial for trial in self._choosy if trial.status == Trial.PENDING]
            for trial in self._choosy:
                if self._hosts.is_stranded(_number(trial), avoided_hosts(trial.config)):
                    controller.stop_trial(trial)
        return super().choose_trial_to_run(controller)

    def on_trial_result(self, controller: Any, trial: Any, result: Any) -> str:
        """Whether the trial goes on after an epoch, which the recorder records next."""
        epoch = result.get("metrics/epoch")
        late = epoch is not None and self._state.must_pause(_number(trial), epoch, result["metrics/seconds"])
        return str(FIFOScheduler.STOP if late else FIFOScheduler.CONTINUE)


class Recorder(_NotPickled, tune.Callback):  # type: ignore[misc]  # Ray ships no types
    """Records Tune's events in the search's state."""

    def __init__(self, state: SearchState, hosts: BadHosts, on_change: Callable[[], None], watch: WorkerWatch) -> None:
        self._state, self._hosts = state, hosts
        self._on_change = on_change
        self._watch = watch
        self._in_vain: Counter[int] = Counter()  # by trial, faults of what trials share since its last epoch

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A process has started the trial."""
        self._watch.started(_number(trial))
        self._state.start(_number(trial))

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """A round of Tune's loop has ended; there are several a second, with or without an event.

        Raises:
            _SearchOverError: no trial is left. Tune would next write a snapshot of every trial and look for every
                trial's files; it stops the processes in either case.
        """
        self._state.tick(cut=True)
        self._watch.poll()
        self._on_change()
        if self._state.is_over:
            raise _SearchOverError

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """The trial has reported an epoch, or, without one, why it cannot be trained.

        Raises:
            StorageError: what the trials share cannot be written, or no host works; the search ends and can be resumed.
        """
        if "storage_error" in result:
            self._stop(f"Trial {_trial_name(trial)} could not go on: {result['storage_error']}")
        if "host_error" in result:
            self._blame_host(_number(trial), result["host_error"], result["host"], result["node"])
        if "metrics" in result:
            self._hosts.note_epoch(result["node"])
            self._in_vain.pop(_number(trial), None)
            self._state.add_epoch(_number(trial), result["metrics"], result["host"], result["process"])
        # Tune keeps every trial's last result and statistics of all its numbers until the search is over.
        for key in result.keys() - _KEPT_RESULTS:
            del result[key]

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial has ended, as its last result says, or has reached its target, or never got a host."""
        self._watch.ended(_number(trial))
        result = trial.last_result or {}
        if trial.status == Trial.PENDING:
            self._state.fail(_number(trial), Fault(LOST_HOST, "the hosts that it waited for were lost"))
        elif "host_error" in result:
            pass  # it is to be tried again already
        elif "status" in result:
            self._state.end(_number(trial), result["status"], result.get("reason", ""))
        else:
            self._state.wait(_number(trial))
        _forget_results(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial's process was lost, did not start, or raised an error that it did not report.

        Raises:
            StorageError: what the trials share is lost whenever this one needs it, or no host works.
        """
        number, fault = _number(trial), fault_of(_error(trial))
        self._watch.ended(number)
        node = node_at(fault.address)
        self._in_vain[number] += fault.cause in (SERVICE, BAD_HOST) and node is None
        if self._in_vain[number] > _MOST_IN_VAIN:
            self._stop(
                f"Trial {_trial_name(trial)} could not go on {self._in_vain[number]} times in a row, since its process "
                f"did not start or the images or features that all trials share were lost; the last time: "
                f"{fault.reason}. Look at the memory of its hosts and at Ray's logs there."
            )
        if node is not None:
            self._blame_host(number, fault.reason, *node)
        else:
            self._state.fail(number, fault)
        _forget_results(trial)

    def _blame_host(self, number: int, error: str, host: str, node: str) -> None:
        """Try a trial again elsewhere that met an error of the system, which is its host's if the driver can write."""
        name = record.trial_name(number)
        try:
            probe(Storage(self._state.folder.url))  # without its patience: the trial has waited
        except OSError as own:
            self._stop(f"Trial {name} could not be saved: {own}")
        if self._hosts.note_fault(number, node):
            line = f"host {host} is no longer used after {MOST_FAULTS} errors in a row, the last: {error}"
            self._state.note("excluded", f"{line}. Fix it and restart Ray there.", host=host, node=node, reason=error)
        if not self._hosts.is_any_left:
            self._stop(f"No host is left on which trials can go on. Trial {name}, on host {host}: {error}")
        self._state.fail(number, Fault(BAD_HOST, f"host {host}: {error}"))

    def _stop(self, message: str) -> NoReturn:
        self._state.storage_error = StorageError(message)  # Tune hides errors that its callbacks raise
        raise self._state.storage_error


def _number(trial: Any) -> int:
    number: int = trial.config["number"]
    return number


def _trial_name(trial: Any) -> str:
    return record.trial_name(_number(trial))


def _forget_results(trial: Any) -> None:
    """Free the statistics that Tune keeps of a trial until the search is over."""
    trial.metric_analysis.clear()
    trial.metric_n_steps.clear()


def _error(trial: Any) -> BaseException | None:
    """The error that ended a stretch of the trial, as Tune wrote it to this host's disk; `None` if it did not."""
    path = trial.pickled_error_file
    with contextlib.suppress(OSError, pickle.UnpicklingError, AttributeError, ImportError):
        return pickle.loads(Path(path).read_bytes()) if path else None
    return None
