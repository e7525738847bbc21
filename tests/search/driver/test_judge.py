"""What a time budget ends, of trials whose epochs take 10 seconds each, on a clock that stands where a test puts it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from search.driver.deadline import Clock, Deadline
from search.driver.judge import Close, End, Standing, can_finish_one, cut_off, decide, has_time, must_pause
from search.plan.settings import SearchSettings
from search.plan.words import load_settings
from search.record import CONFIRMATIONS, FINISHED, RUNNING, STOPPED, TRIALS, WAITING, TrialRecord
from tests.conftest import make_epoch

EPOCHS = 8
BUDGET = 1000.0


def make_trial(number: int, epochs: int, status: str = WAITING, confirms: int | None = None) -> TrialRecord:
    """A trial whose later numbers have the lower loss."""
    done = [make_epoch(n, 1 / (1 + number), seconds=10.0, time=10.0 * n) for n in range(1, epochs + 1)]
    return TrialRecord(number, {}, 0, EPOCHS, status=status, epochs=done, confirms=confirms)


def make_deadline(trials: Sequence[TrialRecord], left: float, confirm: int = 0) -> Deadline:
    """A deadline with so many seconds left to trials."""
    words = ["space=plain2", f"search.max_epochs={EPOCHS}", f"search.time_budget={BUDGET}s", "search.metric=val_loss"]
    search: SearchSettings = load_settings([*words, f"search.confirm={confirm}"]).search
    clock = Clock(lambda: 0.0)
    deadline = Deadline(search, clock, trials)
    clock.earlier = deadline.left(confirming=True) - left
    return deadline


def stand(*trials: TrialRecord, to_come: int = 0) -> Standing:
    return Standing(trials, to_come, first_target=1)


def numbers(decisions: Sequence[Close | End]) -> list[tuple[int, str]]:
    return [(each.trial.number, each.status) for each in decisions if isinstance(each, End)]


@pytest.mark.parametrize(("left", "closes"), [(89.0, False), (87.0, True)])
def test_no_trial_begins_without_the_time_to_finish_it_and_a_margin(left: float, closes: bool) -> None:
    trials = [make_trial(0, EPOCHS, FINISHED)]
    decisions = decide(make_deadline(trials, left), stand(*trials, to_come=5), None)
    assert [each.what for each in decisions if isinstance(each, Close)] == [TRIALS] * closes
    assert len(decisions) == closes


def test_where_none_can_be_finished_a_trial_may_begin_that_reaches_its_first_rung() -> None:
    trials = [make_trial(0, 2)]
    assert decide(make_deadline(trials, 12.0), stand(*trials, to_come=5), None) == []
    assert len(decide(make_deadline(trials, 10.0), stand(*trials, to_come=5), None)) == 1


def test_a_resting_trial_that_cannot_be_finished_ends_and_one_that_trains_does_not() -> None:
    done, near, far, training = make_trial(0, EPOCHS, FINISHED), make_trial(1, 6), make_trial(2, 2), make_trial(3, 2)
    deadline = make_deadline([done, near, far, training], 35.0)
    deadline.begin(training.number)
    standing = stand(done, near, far, training)
    assert has_time(deadline, standing, near)
    assert not has_time(deadline, standing, far)
    assert numbers(decide(deadline, standing, None)) == [(far.number, STOPPED)]


def test_where_none_can_be_finished_a_trial_trains_on_while_there_is_time_for_an_epoch() -> None:
    trials = [make_trial(0, 2), make_trial(1, 3)]
    deadline = make_deadline(trials, 15.0)
    assert not can_finish_one(deadline, stand(*trials))
    assert all(has_time(deadline, stand(*trials), trial) for trial in trials)
    assert decide(deadline, stand(*trials), None) == []


def test_where_none_can_be_finished_any_more_the_best_counts_as_finished_and_ends_first() -> None:
    trials = [make_trial(0, 2), make_trial(1, 3)]
    assert numbers(decide(make_deadline(trials, 5.0), stand(*trials), None)) == [(1, FINISHED), (0, STOPPED)]


def test_a_trial_pauses_unless_the_rest_of_its_epochs_fit() -> None:
    done, training = make_trial(0, EPOCHS, FINISHED), make_trial(1, 4, RUNNING)
    enough, little = (make_deadline([done, training], left) for left in (30.0, -20.0))
    assert not must_pause(enough, stand(done, training), training, 5, 10.0)
    assert must_pause(little, stand(done, training), training, 5, 10.0)


def test_a_trial_is_not_paused_by_its_first_epoch_alone_while_another_fits() -> None:
    """Of its seconds nobody knows yet how many were tracing."""
    other, training = make_trial(0, 4, RUNNING), make_trial(1, 0, RUNNING)
    enough, little = (make_deadline([other, training], left) for left in (40.0, -600.0))
    assert not must_pause(enough, stand(other, training), training, 1, 40.0)
    one = replace(training, epochs=make_trial(1, 1).epochs)
    assert must_pause(enough, stand(other, one), one, 2, 40.0)
    assert must_pause(little, stand(other, training), training, 1, 40.0)


def test_a_confirmation_that_does_not_fit_is_not_begun() -> None:
    done = make_trial(0, EPOCHS, FINISHED)
    assert decide(make_deadline([done], 81.0, confirm=1), stand(done), done) == []
    (closed,) = decide(make_deadline([done], 79.0, confirm=1), stand(done), done)
    assert closed == Close(CONFIRMATIONS, "there is no time left to confirm trial 0000")


def test_the_end_closes_everything_and_ends_what_trains_and_confirms() -> None:
    done, open_one = make_trial(0, EPOCHS, FINISHED), make_trial(1, 2, RUNNING)
    again = replace(make_trial(2, 2, RUNNING), confirms=0)
    decisions = cut_off(make_deadline([done, open_one, again], 0.0), stand(again, done, open_one))
    assert [each.what for each in decisions if isinstance(each, Close)] == [TRIALS, CONFIRMATIONS]
    assert numbers(decisions) == [(1, STOPPED), (2, STOPPED)]
