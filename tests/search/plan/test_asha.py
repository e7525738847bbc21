import copy
import functools
import random
from collections.abc import Callable

import pytest

from search import record
from search.plan.asha import Asha, halving_epochs, search_rungs
from search.plan.settings import SearchSettings
from search.plan.words import load_settings
from search.record import TrialRecord
from tests.conftest import make_epoch

MAX_EPOCHS = 9


class Simulation:
    """Workers that train trials with given scores as ASHA has it, None for a loss that is no number.

    `interrupt` is what a resume leaves of it.
    """

    def __init__(
        self, loss: Callable[[int, int], float | None], search: SearchSettings, workers: int, number: int
    ) -> None:
        self.loss, self.search, self.workers, self.number = loss, search, workers, number
        self.asha = Asha(search, number)
        self.trials: dict[int, TrialRecord] = {}
        self.working: list[int] = []
        self.interrupted: list[int] = []
        self.course: list[tuple[int, int]] = []  # trial and epoch, in the order of training

    def take(self) -> int | None:
        if self.interrupted:
            return self.interrupted.pop(0)
        promoted = self.asha.promote()
        if promoted is None and len(self.trials) < self.number:
            promoted = len(self.trials)
            self.trials[promoted] = TrialRecord(promoted, {}, 0, self.search.max_epochs)
            self.asha.place(self.trials[promoted])
        return promoted

    def step(self, worker: int) -> None:
        """One epoch of a worker's trial."""
        number = self.working[worker]
        trial = self.trials[number]
        target = self.asha.target(trial)
        epoch = len(trial.epochs) + 1
        loss = self.loss(number, epoch)
        trial.epochs.append(make_epoch(epoch, loss))
        self.course.append((number, epoch))
        if loss is not None and epoch < target:
            return
        del self.working[worker]
        if loss is None:
            trial.status = record.DIVERGED
        elif epoch == trial.max_epochs:
            trial.status = record.FINISHED
        self.asha.place(trial)
        for dropped in self.asha.drop():
            self.trials[dropped].status = record.STOPPED

    def fill(self) -> bool:
        """Give every free worker a trial; whether any works."""
        while len(self.working) < self.workers and (number := self.take()) is not None:
            self.working.append(number)
        return bool(self.working)

    def interrupt(self) -> None:
        """Lose all but the trials themselves."""
        self.asha, self.working = Asha(self.search, self.number), []
        for trial in self.trials.values():
            self.asha.place(trial)
        alive = [trial for trial in self.trials.values() if not trial.is_final]
        self.interrupted = [t.number for t in alive if self.asha.judged_epochs(t) < max(1, len(t.epochs))]


@functools.cache
def settings(factor: float = 3, grace: int = 1, epochs: int = MAX_EPOCHS) -> SearchSettings:
    words = [f"search.asha.reduction_factor={factor}", f"search.asha.grace_period={grace}"]
    return load_settings(["space=plain2", f"search.max_epochs={epochs}", *words]).search


def losses(seed: int) -> Callable[[int, int], float]:
    """Random losses that fall with the epochs, the same for the same seed, trial and epoch."""
    return lambda number, epoch: random.Random(f"{seed} {number} {epoch}").random() / epoch


@pytest.mark.parametrize(
    ("epochs", "factor", "grace", "expected"),
    [
        (10, 4, 1, (1, 4)),
        (9, 3, 1, (1, 3)),
        (10, 3, 2, (2, 6)),
        (1, 4, 1, ()),
        (4, 4, 1, (1,)),
        (3, 4, 3, ()),
        (4, 1.5, 1, (1, 2, 3)),
    ],
)
def test_rungs_lie_below_the_last_epoch(epochs: int, factor: float, grace: int, expected: tuple[int, ...]) -> None:
    assert search_rungs(settings(factor, grace, epochs)) == expected


