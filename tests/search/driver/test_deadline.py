"""Searches under a time budget, with a clock and workers that are played: no test waits."""

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from models.counts import ParameterCount
from search import record
from search.driver.deadline import Clock, Deadline
from search.driver.state import SearchState
from search.plan.earlier import is_complete
from search.plan.searcher import build_searcher
from search.plan.settings import UNLIMITED
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import EarlierTrial, RunFolder, RunRecord, TrialRecord, WarmStart
from tests.conftest import make_epoch
from tests.search.plan.test_warm import CNN

EPOCHS = 8
WORDS = ["space=plain2", f"search.max_epochs={EPOCHS}", "search.asha.grace_period=1", "search.searcher=random"]
WORDS += ["search.metric=val_loss"]

OPENED: list[SearchState] = []


@pytest.fixture(autouse=True)
def close_logs() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


class Machine:
    """Workers that train the trials of a run, with epochs of given seconds, on a clock of their own.

    Args:
        folder: of the run.
        words: settings besides `WORDS`.
        seconds: of an epoch of a trial, by its number.
        loss: of an epoch of a trial.
        warm: what the run took from earlier ones.
    """

    def __init__(
        self,
        folder: Path,
        *words: str,
        workers: int = 2,
        seconds: Callable[[int], float] = lambda number: 10.0,
        loss: Callable[[int, int], float] = lambda number, epoch: random.Random(number).random() / epoch,
        warm: WarmStart | None = None,
    ) -> None:
        self.words, self.workers, self.seconds, self.loss = [*WORDS, *words], workers, seconds, loss
        self.folder, self.warm = RunFolder(str(folder)), warm
        self.now = 0.0
        self.course: list[tuple[int, int]] = []  # trial and epoch, in order
        self.open()

    def open(self) -> None:
        """Begin a session: the state is read from the log."""
        settings = load_settings(self.words)
        if not self.folder.exists("run.json"):
            config = settings.to_dict()
            self.folder.write_run(RunRecord("one", 0.0, "", "val_loss", ("a", "b"), config, {}, {}))
        clock = Clock(lambda: self.now, self.workers)
        searcher = build_searcher(read_space(settings), settings, self.warm)
        self.state = SearchState(self.folder, searcher, settings, lambda model: ParameterCount(10, 9), clock)
        OPENED.append(self.state)
        self.state.restore()
        self.busy: dict[int, float] = {}  # trial and when its epoch ends
        assert self.state.deadline is not None
        self.deadline: Deadline = self.state.deadline

    def run(self, until: int | None = None) -> None:
        """Train until the search is over, or until so many epochs were trained."""
        while not self.state.is_over and (until is None or len(self.course) < until):
            while len(self.busy) < self.workers and (trial := self.state.next_trial()) is not None:
                assert trial.number not in self.busy
                self.state.start(trial.number)
                self.busy[trial.number] = self.now + self.seconds(trial.number)
            if self.busy:
                number = min(self.busy, key=lambda each: (self.busy[each], each))
                self.advance(self.busy[number])
                if not self.state.is_over:
                    self.end_epoch(number)
            else:
                self.advance(self.now + 1)
            self.state.tick(cut=True)

    def advance(self, to: float) -> None:
        """Let the clock go on, with the ticks of a driver on the way."""
        while self.now + 1 < to and not self.state.is_over:
            self.now += 1
            self.state.tick(cut=True)
        if not self.state.is_over:
            self.now = to

    def end_epoch(self, number: int) -> None:
        """A worker reports an epoch, as Tune's callbacks do."""
        trial = self.state.trials[number]
        epoch, target = len(trial.epochs) + 1, self.state.target(number)
        self.course.append((number, epoch))
        pauses = self.state.must_pause(number, epoch, self.seconds(number))
        loss = self.loss(number, epoch)
        self.state.add_epoch(number, asdict(make_epoch(epoch, loss, seconds=self.seconds(number), time=self.now)))
        if epoch == trial.max_epochs:
            self.state.end(number, record.FINISHED)
        elif pauses or epoch == target:
            self.state.wait(number)
        else:
            self.busy[number] = self.now + self.seconds(number)
            return
        del self.busy[number]

    @property
    def trials(self) -> list[TrialRecord]:
        """All of the run, as its log tells them."""
        assert self.folder.read_trials() == self.state.trials
        return list(self.state.trials.values())

    def status(self, status: str) -> list[TrialRecord]:
        """Those that ended so."""
        return [trial for trial in self.trials if trial.status == status]


