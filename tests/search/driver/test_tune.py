import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.search import Searcher as TuneSearcher

from benchmarks.no_op_trial import NoOpTrial
from data_pipeline.dataset import Dataset
from models.counts import ParameterCount
from search import record
from search.driver import tune as driver
from search.driver.bad_hosts import BadHosts
from search.driver.deadline import Clock
from search.driver.faults import LOST_HOST
from search.driver.session import Session, open_session
from search.driver.state import SearchState
from search.driver.tune import run_search, tune_config
from search.plan.lengths import with_lengths
from search.plan.searcher import build_searcher
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import RunFolder, TrialRecord
from tests.conftest import make_epoch


@pytest.fixture(scope="module")
def session(small_dataset: Dataset) -> Iterator[Session]:
    """Of searches of the space plain2."""
    settings = load_settings(["space=plain2", "data.size=32"])
    with open_session(settings, read_space(settings), small_dataset) as opened:
        yield opened


def test_a_process_reads_back_the_trial_that_was_suggested() -> None:
    trial = TrialRecord(7, {"backbone": "cnn", "dense": [16, 8], "dropout": 0.1}, 3, 9, row="table2/6", retries=1)
    trial.epochs.append(make_epoch(1, 0.5))
    config = tune_config(trial, 4)
    trial.epochs.clear()
    assert (config["number"], config["trained"], config["target"]) == (7, 1, 4)
    assert TrialRecord(**json.loads(config["trial"])) == trial


