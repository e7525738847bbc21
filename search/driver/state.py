"""Plans a search in the driver: the trial to run next, and what follows from each trial's progress.

The trials are `LoggedTrials`; `search.driver.judge` decides what the time budget allows. Whatever is decided is logged
before anything follows from it, so that a resumed search goes on from the same decisions.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from models.counts import ParameterCount
from search import record
from search.driver.deadline import Clock, Deadline
from search.driver.faults import Fault
from search.driver.judge import Close, End, Standing, cut_off, decide, has_time, must_pause
from search.driver.logged import LoggedTrials
from search.plan.scheduler import build_scheduler
from search.plan.searcher import Searcher
from search.plan.seeds import confirmation_seed, trial_seed
from search.plan.settings import Settings
from search.plan.spaces import model_settings, train_settings
from search.record import CLOCK, CLOSED, CONFIRMATIONS, TRIALS, RunFolder, TrialRecord, to_confirm
from search.trial.checkpoint import drop_optimizer, drop_trial, newest_epochs, unlogged_epochs
from search.trial.plateau import should_stop

_BEAT_SECONDS = 30.0  # between two records of the time spent: a killed driver loses no more of it
_JUDGE_SECONDS = 1.0  # between two judgements by the clock, unless a trial has reported


class SearchState(LoggedTrials):
    """The trials of a run, and those still to come.

    Args:
        folder: the run's folder.
        searcher: suggests trials by number.
        settings: of the run.
        count: the number of parameters of a model configuration.
        clock: of a search with a time budget.

    Attributes:
        settings: of the run.
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
        super().__init__(folder, settings.search.metric)
        self.settings = settings
        self._searcher = searcher
        self._count = count
        # Trials that train on before others begin, if there is time: of an earlier session, paused by the clock, or
        # stopped by a fault.
        self._interrupted: list[int] = []
        # Names of trials with checkpoints whose suggestions were lost with a bucket's last events; others get their
        # numbers, and must not train on with their weights.
        self._unknown: set[str] = set()
        budget = settings.search.time_budget
        self._closed = {what for what in (TRIALS, CONFIRMATIONS) if self.known_clock.is_closed(what, budget)}
        self._next = max(self.trials, default=-1) + 1
        self._confirmations = [trial.number for trial in self.trials.values() if trial.confirms is not None]
        self._scheduler = build_scheduler(settings.search, self.num_trials - len(self._confirmations))
        self.deadline: Deadline | None = None
        self._stale, self._judged, self._beat = True, 0.0, 0.0  # of `tick`, the last two in seconds of the clock
        if clock is not None:
            clock.earlier = self.known_clock.elapsed
            self.deadline = Deadline(settings.search, clock, self.trials.values(), settings.evaluate.enabled)
            self.note_time()

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

    def add_epoch(self, number: int, metrics: dict[str, Any], host: str = "", process: int = 0) -> bool:
        """Record an epoch as `LoggedTrials` does, and what it tells about the pace of the search."""
        is_new = super().add_epoch(number, metrics, host, process)
        if is_new and self.deadline is not None:
            self.deadline.note_epoch(self.trials[number])
            self._stale = True
        return is_new

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

    def _mark_ended(self, number: int, status: str, reason: str) -> bool:
        is_new = super()._mark_ended(number, status, reason)
        if is_new and self.deadline is not None:
            self.deadline.finished += status == record.FINISHED
        return is_new

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
            self._carry_out(cut_off(self.deadline, self._standing))
        elif self._stale or elapsed - self._judged >= _JUDGE_SECONDS:
            self._stale, self._judged = False, elapsed
            while decisions := decide(self.deadline, self._standing, self._next_to_confirm()):
                self._carry_out(decisions)

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
        return must_pause(self.deadline, self._standing, trial, epoch, seconds)

    def _has_time(self, trial: TrialRecord) -> bool:
        """Whether the time budget, if there is one, lets a trial train on."""
        return self.deadline is None or has_time(self.deadline, self._standing, trial)

    @property
    def _standing(self) -> Standing:
        first_target = self._scheduler.target(TrialRecord(self._next, {}, 0, self.settings.search.max_epochs))
        return Standing(self.trials.values(), self._to_come, first_target)

    def _carry_out(self, decisions: Iterable[Close | End]) -> None:
        """Record what the clock asks for, and let searcher and scheduler know."""
        for decision in decisions:
            if isinstance(decision, Close):
                self._close(decision)
            else:
                self._end_by_clock(decision)

    def _close(self, decision: Close) -> None:
        if self.deadline is None or decision.what in self._closed:
            return
        what, reason, budget = decision.what, decision.reason, self.deadline.budget
        self.note(
            CLOSED, f"time budget: {reason}", what=what, budget=budget, elapsed=self.deadline.elapsed, reason=reason
        )
        self._closed.add(what)
        if what == TRIALS:
            self._scheduler.close()

    def _end_by_clock(self, decision: End) -> None:
        trial = decision.trial
        self._mark_ended(trial.number, decision.status, decision.reason)
        if decision.status == record.FINISHED:
            self._log.after(partial(drop_optimizer, self.folder, trial.name))
        elif trial.confirms is None:
            self._searcher.tell(self._as_judged(trial))
