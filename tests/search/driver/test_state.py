import dataclasses
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from models.counts import ParameterCount
from search import record
from search.driver.faults import Fault
from search.driver.state import SearchState
from search.plan.searcher import StudySearcher, build_searcher
from search.plan.seeds import confirmation_seed, trial_seed
from search.plan.space_file import read_space
from search.plan.spaces import Plan
from search.plan.words import load_settings
from search.record import RunFolder
from search.trial.checkpoint import Checkpoint, write_checkpoint
from tests.conftest import make_epoch
from tests.waiting import LIMIT


def test_memory_and_log_agree_at_every_step(open_state: Callable[..., SearchState]) -> None:
    state = open_state()
    first, second = state.next_trial(), state.next_trial()
    assert first is not None
    assert second is not None
    state.start(0)
    state.add_epoch(0, asdict(make_epoch(1, 0.5)), "host", 7)
    state.add_epoch(0, asdict(make_epoch(1, 0.9)), "host", 7)
    state.fail(1, Fault(record.OWN_FAULT, "killed"))
    state.end(0, record.STOPPED)
    assert state.folder.read_trials() == state.trials
    assert (state.trials[0].status, len(state.trials[0].epochs)) == (record.STOPPED, 1)
    assert (state.trials[0].host, state.trials[0].parameter_count) == ("host", 10)


def test_trials_are_handed_out_once_and_come_to_an_end(open_state: Callable[..., SearchState]) -> None:
    state = open_state()
    assert not state.is_over
    assert [trial.number for trial in iter(state.next_trial, None)] == [0, 1, 2]
    assert not state.is_over  # they have not ended


def test_trials_wait_at_a_rung_until_it_is_seen_who_goes_on(open_state: Callable[..., SearchState]) -> None:
    """Three trials with a rung after epoch 1 of 2, and one in four, at least one, that goes on."""
    state = open_state()
    assert len(list(iter(state.next_trial, None))) == 3
    for number, loss in ((1, 0.5), (2, 0.4)):
        assert state.target(number) == 1
        state.add_epoch(number, asdict(make_epoch(1, loss)))
        state.wait(number)
        assert state.next_trial() is None
    assert state.folder.read_trials() == state.trials
    # The limit is one trial: 1 trains on only if 2, which is better, dies.
    assert [state.trials[number].status for number in range(3)] == [record.WAITING, record.WAITING, record.WAITING]
    assert [state.is_at_rung(state.trials[number]) for number in range(3)] == [False, True, True]
    state.add_epoch(0, asdict(make_epoch(1, 0.6)))
    state.wait(0)
    goes_on = state.next_trial()
    assert goes_on == state.trials[2]
    assert (state.target(2), state.is_over) == (2, False)
    state.add_epoch(2, asdict(make_epoch(2, 0.7)))
    state.end(2, record.FINISHED)
    assert [state.trials[number].status for number in range(2)] == [record.STOPPED, record.STOPPED]
    assert state.is_over
    assert state.folder.read_trials() == state.trials


def test_the_best_trial_and_those_that_ended_are_known_at_every_step(open_state: Callable[..., SearchState]) -> None:
    state = open_state()
    assert (state.best(), state.ended, state.is_over) == (None, [], False)
    for _ in range(3):
        state.next_trial()
    for number, losses in ((2, (0.5, 0.9)), (0, (0.7, 0.5)), (1, (0.4, 0.3))):
        for epoch, loss in enumerate(losses, 1):
            state.add_epoch(number, asdict(make_epoch(epoch, loss)))
            assert state.best() == record.rank(state.trials.values(), "val_loss")[0]
    state.end(2, record.FINISHED)
    state.end(0, record.FAILED, "x")
    assert (state.ended, state.is_over) == ([2, 0], False)
    state.end(1, record.STOPPED)
    assert (state.ended, state.is_over) == ([2, 0, 1], True)
    state.close()
    again = open_state()
    assert (again.ended, again.is_over) == ([0, 1, 2], True)
    assert again.best() == again.trials[1]


def test_a_new_session_hands_out_interrupted_trials_first(open_state: Callable[..., SearchState]) -> None:
    first = open_state()
    for _ in range(2):
        first.next_trial()
    first.end(0, record.FAILED, "x")
    first.close()
    second = open_state()
    second.restore()
    assert [trial.number for trial in iter(second.next_trial, None)] == [1, 2]