@pytest.mark.parametrize("seed", range(30))
def test_every_search_ends_with_the_best_of_every_rung_trained_further(seed: int) -> None:
    draw = random.Random(seed)
    search = settings(draw.choice([1.5, 2, 3, 4]), draw.choice([1, 2]), draw.choice([4, 9, 10, 27]))
    simulation = Simulation(losses(seed), search, draw.choice([1, 2, 5, 40]), draw.choice([1, 2, 3, 7, 16, 50]))
    while simulation.fill():
        simulation.step(draw.randrange(len(simulation.working)))
    trials = list(simulation.trials.values())
    assert len(trials) == simulation.number
    assert all(trial.is_final for trial in trials)
    assert any(trial.status == record.FINISHED for trial in trials)
    for rung in search_rungs(search):
        came = [trial for trial in trials if len(trial.epochs) >= rung]
        came.sort(key=lambda trial: min(epoch.val_loss for epoch in trial.epochs[:rung]))
        best = came[: max(1, int(len(came) // search.asha.reduction_factor))]
        assert all(len(trial.epochs) > rung for trial in best)
    for trial in trials:
        assert (len(trial.epochs) == search.max_epochs) == (trial.status == record.FINISHED)
        assert len(trial.epochs) in (*search_rungs(search), search.max_epochs)


def test_with_losses_that_do_not_mislead_asha_trains_what_successive_halving_does() -> None:
    search = settings()
    simulation = Simulation(lambda number, epoch: float(number), search, 1, 27)  # every trial worse than those before
    while simulation.fill():
        simulation.step(0)
    assert len(simulation.course) == halving_epochs(27, search) == 27 + 9 * 2 + 3 * 6
    assert [len(simulation.trials[number].epochs) for number in (0, 2, 3, 8, 9, 26)] == [9, 9, 3, 3, 1, 1]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_first_to_come_do_not_go_on_unjudged(workers: int) -> None:
    simulation = Simulation(lambda number, epoch: 1 / (1 + number), settings(), workers, 9)  # each better than the last
    while simulation.fill():
        simulation.step(0)
    assert len(simulation.trials[0].epochs) == 1
    assert simulation.trials[8].status == record.FINISHED


def run_both(undisturbed: Simulation, disturbed: Simulation, seed: int) -> None:
    """Run two searches of one worker to their ends, the second with interruptions."""
    draw = random.Random(seed)
    while undisturbed.fill():
        undisturbed.step(0)
    while disturbed.fill():
        disturbed.step(0)
        if draw.random() < 0.3:
            disturbed.interrupt()
            for number in disturbed.asha.drop():
                disturbed.trials[number].status = record.STOPPED


@pytest.mark.parametrize("seed", range(10))
def test_an_interrupted_search_goes_on_as_an_undisturbed_one(seed: int) -> None:
    undisturbed, disturbed = (Simulation(losses(seed), settings(), 1, 20) for _ in range(2))
    run_both(undisturbed, disturbed, seed)
    assert disturbed.course == undisturbed.course
    assert {n: t.status for n, t in disturbed.trials.items()} == {n: t.status for n, t in undisturbed.trials.items()}


def test_trials_that_end_before_a_rung_leave_it_to_the_others() -> None:
    """Seven of nine diverge in their first epoch: the better one of the others trains to its end all the same."""
    asha, trials = Asha(settings(), 9), [TrialRecord(number, {}, 0, MAX_EPOCHS) for number in range(9)]
    for trial in trials:
        asha.place(trial)
    for trial in trials[:7]:
        trial.status = record.DIVERGED
        asha.place(trial)
    for trial, loss in zip(trials[7:], (0.5, 0.4), strict=True):
        assert asha.promote() is None
        assert asha.drop() == []
        trial.epochs.append(make_epoch(1, loss))
        asha.place(trial)
    assert asha.drop() == []  # in reserve, until a trial has finished
    assert asha.promote() == 8
    assert asha.target(trials[8]) == 3
    trials[8].epochs += [make_epoch(epoch, 0.3) for epoch in range(2, MAX_EPOCHS + 1)]
    trials[8].status = record.FINISHED
    asha.place(trials[8])
    assert asha.drop() == [7]


def diverging(seed: int, chance: float) -> Callable[[int, int], float | None]:
    """As `losses`, with a chance at each epoch that the loss is no number; trial 3 is spared and the worst of all."""

    def loss(number: int, epoch: int) -> float | None:
        draw = random.Random(f"{seed} {number} {epoch}")
        if number == 3:
            return 2.0 + draw.random()
        return None if draw.random() < chance else draw.random() / epoch

    return loss


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("chance", [0.01, 0.2, 0.6])
def test_no_search_ends_without_a_winner(chance: float, workers: int) -> None:
    for seed in range(15):
        simulation, draw = Simulation(diverging(seed, chance), settings(4), workers, 16), random.Random(seed)
        while simulation.fill():
            simulation.step(draw.randrange(len(simulation.working)))
        trials = list(simulation.trials.values())
        assert len(trials) == 16
        assert all(trial.is_final for trial in trials)
        assert any(trial.status == record.FINISHED for trial in trials)


@pytest.mark.parametrize("seed", range(10))
def test_an_interrupted_search_promotes_the_same_reserves(seed: int) -> None:
    undisturbed, disturbed = (Simulation(diverging(seed, 0.2), settings(), 1, 20) for _ in range(2))
    run_both(undisturbed, disturbed, seed)
    assert disturbed.course == undisturbed.course


def test_a_trial_that_dies_leaves_its_rank_to_the_next_best() -> None:
    asha, trials = Asha(settings(3), 6), [TrialRecord(number, {}, 0, MAX_EPOCHS) for number in range(6)]
    for trial in trials:
        asha.place(trial)
    for trial in trials:
        trial.epochs.append(make_epoch(1, 0.1 * (1 + trial.number)))
        asha.place(trial)
        asha.drop()
    assert [asha.promote(), asha.promote(), asha.promote()] == [0, 1, None]  # 2 of 6
    trials[0].epochs.append(make_epoch(2, None))
    trials[0].status = record.DIVERGED
    asha.place(trials[0])
    assert asha.drop() == []
    assert [asha.promote(), asha.promote()] == [2, None]


def test_a_search_that_begins_no_more_trials_promotes_at_least_one_and_then_who_is_best() -> None:
    asha, trials = Asha(settings(3), 100), [TrialRecord(number, {}, 0, MAX_EPOCHS) for number in range(2)]
    for trial in trials:
        asha.place(trial)
    for trial in trials:
        trial.epochs.append(make_epoch(1, 0.1 * (2 - trial.number)))
        asha.place(trial)
        asha.drop()
    assert asha.promote() is None  # 98 trials may still come
    asha.close()
    assert (asha.promote(), asha.promote()) == (1, None)
    assert (asha.hasten(), asha.hasten()) == (0, None)


def test_the_highest_rung_is_hastened_first_also_from_its_reserve() -> None:
    asha, trials = Asha(settings(3), 3), [TrialRecord(number, {}, 0, MAX_EPOCHS) for number in range(3)]
    for trial in trials:
        asha.place(trial)
    for trial, losses in zip(trials, ([0.5], [0.4], [0.9, 0.9, 0.9]), strict=True):
        trial.epochs += [make_epoch(epoch, loss) for epoch, loss in enumerate(losses, 1)]
        asha.place(trial)
        assert asha.drop() == []
    assert [asha.hasten() for _ in range(4)] == [2, 1, 0, None]
    assert asha.target(trials[2]) == MAX_EPOCHS


def test_a_higher_score_is_better_where_the_metric_says_so_and_none_is_worst() -> None:
    search = copy.deepcopy(settings())
    search.metric = "val_auc"
    asha = Asha(search, 3)
    for number, value in enumerate((0.5, 0.9, None)):
        trial = TrialRecord(number, {}, 0, MAX_EPOCHS)
        asha.place(trial)
        trial.epochs.append(make_epoch(1, 0.5, val_auc=value))
        asha.place(trial)
    assert asha.drop() == []
    assert (asha.promote(), asha.promote()) == (1, None)


def test_successive_halving() -> None:
    # 9 trials to epoch 1, 3 of them to epoch 3, 1 to epoch 9.
    assert halving_epochs(9, settings()) == 9 * 1 + 3 * 2 + 1 * 6


def test_a_trial_without_a_score_ranks_before_one_that_died() -> None:
    asha, trials = Asha(settings(4), 2), [TrialRecord(number, {}, 0, MAX_EPOCHS) for number in range(2)]
    for trial in trials:
        asha.place(trial)
    for trial in trials:
        trial.epochs.append(make_epoch(1, None))
        asha.place(trial)
    assert asha.promote() == 0
    trials[0].status = record.DIVERGED
    asha.place(trials[0])
    assert asha.drop() == []
    assert asha.promote() == 1
