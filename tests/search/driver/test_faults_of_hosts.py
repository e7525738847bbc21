"""A search whose hosts fail: one without the run's mount, one that is lost. A host is a raylet of this machine."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from benchmarks.no_op_trial import NoOpModel, NoOpTrial
from data_pipeline.dataset import Dataset
from models.counts import ParameterCount
from search import record
from search.driver.faults import BAD_HOST, LOST_HOST
from search.driver.session import open_session
from search.driver.state import SearchState
from search.driver.tune import StorageError, run_search
from search.plan.searcher import build_searcher
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import RunFolder
from search.trial.training import TrialModel
from tests import waiting
from tests.own_ray import start_patiently

GB = 2**30


class WaitingModel(NoOpModel):
    """A model that trains its second epoch once the test allows it."""

    def __init__(self, max_epochs: int, folder: RunFolder) -> None:
        super().__init__(max_epochs)
        self._folder = folder

    def run_epoch(self) -> None:
        if self.history:
            waiting.wait_until(lambda: self._folder.exists("go"), "leave to train on")
        super().run_epoch()


class FaultyTrial(NoOpTrial):
    """A trial that leaves a note of its host, and cannot go on where the test says so."""

    def build_model(self) -> TrialModel:
        node = self._place["node"]
        if self._folder.exists("bad", node):
            raise OSError("No such mount")
        self._folder.write(b"", "seen", node)
        return cast(TrialModel, WaitingModel(self._trial.max_epochs, self._folder))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without a CPU for trials; tests add its workers."""
    for module in (sys.modules[__name__], waiting):  # workers cannot import tests
        cloudpickle.register_pickle_by_value(module)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_prestart_worker_first_driver", "0")  # a process for each CPU, before it is needed
        cluster = Cluster()
        start_patiently(partial(cluster.add_node, num_cpus=0, memory=4 * GB, object_store_memory=100 * 2**20))
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def started() -> dict[int, Any]:
    """The nodes of `workers`, by their CPUs."""
    return {}


@pytest.fixture
def workers(cluster: Cluster, started: dict[int, Any]) -> list[str]:
    """A host with room for three trials, and one with room for one, by their ids; one that was lost is another now."""
    host = {"memory": 4 * GB, "object_store_memory": 100 * 2**20}
    for cpus in (3, 1):
        if started.get(cpus) not in cluster.worker_nodes:
            started[cpus] = start_patiently(partial(cluster.add_node, num_cpus=cpus, **host))
    cluster.wait_for_nodes()
    return [started[cpus].node_id for cpus in (3, 1)]


def search(
    folder: RunFolder, dataset: Dataset, trials: int, on_change: Callable[[SearchState], None] = lambda state: None
) -> SearchState:
    words = ["space=plain2", f"search.num_trials={trials}", "search.max_epochs=2", "search.searcher=random"]
    words += ["search.scheduler=none", "search.max_failures=0", "resources.cpus_per_trial=1", "data.size=32"]
    settings = load_settings(words)
    with open_session(settings, read_space(settings), dataset) as session:
        searcher = build_searcher(session.space, settings)
        state = SearchState(folder, searcher, settings, lambda model: ParameterCount(1, 1))
        state.restore()
        try:
            run_search(session, state, lambda: on_change(state), trainable=FaultyTrial)
        finally:
            state.close()
    return state


def retries(folder: RunFolder) -> list[str]:
    return [event["cause"] for event in folder.read_events() if event["event"] == "retried"]


def test_what_one_host_cannot_do_is_done_on_another_and_the_host_is_excluded(
    workers: list[str], tmp_path: Path, small_dataset: Dataset
) -> None:
    """The host that works is busy until the other one is excluded."""
    folder = RunFolder(str(tmp_path))
    folder.write(b"", "bad", workers[0])

    def free_the_other(state: SearchState) -> None:
        if any("no longer used" in line for line in state.news) and not folder.exists("go"):
            folder.write(b"", "go")

    state = search(folder, small_dataset, trials=8, on_change=free_the_other)
    trials = folder.read_trials().values()
    assert [(trial.status, len(trial.epochs), trial.failures) for trial in trials] == [(record.FINISHED, 2, 0)] * 8
    assert folder.names("seen") == [workers[1]]
    (excluded,) = (event for event in folder.read_events() if event["event"] == "excluded")
    assert (excluded["node"], excluded["reason"]) == (workers[0], "No such mount")
    assert set(retries(folder)) == {BAD_HOST}
    assert any(f"host {excluded['host']} is no longer used" in line for line in state.news)


def test_a_search_without_a_host_that_works_stops_and_is_resumed(
    workers: list[str], tmp_path: Path, small_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.driver.bad_hosts.MOST_FAULTS", 1)  # each fault costs the start of a process
    folder = RunFolder(str(tmp_path))
    for node in workers:
        folder.write(b"", "bad", node)
    folder.write(b"", "go")
    with pytest.raises(StorageError, match=r"No host is left .* No such mount"):
        search(folder, small_dataset, trials=2)
    for node in workers:
        folder.remove("bad", node)
    search(folder, small_dataset, trials=2)
    assert [trial.status for trial in folder.read_trials().values()] == [record.FINISHED] * 2


def test_a_lost_host_is_no_failure_of_its_trial(
    cluster: Cluster, workers: list[str], tmp_path: Path, small_dataset: Dataset
) -> None:
    """Not one failure is allowed; the host is lost after the first epoch of its trial."""
    folder = RunFolder(str(tmp_path))

    def lose(state: SearchState) -> None:
        if not folder.exists("go") and sum(len(trial.epochs) for trial in state.trials.values()) == 2:
            seen = folder.names("seen")
            cluster.remove_node(next(node for node in cluster.worker_nodes if node.node_id == seen[0]))
            folder.write(b"", "go")

    search(folder, small_dataset, trials=2, on_change=lose)
    trials = folder.read_trials().values()
    assert [(trial.status, len(trial.epochs), trial.failures) for trial in trials] == [(record.FINISHED, 2, 0)] * 2
    assert set(retries(folder)) == {LOST_HOST}