def test_a_new_session_knows_who_waits_at_a_rung(open_state: Callable[..., SearchState]) -> None:
    first = open_state()
    assert len(list(iter(first.next_trial, None))) == 3
    for number, loss in ((0, 0.4), (1, 0.5), (2, 0.6)):
        first.add_epoch(number, asdict(make_epoch(1, loss)))
    first.wait(0)  # the driver dies before it writes that the others wait too
    first.close()
    second = open_state()
    second.restore()
    assert [trial.is_final for trial in second.trials.values()] == [False, False, False]
    goes_on = second.next_trial()
    assert goes_on is not None
    assert (goes_on.number, second.target(0), second.next_trial()) == (0, 2, None)


@pytest.mark.parametrize(("epochs", "status"), [(1, record.RUNNING), (2, record.FINISHED)])
def test_epochs_that_were_saved_but_not_logged_are_adopted(
    open_state: Callable[..., SearchState], epochs: int, status: str
) -> None:
    first = open_state()
    first.next_trial()
    first.close()
    history = [make_epoch(n + 1, 0.5) for n in range(epochs)]
    write_checkpoint(first.folder, "0000", Checkpoint([], [], history), is_best=True)
    second = open_state()
    second.restore()
    assert second.trials[0].status == status
    assert second.trials[0].epochs == history
    assert second.folder.read_trials() == second.trials


def end_all(state: SearchState, stop_after: tuple[int, int] | None = None) -> list[int]:
    """Train one trial at a time, epoch by epoch, until the search is over or nothing is handed out; their numbers."""
    handed = []
    while (trial := state.next_trial()) is not None:
        handed.append(trial.number)
        for epoch in range(len(trial.epochs) + 1, state.target(trial.number) + 1):
            state.add_epoch(trial.number, asdict(make_epoch(epoch, 1.0 / (1 + trial.number))))
            if stop_after == (trial.number, epoch):
                return handed
        if len(state.trials[trial.number].epochs) < trial.max_epochs:
            state.wait(trial.number)
        else:
            state.end(trial.number, record.FINISHED)
    return handed


def test_a_search_resumed_with_fewer_trials_than_it_has_comes_to_an_end(
    open_state: Callable[..., SearchState],
) -> None:
    first = open_state(num_trials=5)
    for number in range(5):
        assert first.next_trial() is not None
        first.add_epoch(number, asdict(make_epoch(1, 0.5)))
    second = open_state(num_trials=3)
    second.restore()
    assert second.num_trials == 5
    end_all(second)
    assert second.is_over


def test_a_trial_whose_line_is_lost_is_not_waited_for(open_state: Callable[..., SearchState]) -> None:
    first = open_state()
    assert len(list(iter(first.next_trial, None))) == 3
    first.close()
    (log,) = first.folder.names("log")
    lines = first.folder.read("log", log).splitlines(keepends=True)
    first.folder.write(b"".join(line for line in lines if json.loads(line)["trial"] != 1), "log", log)
    second = open_state()
    second.restore()
    assert second.num_trials == 2
    end_all(second)
    assert second.is_over
    assert sorted(second.trials) == [0, 2]


def open_bucket(name: str) -> SearchState:
    settings = load_settings(["space=plain2", "search.num_trials=3", "search.max_epochs=2"])
    searcher = build_searcher(read_space(settings), settings)
    return SearchState(RunFolder(f"memory://state/{name}"), searcher, settings, lambda model: ParameterCount(10, 9))


def test_a_suggestion_is_stored_in_a_bucket_without_waiting_for_more_events(monkeypatch: pytest.MonkeyPatch) -> None:
    state, written = open_bucket("suggested"), threading.Event()
    write = state.folder.write
    monkeypatch.setattr(state.folder, "write", lambda *given: (write(*given), written.set()))
    state.next_trial()
    assert written.wait(LIMIT)
    assert list(state.folder.read_trials()) == [0]  # though the log was not closed
    state.close()