def test_no_time_is_kept_for_an_evaluation_that_is_not_asked_for(tmp_path: Path) -> None:
    words = ("search.time_budget=170s", "search.scheduler=none", "evaluate.enabled=false")
    machine = Machine(tmp_path, *words, workers=1)
    machine.run()
    assert machine.deadline.kept == 0
    assert [trial.status for trial in machine.trials] == [record.FINISHED] * 2  # of 80 s each


@pytest.mark.parametrize("scheduler", ["asha", "none"])
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("budget", [150, 300, 900])
@pytest.mark.parametrize("uneven", [False, True])
def test_the_search_ends_in_time_with_a_trial_that_finished(
    tmp_path: Path, budget: int, workers: int, scheduler: str, uneven: bool
) -> None:
    seconds = (lambda number: 4.0 + number % 7) if uneven else (lambda number: 7.0)
    words = (f"search.time_budget={budget}s", f"search.scheduler={scheduler}")
    machine = Machine(tmp_path, *words, workers=workers, seconds=seconds)
    assert machine.state.settings.search.num_trials == UNLIMITED
    machine.run()
    assert all(trial.is_final for trial in machine.trials)
    finished = machine.status(record.FINISHED)
    assert finished
    # Time is left to evaluate, and not much more of it than is needed.
    assert machine.now <= budget - machine.deadline.kept / 2
    assert machine.now > budget * 0.4
    assert all(len(trial.epochs) == EPOCHS for trial in finished)
    # Every trial reached its first rung, or was there to be finished.
    assert all(trial.epochs for trial in machine.trials)
    assert is_complete_without_evaluation(machine)