def test_tune_keeps_little_of_a_trial_and_is_left_when_the_last_one_has_ended(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of each trial and done for each at the end is what makes a long search slow and large."""
    kept: list[Any] = []

    class Watching(driver.Recorder):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            super().on_trial_complete(iteration, trials, trial, **info)
            kept.append(trial)

    def sum_up(*arguments: Any, **more: Any) -> None:
        raise AssertionError("Tune sums up a search whose trials are all in the log.")

    monkeypatch.setattr(driver, "Recorder", Watching)
    monkeypatch.setattr("ray.tune.tune.ExperimentAnalysis", sum_up)
    words = ["space=plain2", "search.num_trials=5", "search.max_epochs=3", "search.searcher=random"]
    settings = load_settings([*words, "search.scheduler=none", "data.size=32"])
    private, left = tmp_path / "private", tmp_path / "run" / "tune"
    private.write_text("mine")
    left.mkdir(parents=True)
    (left / "tuner.pkl").symlink_to(private)  # as a stranger's run may have it: Tune writes through a link
    session = replace(session, settings=replace(settings, train=session.settings.train))
    searcher = build_searcher(session.space, settings)
    state = SearchState(RunFolder(f"{tmp_path}/run"), searcher, settings, lambda model: ParameterCount(1, 1))
    run_search(session, state, trainable=NoOpTrial)
    state.close()
    assert (private.read_text(), left.exists()) == ("mine", False)
    assert [(trial.status, len(trial.epochs)) for trial in state.trials.values()] == [(record.FINISHED, 3)] * 5
    assert state.folder.read_trials() == state.trials
    assert len(kept) == 5
    for trial in kept:
        assert set(trial.last_result) <= {"trial_id", "done", "status", "reason", "experiment_tag"}
        assert (trial.metric_analysis, trial.metric_n_steps) == ({}, {})


def test_a_search_under_a_time_budget_ends_by_its_clock(tmp_path: Path, session: Session) -> None:
    """The clock is played: it goes on by five seconds with every epoch that the driver records."""
    words = ["space=plain2", "search.time_budget=120s", "search.max_epochs=4", "search.searcher=random"]
    settings = load_settings([*words, "search.confirm=1", "search.metric=val_loss", "data.size=32"])
    settings = with_lengths(settings, 100, 10)[0]
    epochs = [0]
    session = replace(session, settings=replace(settings, train=session.settings.train))
    searcher = build_searcher(session.space, settings)
    clock = Clock(lambda: 5.0 * epochs[0], session.resources.at_a_time)
    state = SearchState(RunFolder(str(tmp_path)), searcher, settings, lambda model: ParameterCount(1, 1), clock)
    state.restore()
    add_epoch = state.add_epoch

    def add_slow_epoch(number: int, metrics: dict[str, Any], host: str = "", process: int = 0) -> None:
        epochs[0] += 1
        add_epoch(number, {**metrics, "seconds": 5.0}, host, process)

    state.add_epoch = add_slow_epoch  # type: ignore[method-assign]
    run_search(session, state, trainable=NoOpTrial)
    state.close()
    trials = list(state.folder.read_trials().values())
    assert state.ended_by_clock
    assert 5.0 * epochs[0] < 120
    assert all(trial.is_final for trial in trials)
    assert any(trial.status == record.FINISHED and trial.confirms is None for trial in trials)
    assert len(trials) > session.resources.at_a_time


def test_hosts_that_join_later_make_room_for_more_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(TuneSearcher):
        def suggest(self, trial_id: str) -> dict[str, str]:
            return {"trial": trial_id}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            pass

    said: list[str] = []
    room = {"is": 2}
    limit = driver.GrowingLimit(Counting(), 2, lambda: room["is"], said.append)

    def suggested(number: int) -> bool:
        return limit.suggest(f"trial {number}") is not None

    assert [suggested(number) for number in range(3)] == [True, True, False]
    room["is"] = 3
    assert not suggested(3)  # it looks again only after a while
    monkeypatch.setattr(driver.time, "monotonic", lambda: float("inf"))
    assert [suggested(number) for number in (4, 5)] == [True, False]
    assert said == ["hosts have joined: room for 3 trials at a time"]
    room["is"] = 1  # a lost host comes again, or its trials wait
    limit.on_trial_complete("trial 4")
    assert suggested(6)


def recorder_of(state: SearchState, hosts: BadHosts) -> driver.Recorder:
    watch = driver.WorkerWatch(driver.Patience("a host", state.news.append, list))
    return driver.Recorder(state, hosts, lambda: None, watch)


@pytest.mark.parametrize("node", [("worker-3", "a"), None])
def test_a_process_that_does_not_start_is_its_hosts_fault(
    node: tuple[str, str] | None, open_state: Callable[..., SearchState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host without this project, say. Where Ray does not say which, the search stops after some tries."""
    state = open_state(1, "search.max_failures=0")
    hosts = BadHosts(lambda: {"a", "b"})
    recorder = recorder_of(state, hosts)
    fault = driver.Fault(driver.BAD_HOST, "its process did not start: no module", "10.0.0.3")
    monkeypatch.setattr(driver, "fault_of", lambda error: fault)
    monkeypatch.setattr(driver, "node_at", lambda address: node)
    stretch: Any = SimpleNamespace(config={"number": state.next_trial().number}, pickled_error_file=None)
    stretch.metric_analysis = stretch.metric_n_steps = {}
    for _ in range(driver.MOST_FAULTS):
        recorder.on_trial_error(1, [stretch], stretch)
    (trial,) = state.trials.values()
    assert (trial.status, trial.failures, trial.retries) == (record.WAITING, 0, driver.MOST_FAULTS)
    if node is None:
        monkeypatch.setattr(driver, "_MOST_IN_VAIN", driver.MOST_FAULTS)
        with pytest.raises(driver.StorageError, match=r"could not go on 4 times in a row, .* no module"):
            recorder.on_trial_error(1, [stretch], stretch)
    else:
        assert hosts.excluded == {"a"}
        assert "host worker-3 is no longer used" in state.news[-1]


def test_a_trial_does_not_wait_for_ever_for_a_host_that_was_lost(open_state: Callable[..., SearchState]) -> None:
    """It avoids the host that stopped it; the other one is lost before it has room."""
    state, usable = open_state(1), {"a", "b"}
    hosts = BadHosts(lambda: usable)
    queue, ends = driver.TrialQueue(state, hosts), driver.EarlyEnds(state, hosts)
    recorder = recorder_of(state, hosts)
    number = queue.suggest("first")["number"]
    hosts.note_fault(number, "a")
    state.fail(number, driver.Fault(driver.BAD_HOST, "no mount"))
    stretch = SimpleNamespace(config=queue.suggest("second"), status=Trial.PENDING, last_result={})
    stretch.metric_analysis = stretch.metric_n_steps = {}
    stopped = []

    def stop(trial: Any) -> None:
        recorder.on_trial_complete(1, [trial], trial)
        trial.status = Trial.TERMINATED
        stopped.append(trial)

    controller = SimpleNamespace(get_trials=lambda: [stretch], stop_trial=stop)
    ends.on_trial_add(controller, stretch)
    assert ends.choose_trial_to_run(controller) is stretch
    assert (stretch.config["avoid"], stopped) == ("a", [])
    usable.remove("b")
    ends._next = 0.0  # it looks again only after a while
    assert ends.choose_trial_to_run(controller) is None
    assert stopped == [stretch]
    assert [event["cause"] for event in state.folder.read_events() if event["event"] == "retried"][-1] == LOST_HOST
    again = queue.suggest("third")
    assert (again["number"], driver.avoided_hosts(again)) == (number, ())