def test_the_loop_of_a_search_waits_for_no_request_to_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    state, asking, reach = open_bucket("loop"), list[threading.Thread](), RunFolder.reach
    note = asking.append
    monkeypatch.setattr(RunFolder, "reach", lambda *given: (note(threading.current_thread()), reach(*given))[1])
    end_all(state)
    assert state.is_over
    assert threading.current_thread() not in asking
    state.close()
    assert asking
    assert {trial.status for trial in state.folder.read_trials().values()} <= set(record.FINAL)


def test_a_trial_whose_suggestion_was_lost_leaves_no_weights_to_another(
    open_state: Callable[..., SearchState],
) -> None:
    first = open_state()
    first.next_trial()
    first.close()
    for name in ("0000", "0001"):  # the driver was killed before the suggestion of trial 1 was stored
        write_checkpoint(first.folder, name, Checkpoint([], [], [make_epoch(1, 0.5)]), is_best=True)
    second = open_state()
    second.restore()
    assert second.folder.names("trials", "0001")  # until another gets the number
    end_all(second)
    assert [len(trial.epochs) for trial in second.trials.values()] == [1, 1, 2]
    assert second.folder.names("trials") == ["0000", "0001"]
    assert (second.folder.names("trials", "0000"), second.folder.names("trials", "0001")) == (["best.npz"], [])


@pytest.mark.parametrize("is_bucket", [False, True])
def test_an_ended_trial_keeps_its_best_weights_and_a_finished_one_its_last(
    open_state: Callable[..., SearchState], is_bucket: bool
) -> None:
    state = open_bucket("ended") if is_bucket else open_state()
    for number, status in enumerate((record.FINISHED, record.STOPPED, record.FAILED)):
        state.next_trial()
        for epochs in (1, 2):
            history = [make_epoch(epoch + 1, 0.5) for epoch in range(epochs)]
            write_checkpoint(state.folder, f"{number:04d}", Checkpoint([], [], history), is_best=epochs == 1)
        state.end(number, status)
    state.close()
    assert state.folder.names("trials", "0000") == ["best.npz", "epoch-0002.npz"]
    assert state.folder.names("trials", "0001") == state.folder.names("trials", "0002") == ["best.npz"]


