"""Keeps a search's state in the driver: its trials, in step with the log, and the trial to run next.

Every change is appended to the log first. The code that reads a log back then applies it to memory, so that the
state in memory is always the state that a resume would find.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from models.counts import ParameterCount
from search import record
from search.driver.deadline import Clock, Deadline
from search.driver.faults import Fault
from search.plan.scheduler import build_scheduler
from search.plan.searcher import Searcher
from search.plan.seeds import confirmation_seed, trial_seed
from search.plan.settings import Settings
from search.plan.spaces import model_settings, train_settings
from search.record import (
    CLOCK,
    CLOSED,
    CONFIRMATIONS,
    TRIALS,
    ClockRecord,
    EventLog,
    RunFolder,
    TrialRecord,
    apply_event,
    rank,
    to_confirm,
)
from search.trial.checkpoint import drop_checkpoints, drop_optimizer, drop_trial, newest_epochs, unlogged_epochs
from search.trial.feature_store import FeatureCost
from search.trial.plateau import should_stop

_BEAT_SECONDS = 30.0  # between two records of the time spent: a killed driver loses no more of it
_JUDGE_SECONDS = 1.0  # between two judgements by the clock, unless a trial has reported


class SearchState:
    """The trials of a run, ended and not, and the searcher that plans new ones.

    Args:
        folder: the run's folder.
        searcher: suggests trials by number.
        settings: of the run.
        count: the number of parameters of a model configuration.
        clock: of a search with a time budget.

    Attributes:
        trials: by number.
        damaged_lines: of the log's files, how many could not be read; sound files are left out.
        ended: the numbers of the trials that have ended, in that order (of earlier sessions: by number).
        retried: the numbers of the trials that a fault stopped in this session, once for each fault.
        news: what the user should hear in this session, a sentence each: what the clock decided, what is waited for.
        deadline: of a search with a time budget; else `None`.
    """

    def __init__(
        self,
        folder: RunFolder,
        searcher: Searcher,
        settings: Settings,
        count: Callable[[Any], ParameterCount],
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        known = folder.read_log()
        self.trials: dict[int, TrialRecord] = known.trials
        self.damaged_lines = known.damaged
        # The error that made the run's folder unwritable; Tune hides errors that its callbacks raise.
        self.storage_error: OSError | None = None
        self._searcher = searcher
        self._count = count
        self._log = EventLog(folder)
        # Trials that train on before others begin, if there is time: of an earlier session, paused by the clock, or
        # stopped by a fault.
        self._interrupted: list[int] = []
        # Names of trials with checkpoints whose suggestions were lost with a bucket's last events; others get their
        # numbers, and must not train on with their weights.
        self._unknown: set[str] = set()
        self.ended = [trial.number for trial in self.trials.values() if trial.is_final]
        self.retried: list[int] = []
        self.news: list[str] = []
        self.deadline = None if clock is None else Deadline(settings.search, clock)
        self._closed: set[str] = set()
        self._stale, self._judged, self._beat = True, 0.0, 0.0  # of `tick`, the last two in seconds of the clock
        if clock is not None:
            self._restore_clock(clock, known.clock)
        self._best = self._best_of(self.trials.values())
        self._next = max(self.trials, default=-1) + 1
        self._confirmations = [trial.number for trial in self.trials.values() if trial.confirms is not None]
        self._scheduler = build_scheduler(settings.search, self.num_trials - len(self._confirmations))

    @property
    def num_trials(self) -> int:
        """How many trials the search has in all, confirmations only as far as they have begun.

        These are the known trials and those still to come: a resume may ask for fewer than there are already, and a
        damaged line of the log leaves a gap in their numbers.
        """
        return len(self.trials) + self._to_come

    @property
    def _to_come(self) -> int:
        """How many of the search's own trials have not begun."""
        return 0 if TRIALS in self._closed else max(0, self._searcher.num_trials - self._place(self._next))

    def _place(self, number: int) -> int:
        """The place of a trial among the search's own, which the searcher numbers without the confirmations."""
        return number - sum(each < number for each in self._confirmations)

    @property
    def _own(self) -> Iterator[TrialRecord]:
        """The search's own trials, without the confirmations."""
        return (trial for trial in self.trials.values() if trial.confirms is None)

    @property
    def is_over(self) -> bool:
        """Whether every trial has ended and none is still to come."""
        return not self._to_come and len(self.ended) == len(self.trials) and self._next_to_confirm() is None

    def _next_to_confirm(self) -> TrialRecord | None:
        """The trial that the next confirmation trains again; `None` while trials of the search's own are open."""
        search, weights = self.settings.search, self.settings.evaluate.weights
        if (
            not search.confirm
            or CONFIRMATIONS in self._closed
            or self._to_come
            or not all(trial.is_final for trial in self._own)
        ):
            return None
        return next(to_confirm(self.trials.values(), search.confirm, search.metric, weights), None)

    def restore(self) -> None:
        """Restore an interrupted search: epochs that were trained but not logged, the scheduler, then the searcher."""
        saved = newest_epochs(self.folder)
        self._unknown = saved.keys() - {trial.name for trial in self.trials.values()}
        for trial in self.trials.values():
            if not trial.is_final:
                self._adopt_checkpoint(trial, saved.get(trial.name, 0))
        for trial in self._own:
            self._scheduler.place(trial)
        self._interrupted = [
            trial.number for trial in self.trials.values() if not trial.is_final and not self._is_judged(trial)
        ]
        self._searcher.restore([self._as_judged(trial) for trial in self._own])
        self._drop_outdone()
        self.tick()

    def _adopt_checkpoint(self, trial: TrialRecord, saved: int) -> None:
        if saved > len(trial.epochs):  # only then it is read: most trials wait, and a checkpoint may have 100 MB
            epochs, skipped = unlogged_epochs(self.folder, trial)
            self.news += [f"{line} Trial {trial.name} goes on from what the log says." for line in skipped]
            for epoch in epochs:
                self.add_epoch(trial.number, asdict(epoch))
        patience = train_settings(self.settings.train, trial.parameters).early_stopping
        if len(trial.epochs) >= trial.max_epochs or should_stop(trial.epochs, patience):
            self._mark_ended(trial.number, record.FINISHED, "")

    def next_trial(self) -> TrialRecord | None:
        """The trial that a free process trains up to its `target`: an interrupted one, a promoted one, or a new one.

        `None` if there is none at the moment, or none any more.
        """
        self.tick()
        trial = self._open_trial() or self._unseen_trial()
        if trial is not None and self.deadline is not None:
            self.deadline.begin(trial.number)
        return trial

    def _open_trial(self) -> TrialRecord | None:
        """A trial that has begun and that trains on now."""
        for trial in [self.trials[each] for each in self._interrupted]:
            if not trial.is_final and self._has_time(trial):
                self._interrupted.remove(trial.number)
                return trial
        sources = [self._scheduler.promote]
        if TRIALS in self._closed:  # then a process without a trial is of no use
            sources.append(self._scheduler.hasten)
        for source in sources:
            while (number := source()) is not None:
                trial = self.trials[number]
                if trial.is_final:  # the clock ended it, which the scheduler does not know
                    continue
                if self._has_time(trial):
                    return trial
                self._interrupted.append(number)
        return None

    def _unseen_trial(self) -> TrialRecord | None:
        if self._to_come:
            return self._new_trial()
        confirmed = self._next_to_confirm()
        return None if confirmed is None else self._confirmation(confirmed)

    @property
    def ended_by_clock(self) -> bool:
        """Whether the clock has kept trials or confirmations from beginning."""
        return bool(self._closed)

    def tick(self, cut: bool = False) -> None:
        """Decide what the clock asks for; to be called several times a second.

        Every decision is recorded, so that a resumed search does not take it again.

        Args:
            cut: whether trials may be ended while they train, which is the end of the search.
        """
        if self.deadline is None or self.is_over:
            return
        elapsed = self.deadline.elapsed
        if elapsed - self._beat >= _BEAT_SECONDS:
            self.note_time()
        if cut and self.deadline.is_past:
            self._cut()
        elif self._stale or elapsed - self._judged >= _JUDGE_SECONDS:
            self._stale, self._judged = False, elapsed
            self._judge_by_clock(self.deadline)

    def note_time(self) -> None:
        """Record the time that a search with a time budget has spent so far."""
        if self.deadline is not None:
            self._beat = self.deadline.elapsed
            self._log.append(CLOCK, elapsed=self._beat)

    def must_pause(self, number: int, epoch: int, seconds: float) -> bool:
        """Whether a trial, which has just trained an epoch in so many seconds, has no time for more of them."""
        trial = self.trials[number]
        if self.deadline is None or trial.is_final:
            return False
        last = trial.max_epochs if trial.confirms is not None or self._can_finish_one(self.deadline) else epoch + 1
        return not self.deadline.allows_more(trial, last - epoch, seconds)

    def _restore_clock(self, clock: Clock, known: ClockRecord) -> None:
        budget = self.settings.search.time_budget
        clock.earlier = known.elapsed
        self._closed = {what for what in (TRIALS, CONFIRMATIONS) if known.is_closed(what, budget)}
        if self.deadline is not None:
            for trial in self.trials.values():
                self.deadline.pace.add(trial)
            self.deadline.confirming = sum(trial.confirms is not None for trial in self.trials.values())
            self.deadline.finished = sum(trial.status == record.FINISHED for trial in self.trials.values())
            self.note_time()

    def _has_time(self, trial: TrialRecord) -> bool:
        """Whether a trial has time to train on: to its last epoch or, if no trial can be finished, for one epoch."""
        if self.deadline is None:
            return True
        ends = trial.confirms is not None or self._can_finish_one(self.deadline)
        return self.deadline.allows(trial, trial.max_epochs if ends else len(trial.epochs) + 1)

    def _can_finish_one(self, deadline: Deadline) -> bool:
        """Whether a trial has finished, or one can be trained to its last epoch in time."""
        if deadline.finished or (self._to_come and deadline.allows_new(self.settings.search.max_epochs)):
            return True
        return any(deadline.allows(trial, trial.max_epochs) for trial in self._own if not trial.is_final)

    def _judge_by_clock(self, deadline: Deadline) -> None:
        """Close what cannot begin any more, and end the resting trials that have no time to train on."""
        if self._to_come and not self._allows_new(deadline):
            self._close(TRIALS, "no trial begins any more, there is no time left for its epochs")
            self._scheduler.close()
        if self._to_come:
            return
        ends = self._can_finish_one(deadline)
        resting = [trial for trial in self.trials.values() if not trial.is_final and not deadline.is_busy(trial.number)]
        late = [trial for trial in resting if not self._has_time(trial)]
        if ends:
            for trial in late:
                self._end_late(trial)
        elif len(late) == sum(not trial.is_final for trial in self.trials.values()):
            self._end_own()
        confirmed = self._next_to_confirm()
        if confirmed is not None and not deadline.allows_confirmation(confirmed):
            self._close(CONFIRMATIONS, f"there is no time left to confirm trial {confirmed.name}")

    def _allows_new(self, deadline: Deadline) -> bool:
        """Whether a new trial has time: to be finished or, if no trial can be, to reach its first rung."""
        most = self.settings.search.max_epochs
        if self._can_finish_one(deadline):
            return deadline.allows_new(most)
        return deadline.allows_new(self._scheduler.target(TrialRecord(self._next, {}, 0, most)))

    def _close(self, what: str, reason: str) -> None:
        if self.deadline is not None and what not in self._closed:
            elapsed, budget = self.deadline.elapsed, self.deadline.budget
            self.note(CLOSED, f"time budget: {reason}", what=what, budget=budget, elapsed=elapsed, reason=reason)
            self._closed.add(what)

    def _end_late(self, trial: TrialRecord) -> None:
        self._mark_ended(trial.number, record.STOPPED, "the time budget leaves no time for its last epochs")
        if trial.confirms is None:
            self._searcher.tell(self._as_judged(trial))

    def _end_own(self) -> None:
        """End the search's own trials; if none has finished, the best of them counts as finished where it is."""
        open_trials = [trial for trial in self._own if not trial.is_final]
        finished = any(trial.status == record.FINISHED for trial in self._own)
        best = None if finished else self._best_of(open_trials)
        if best is not None:
            reason = "the time budget ended, and no trial could train to its last epoch"
            self._mark_ended(best.number, record.FINISHED, reason)
            self._log.after(partial(drop_optimizer, self.folder, best.name))
        for trial in open_trials:
            if trial is not best:
                self._end_late(trial)

    def _cut(self) -> None:
        """End the search at once, trials that train included."""
        self._close(TRIALS, "the trials are cut off, it is time to evaluate")
        self._close(CONFIRMATIONS, "no configuration is confirmed any more")
        self._end_own()
        for trial in self.trials.values():
            if not trial.is_final:
                self._end_late(trial)

    def target(self, number: int) -> int:
        """The epoch up to which a trial trains now: the next at which it is compared with others, or its last."""
        trial = self.trials[number]
        return self._scheduler.target(trial) if trial.confirms is None else trial.max_epochs

    def is_at_rung(self, trial: TrialRecord) -> bool:
        """Whether a trial waits at a rung for a promotion."""
        return trial.status == record.WAITING and self._is_judged(trial)

    def _is_judged(self, trial: TrialRecord) -> bool:
        """Whether the trial's last epoch is one at which it is compared with others."""
        return trial.confirms is None and 0 < len(trial.epochs) == self._scheduler.judged_epochs(trial)

    def _new_trial(self) -> TrialRecord:
        place = self._place(self._next)
        plan = self._searcher.suggest(place)
        count = self._count(model_settings(plan.parameters))
        trial = self._suggest(
            parameters=plan.parameters,
            seed=trial_seed(self.settings.search.seed, place, plan),
            max_epochs=plan.max_epochs,
            row=plan.row,
            repeat=plan.repeat,
            parameter_count=count.total,
            trainable_count=count.trainable,
        )
        self._scheduler.place(trial)
        return trial

    def _confirmation(self, confirmed: TrialRecord) -> TrialRecord:
        """A new trial that trains the configuration of another one again, as its next repeat."""
        repeats = [trial.repeat for trial in self._own if trial.parameters == confirmed.parameters]
        trial = self._suggest(
            parameters=confirmed.parameters,
            seed=confirmation_seed(self.settings.search.seed, confirmed.number),
            max_epochs=confirmed.max_epochs,
            row=confirmed.row,
            repeat=max(repeats) + 1,
            confirms=confirmed.number,
            parameter_count=confirmed.parameter_count,
            trainable_count=confirmed.trainable_count,
        )
        self._confirmations.append(trial.number)
        if self.deadline is not None:
            self.deadline.confirming += 1
        return trial

    def _suggest(self, **content: Any) -> TrialRecord:
        number, self._next = self._next, self._next + 1
        if record.trial_name(number) in self._unknown:
            drop_trial(self.folder, record.trial_name(number))
        self._append("suggested", number, **content)
        return self.trials[number]

    def start(self, number: int) -> None:
        """Record that a process has started the trial."""
        self._append("started", number)

    def add_epoch(self, number: int, metrics: dict[str, Any], host: str = "", process: int = 0) -> None:
        """Record an epoch; one that is already known (a restarted trial repeats its last) is skipped.

        Args:
            number: of the trial.
            metrics: the fields of an `EpochRecord` by name.
            host: where it was trained; empty where it is read from a checkpoint.
            process: that trained it; 0 where it is read from a checkpoint.
        """
        if metrics["epoch"] == len(self.trials[number].epochs) + 1:
            self._append("epoch", number, metrics=metrics, host=host, process=process)
            # Compares one trial, not all of them: the driver's work at an event must not grow with the trials.
            self._best = self._best_of(filter(None, (self._best, self.trials[number])))
            if self.deadline is not None:
                self.deadline.note_epoch(self.trials[number])
                self._stale = True

    def fail(self, number: int, fault: Fault) -> None:
        """Record that a process stopped training the trial, which goes on from its checkpoint in another process.

        It ends if that was its own fault once more than `search.max_failures` times, in all sessions and stretches.
        """
        if fault.is_own and self.trials[number].failures >= self.settings.search.max_failures:
            self.end(number, record.FAILED, fault.reason)
            return
        self._append("retried", number, reason=fault.reason, cause=fault.cause)
        self.retried.append(number)
        self._interrupted.append(number)
        if self.deadline is not None:
            self.deadline.rest(number)

    def note(self, event: str, line: str, **content: Any) -> None:
        """Record an event that concerns the whole search, and tell the user in a line."""
        self._log.append(event, **content)
        self.news.append(line)

    def wait(self, number: int) -> None:
        """Record that a trial has reached its target, where it waits until the scheduler promotes or drops it."""
        self._append("paused", number)
        if not self._is_judged(self.trials[number]):  # by the clock, not at a rung
            self._interrupted.append(number)
        self._settle(number)

    def end(self, number: int, status: str, reason: str = "") -> None:
        """Record that a trial has ended, give it to the searcher, and remove its spare checkpoints."""
        self._mark_ended(number, status, reason)
        self._settle(number)

    def _settle(self, number: int) -> None:
        """Give searcher and scheduler the trial's state, and end the trials that can no longer be promoted.

        Confirmations concern neither: they are no samples of the space, and are compared with no trial at a rung.
        """
        self._stale = True
        if self.deadline is not None:
            self.deadline.rest(number)
        if self.trials[number].confirms is not None:
            return
        self._searcher.tell(self._as_judged(self.trials[number]))
        self._scheduler.place(self.trials[number])
        self._drop_outdone()

    def _drop_outdone(self) -> None:
        if TRIALS in self._closed:  # then processes finish the best of them, as far as time goes
            return
        for number in self._scheduler.drop():
            if self.trials[number].is_final:  # by the clock
                continue
            self._mark_ended(number, record.STOPPED, "")
            self._searcher.tell(self._as_judged(self.trials[number]))

    def _as_judged(self, trial: TrialRecord) -> TrialRecord:
        """The trial as the searcher knows it: by its place, up to its last rung.

        What a searcher knows must not depend on when the search was interrupted.
        """
        epochs = trial.epochs[: self._scheduler.judged_epochs(trial)]
        return replace(trial, number=self._place(trial.number), epochs=epochs)

    def _mark_ended(self, number: int, status: str, reason: str) -> None:
        is_news = not self.trials[number].is_final
        self._append("ended", number, status=status, reason=reason)
        if is_news:
            self.ended.append(number)
            if self.deadline is not None:
                self.deadline.finished += status == record.FINISHED
        # What trains no more needs no optimizer's state: the last epoch of a finished trial has none. Only once the log
        # says so: a trial that a resumed search takes for an open one needs its checkpoint.
        keep = 1 if status == record.FINISHED else 0
        self._log.after(partial(drop_checkpoints, self.folder, self.trials[number].name, keep=keep))

    def add_feature_costs(self, costs: Iterable[FeatureCost]) -> None:
        """Record what the features of frozen backbones cost in this session."""
        for cost in costs:
            self._log.append("features", **asdict(cost))

    def best(self) -> TrialRecord | None:
        """The trial with the best validation so far."""
        return self._best

    def _best_of(self, trials: Iterable[TrialRecord]) -> TrialRecord | None:
        return next(iter(rank(trials, self.settings.search.metric)), None)

    def flush(self) -> None:
        """Make the log durable on a storage that is not written line by line."""
        self._log.flush()

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _append(self, event: str, number: int, **content: Any) -> None:
        try:
            entry = self._log.append(event, number, **content)
            if event == "suggested":
                # A bucket's log is stored in a thread, suggestions at once; those that a killed driver forgets
                # nevertheless are made anew (`_unknown`).
                self._log.flush(wait=False)
        except OSError as error:
            self.storage_error = error
            raise
        apply_event(self.trials, entry)