def is_complete_without_evaluation(machine: Machine) -> bool:
    run = machine.folder.read_run()
    run.config["evaluate"]["enabled"] = False
    machine.folder.write_run(run)
    return is_complete(machine.folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_where_no_trial_can_be_finished_the_best_counts_as_finished_where_it_is(tmp_path: Path, workers: int) -> None:
    machine = Machine(tmp_path, "search.time_budget=60s", workers=workers)  # a trial takes 80 s
    machine.run()
    (winner,) = machine.status(record.FINISHED)
    assert 0 < len(winner.epochs) < EPOCHS
    assert winner.reason.startswith("the time budget ended")
    assert winner == record.rank(machine.trials, "val_loss")[0]
    assert machine.now <= 50
    assert all(trial.status == record.STOPPED for trial in machine.trials if trial is not winner)


def test_a_budget_that_no_epoch_fits_into_ends_without_a_winner(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=20s", seconds=lambda number: 100.0)
    machine.run()
    assert machine.now < 20
    assert [trial.status for trial in machine.trials] == [record.STOPPED] * 2


def test_no_trial_begins_that_cannot_be_finished_while_others_can(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=300s")
    begun: dict[int, float] = {}
    add = machine.state._append

    def append(event: str, number: int, **content: object) -> None:
        if event == "suggested":
            begun[number] = machine.now
        add(event, number, **content)

    machine.state._append = append  # type: ignore[method-assign]
    machine.run()
    assert len(begun) == len(machine.trials) > 2
    assert max(begun.values()) + EPOCHS * 10 < 300


def test_one_slow_model_does_not_keep_quick_ones_from_beginning(tmp_path: Path) -> None:
    """A search of ten minutes closed after the first epoch of its second trial, and ended with two trials."""
    words = ("search.time_budget=600s", "search.max_epochs=16", "search.asha.grace_period=4")
    machine = Machine(tmp_path, *words, seconds=lambda number: 27.0 if number == 1 else 14.0)
    machine.run()
    trained = sum(len(trial.epochs) * machine.seconds(trial.number) for trial in machine.trials)
    assert trained > 0.8 * machine.workers * machine.deadline.budget


def test_a_limit_of_trials_holds_beside_the_budget(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=1h", "search.num_trials=5")
    machine.run()
    assert len(machine.trials) == 5
    assert machine.now < 600
    assert not machine.state.ended_by_clock
    assert machine.folder.read_log().clock.closed == {}


def test_time_is_kept_for_confirmations(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=600s", "search.confirm=2")
    machine.run()
    again = [trial for trial in machine.trials if trial.confirms is not None]
    assert [(trial.status, len(trial.epochs)) for trial in again] == [(record.FINISHED, EPOCHS)] * 2
    assert machine.now <= 600 - machine.deadline.kept / 2


def test_confirmations_that_do_not_fit_do_not_begin(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=130s", "search.confirm=2")
    machine.run()
    assert machine.status(record.FINISHED)
    assert all(trial.confirms is None for trial in machine.trials)
    assert set(machine.folder.read_log().clock.closed) == {record.TRIALS, record.CONFIRMATIONS}
    assert any("confirm" in line for line in machine.state.news)
    assert is_complete_without_evaluation(machine)


def test_a_trial_that_becomes_slow_is_cut_off_and_what_finished_wins(tmp_path: Path) -> None:
    slow = {"is": False}
    machine = Machine(tmp_path, "search.time_budget=400s", seconds=lambda number: 1000.0 if slow["is"] else 10.0)
    machine.run(until=30)
    slow["is"] = True
    machine.run()
    assert machine.now < 400
    assert machine.status(record.FINISHED)
    assert all(trial.is_final for trial in machine.trials)


@pytest.mark.parametrize("until", [1, 5, 17, 30, 40])
def test_time_of_earlier_sessions_counts_and_what_was_decided_stays(tmp_path: Path, until: int) -> None:
    machine = Machine(tmp_path, "search.time_budget=400s", "search.confirm=1", workers=1)
    machine.run(until)
    closed = machine.folder.read_log().clock.closed
    spent, machine.now = machine.now, machine.now + 5000.0  # the driver is killed, and resumed much later
    machine.open()
    assert spent - 30 <= machine.deadline.elapsed <= spent
    assert machine.folder.read_log().clock.closed == closed
    begun = len(machine.trials)
    resumed_at = machine.now
    machine.run()
    assert machine.status(record.FINISHED)
    assert machine.now - resumed_at <= 400 - spent + 30
    if record.TRIALS in closed:
        assert all(trial.confirms is not None for trial in machine.trials[begun:])


@pytest.mark.parametrize("until", [5, 17, 25, 30])
def test_a_search_resumed_at_once_decides_as_an_undisturbed_one(tmp_path: Path, until: int) -> None:
    machines = []
    for name in ("undisturbed", "disturbed"):
        words = ("search.time_budget=400s", "search.confirm=1")
        machines.append(Machine(tmp_path / name, *words, workers=1))
    machines[0].run()
    machines[1].run(until)
    machines[1].state.note_time()
    machines[1].open()
    machines[1].run()
    assert machines[1].course == machines[0].course
    ends = [[(t.number, t.status, t.reason, t.confirms) for t in machine.trials] for machine in machines]
    assert ends[1] == ends[0]


def test_a_search_with_all_of_it_that_is_killed_again_and_again_has_the_records_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    """A guess, an earlier run's best and its history, TPE, rungs, confirmations and a time budget."""
    best = EarlierTrial("earlier", 3, {**CNN, "layers": 6})
    known = tuple(EarlierTrial("earlier", n, {**CNN, "dropout": 0.1 + n / 50}, 0.9 - n / 50) for n in range(6))
    words = ("space=cnn2", "search.searcher=tpe", "search.confirm=2", "search.time_budget=600s")
    warm = WarmStart((best,), known)
    undisturbed, killed = (Machine(tmp_path / name, *words, workers=1, warm=warm) for name in ("one", "two"))
    undisturbed.run()
    for until in (1, 6, 17, 30, 41, 50):
        killed.run(until)
        killed.state.note_time()
        killed.open()
    killed.run()
    assert killed.course == undisturbed.course
    records = [
        [replace(trial, suggested=0.0, started=0.0, ended=0.0) for trial in machine.trials]  # by this machine's clock
        for machine in (killed, undisturbed)
    ]
    assert records[0] == records[1]
    assert [trial.parameters["layers"] for trial in killed.trials[:2]] == [5, 6]  # the guess, then the earlier best
    confirmed = [trial for trial in killed.status(record.FINISHED) if trial.confirms is not None]
    assert len(confirmed) == 2
    assert len(killed.trials) > 6  # some by TPE's model, which the history has made ready
    assert killed.now <= 600


def test_a_larger_budget_opens_the_search_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=200s", workers=1)
    machine.run()
    before = len(machine.trials)
    machine.open()
    assert machine.state.is_over
    machine.words += ["search.time_budget=600s"]
    machine.open()
    assert not machine.state.is_over
    machine.run()
    assert len(machine.trials) > before
    assert machine.now > 400


def test_the_clock_goes_on_where_the_log_left_it(tmp_path: Path) -> None:
    now = 100.0
    clock = Clock(lambda: now)
    clock.earlier = 7.0
    now = 103.0
    assert clock.elapsed == 10.0


def test_a_trial_that_was_paused_trains_on_where_there_is_time_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "search.time_budget=900s", "search.scheduler=none", workers=1)
    machine.run(until=3)
    machine.state.wait(0)
    machine.busy.clear()
    again = machine.state.next_trial()
    assert again is machine.state.trials[0]
    assert machine.state.target(0) == EPOCHS