def test_no_checkpoint_of_a_trial_that_waits_is_read(
    open_state: Callable[..., SearchState], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_state()
    for number, saved in ((0, 1), (1, 2), (2, 1)):  # trial 1 has trained on since its last epoch in the log
        first.next_trial()
        first.add_epoch(number, asdict(make_epoch(1, 0.5)))
        first.wait(number)
        history = [make_epoch(epoch + 1, 0.5) for epoch in range(saved)]
        write_checkpoint(first.folder, f"{number:04d}", Checkpoint([], [], history), is_best=True)
    first.close()
    second, read = open_state(), []
    monkeypatch.setattr(
        second.folder, "read", lambda *parts: (read.append(parts), RunFolder.read(first.folder, *parts))[1]
    )
    second.restore()
    assert read == [("trials", "0001", "epoch-0002.npz")]
    assert len(second.trials[1].epochs) == 2


def test_listed_configurations_share_the_seeds_of_their_repeats() -> None:
    row = Plan({}, 1, row="table1/1", repeat=1, listed=True)
    assert trial_seed(0, 3, row) == trial_seed(0, 8, dataclasses.replace(row, row="table1/2"))
    assert trial_seed(0, 3, row) != trial_seed(0, 3, dataclasses.replace(row, repeat=2))
    seeds = {trial_seed(0, number, Plan({}, 1)) for number in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)


CONFIRM = ("search.confirm=2", "search.asha.reduction_factor=2", "search.asha.grace_period=1")


def course(state: SearchState) -> list[tuple[int, int | None, str, int, int]]:
    return [(t.number, t.confirms, t.status, t.seed, len(t.epochs)) for t in state.trials.values()]


def test_the_best_are_trained_again_when_all_others_have_ended(
    open_state: Callable[..., SearchState], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    tell = StudySearcher.tell
    monkeypatch.setattr(StudySearcher, "tell", lambda own, trial: (told.append(trial.number), tell(own, trial)))
    state = open_state(5, *CONFIRM)
    end_all(state)
    assert state.is_over
    own, again = list(state.trials.values())[:5], list(state.trials.values())[5:]
    assert [trial.confirms for trial in own] == [None] * 5
    assert [trial.confirms for trial in again] == [4, 3]  # the best first
    for trial in again:
        assert trial.confirms is not None
        first = state.trials[trial.confirms]
        assert (trial.parameters, trial.max_epochs, trial.repeat) == (first.parameters, first.max_epochs, 1)
        assert trial.seed == confirmation_seed(0, first.number) != first.seed
        assert len(trial.epochs) == 2  # past the rung without waiting at it
    assert set(told) == set(range(5))
    assert state.num_trials == 7
    assert state.folder.read_trials() == state.trials


@pytest.mark.parametrize("stop_after", [(4, 1), (3, 2), (5, 1), (5, 2), (6, 1), (6, 2)])
def test_a_search_interrupted_at_any_point_confirms_what_an_undisturbed_one_does(
    open_state: Callable[..., SearchState], tmp_path: Path, stop_after: tuple[int, int]
) -> None:
    settings = load_settings(["space=plain2", "search.num_trials=5", "search.max_epochs=2", *CONFIRM])
    folder, searcher = RunFolder(str(tmp_path / "undisturbed")), build_searcher(read_space(settings), settings)
    undisturbed = SearchState(folder, searcher, settings, lambda model: ParameterCount(10, 9))
    end_all(undisturbed)
    undisturbed.close()
    state = open_state(5, *CONFIRM)
    end_all(state, stop_after)
    assert not state.is_over
    state.close()
    write_checkpoint(state.folder, f"{stop_after[0]:04d}", Checkpoint([], [], state.trials[stop_after[0]].epochs), True)
    again = open_state(5, *CONFIRM)
    again.restore()
    end_all(again)
    assert again.is_over
    assert course(again) == course(undisturbed)
    assert again.folder.read_trials() == again.trials


def test_a_resumed_search_may_confirm_later_and_then_search_on(open_state: Callable[..., SearchState]) -> None:
    first = open_state(3, *CONFIRM[1:])
    end_all(first)
    assert first.is_over
    second = open_state(3, "search.confirm=1", *CONFIRM[1:])
    assert not second.is_over
    second.restore()
    assert end_all(second) == [3]
    third = open_state(5, "search.confirm=1", *CONFIRM[1:])
    third.restore()
    end_all(third)
    assert third.is_over
    # The searcher numbers its own: trials 4 and 5 are its fourth and fifth, as without a confirmation.
    assert third.trials[4].seed == trial_seed(0, 3, Plan({}, 2))
    assert [trial.confirms for trial in third.trials.values()] == [None, None, None, 2, None, None, 5]


def test_listed_configurations_are_confirmed_as_their_next_repeat(tmp_path: Path) -> None:
    words = ["space=report2", "search.repeats=2", "search.scheduler=none", "search.confirm=1", "search.max_epochs=1"]
    settings = load_settings(words)
    searcher = build_searcher(read_space(settings), settings)
    state = SearchState(RunFolder(str(tmp_path)), searcher, settings, lambda model: ParameterCount(10, 9))
    end_all(state)
    *own, last = state.trials.values()
    state.close()
    assert len(own) == searcher.num_trials
    assert last.confirms is not None
    first = state.trials[last.confirms]
    assert (last.repeat, last.row, first.repeat) == (2, first.row, 0)
    assert last.seed not in {trial.seed for trial in own}


def test_nothing_is_confirmed_where_nothing_finished(open_state: Callable[..., SearchState]) -> None:
    state = open_state(2, *CONFIRM)
    for _ in range(2):
        trial = state.next_trial()
        assert trial is not None
        state.end(trial.number, record.DIVERGED, "x")
    assert state.next_trial() is None
    assert state.is_over


def test_confirmations_have_seeds_of_their_own() -> None:
    again = {confirmation_seed(0, number) for number in range(100)}
    own = {trial_seed(0, number, Plan({}, 1, repeat=repeat)) for number in range(100) for repeat in range(3)}
    listed = {trial_seed(0, 0, Plan({}, 1, repeat=repeat, listed=True)) for repeat in range(3)}
    assert len(again) == 100
    assert not again & (own | listed)
