"""Keeps a run's trials in memory, in step with its log.

Every change is appended to the log first. The code that reads a log back then applies it to memory, so that the
trials in memory are always those that a resume would find.
"""

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

from search import record
from search.record import ClockRecord, EventLog, RunFolder, TrialRecord, apply_event, rank
from search.trial.checkpoint import drop_checkpoints
from search.trial.feature_store import FeatureCost


class LoggedTrials:
    """The trials of a run, ended and not.

    Args:
        folder: the run's folder.
        metric: the validation score that trials are compared by.

    Attributes:
        trials: by number.
        damaged_lines: of the log's files, how many could not be read; sound files are left out.
        known_clock: the time that earlier sessions spent, and what their clock closed.
        ended: the numbers of the trials that have ended, in that order (of earlier sessions: by number).
        retried: the numbers of the trials that a fault stopped in this session, once for each fault.
        news: what the user should hear in this session, a sentence each: what the clock decided, what is waited for.
        storage_error: the error that made the run's folder unwritable; Tune hides errors that its callbacks raise.
    """

    def __init__(self, folder: RunFolder, metric: str) -> None:
        self.folder = folder
        known = folder.read_log()
        self.trials: dict[int, TrialRecord] = known.trials
        self.damaged_lines = known.damaged
        self.known_clock: ClockRecord = known.clock
        self.ended = [trial.number for trial in self.trials.values() if trial.is_final]
        self.retried: list[int] = []
        self.news: list[str] = []
        self.storage_error: OSError | None = None
        self._log = EventLog(folder)
        self._metric = metric
        self._best = self._best_of(self.trials.values())

    def best(self) -> TrialRecord | None:
        """The trial with the best validation so far."""
        return self._best

    def _best_of(self, trials: Iterable[TrialRecord]) -> TrialRecord | None:
        return next(iter(rank(trials, self._metric)), None)

    def note(self, event: str, line: str, **content: Any) -> None:
        """Record an event that concerns the whole search, and tell the user in a line."""
        self._log.append(event, **content)
        self.news.append(line)

    def add_feature_costs(self, costs: Iterable[FeatureCost]) -> None:
        """Record what the features of frozen backbones cost in this session."""
        for cost in costs:
            self._log.append("features", **asdict(cost))

    def start(self, number: int) -> None:
        """Record that a process has started the trial."""
        self._append("started", number)

    def add_epoch(self, number: int, metrics: dict[str, Any], host: str = "", process: int = 0) -> bool:
        """Record an epoch; one that is already known (a restarted trial repeats its last) is skipped.

        Args:
            number: of the trial.
            metrics: the fields of an `EpochRecord` by name.
            host: where it was trained; empty where it is read from a checkpoint.
            process: that trained it; 0 where it is read from a checkpoint.

        Returns:
            Whether it was new.
        """
        if metrics["epoch"] != len(self.trials[number].epochs) + 1:
            return False
        self._append("epoch", number, metrics=metrics, host=host, process=process)
        # Compares one trial, not all of them: the driver's work at an event must not grow with the trials.
        self._best = self._best_of(filter(None, (self._best, self.trials[number])))
        return True

    def flush(self) -> None:
        """Make the log durable on a storage that is not written line by line."""
        self._log.flush()

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _mark_ended(self, number: int, status: str, reason: str) -> bool:
        """Record that a trial has ended, and remove its spare checkpoints; whether it had not ended before."""
        is_new = not self.trials[number].is_final
        self._append("ended", number, status=status, reason=reason)
        if is_new:
            self.ended.append(number)
        # What trains no more needs no optimizer's state: the last epoch of a finished trial has none. Only once the log
        # says so: a trial that a resumed search takes for an open one needs its checkpoint.
        keep = 1 if status == record.FINISHED else 0
        self._log.after(partial(drop_checkpoints, self.folder, self.trials[number].name, keep=keep))
        return is_new

    def _append(self, event: str, number: int, **content: Any) -> None:
        try:
            entry = self._log.append(event, number, **content)
            if event == "suggested":
                # A bucket's log is stored in a thread, suggestions at once; those that a killed driver forgets
                # nevertheless are made anew by `SearchState`.
                self._log.flush(wait=False)
        except OSError as error:
            self.storage_error = error
            raise
        apply_event(self.trials, entry)
