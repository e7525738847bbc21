"""Plans on several Ray nodes inside this machine: what is chosen has a place on them, and nothing waits for ever."""

import os
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from models.cnn import CnnConfig
from search.driver import coming, resources
from search.driver.machine import find_hosts
from search.driver.placement import placement
from search.driver.resources import plan_resources
from search.driver.session import known_hosts
from search.driver.waiting import launch_reasons
from search.plan.settings import Settings, SettingsError
from search.plan.space_file import read_space
from search.plan.words import load_settings
from tests.own_ray import start_patiently
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[3]
GB = 10**9
WORKER = {"num_cpus": 2, "num_gpus": 1}
SHAPE = (32, 32, 1)


def join() -> None:
    ray.init(include_dashboard=False, log_to_driver=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head of 6 CPUs, and two workers of 2 CPUs and a GPU, as in cluster.onprem.yaml; one has little memory."""
    # In a folder of its own: where Ray usually leaves a cluster's address, a search of another test would join it.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_prestart_worker_first_driver", "0")  # a process for each of the ten CPUs
        cluster = Cluster()
        store = {"object_store_memory": 100 * 2**20}
        for host in ({"num_cpus": 6, "memory": 8 * GB}, WORKER | {"memory": 4 * GB}, WORKER | {"memory": 3 * GB // 2}):
            start_patiently(partial(cluster.add_node, **host, **store))
        cluster.wait_for_nodes()
        patch.setenv("RAY_ADDRESS", cluster.address)
        start_patiently(join)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest model takes 100 MB of a GPU's memory; no TensorFlow."""
    monkeypatch.setattr(resources, "measure_peak", lambda *arguments: 100.0)


def plan(*words: str, said: list[str] | None = None, joined: bool = True) -> resources.TrialResources:
    settings: Settings = load_settings(["space=plain2", "data.size=32", *words])
    say = (said if said is not None else []).append
    return plan_resources(settings, read_space(settings), CnnConfig(), SHAPE, 2, say, joined)


def all_have_a_place(chosen: resources.TrialResources) -> bool:
    """Whether Ray has so many places side by side of what Tune asks for, with memory, for a trial."""
    (share,) = placement(chosen)({}).bundles
    assert share["memory"] == chosen.memory > 0
    places = ray.util.placement_group([share] * chosen.at_a_time)
    try:
        return bool(places.wait(LIMIT))
    finally:
        ray.util.remove_placement_group(places)


def test_hosts_are_told_apart(cluster: Cluster) -> None:
    found = {(host.cpus, host.gpus, round(host.memory_mb * 2**20 / GB, 1), host.count) for host in find_hosts()}
    assert found == {(6, 0, 8.0, 1), (2, 1, 4.0, 1), (2, 1, 1.5, 1)}


def test_a_trial_gets_what_one_host_has(cluster: Cluster) -> None:
    chosen = plan()
    assert (chosen.cpu, chosen.gpu, chosen.at_a_time) == (2, 1, 2)
    assert "none on a host with 6 CPUs" in chosen.reasons[0]
    assert all_have_a_place(chosen)


def test_without_gpus_the_memory_of_each_host_counts(cluster: Cluster) -> None:
    said: list[str] = []
    chosen = plan("resources.gpus_per_trial=0", "cluster.workers=[{cpus: 2, gpus: 4, memory_gb: 1}]", said=said)
    assert "(to come)" in chosen.reasons[0]
    assert not said  # of a GPU worker, which is not waited for
    chosen = plan("resources.gpus_per_trial=0")
    assert (chosen.cpu, chosen.at_a_time) == (1, 6 + 2 + 1)
    assert all_have_a_place(chosen)


def test_what_fits_no_host_is_refused_before_a_trial(cluster: Cluster) -> None:
    with pytest.raises(SettingsError, match="none has both"):
        plan("resources.cpus_per_trial=4", "resources.gpus_per_trial=1")
    assert plan("resources.cpus_per_trial=4", "resources.gpus_per_trial=1", "cluster.workers=[{cpus: 4, gpus: 1}]")


def test_a_search_on_the_head_alone_expects_no_host_of_the_clusters_file(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coming, "_CLUSTER_FILE", ROOT / "cluster.yaml")
    words = ["resources.gpus_per_trial=0"]
    assert "(to come)" in plan(*words).reasons[0]
    assert "(to come)" not in plan(*words, joined=False).reasons[0]


def test_without_an_autoscaler_ray_knows_of_no_host_that_starts(cluster: Cluster) -> None:
    assert list(launch_reasons()) == []


def test_a_measuring_process_that_is_killed_is_an_answer(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    monkeypatch.setattr(resources, "measure_peak", killed)
    with pytest.raises(SettingsError, match=r"killed twice .*resources\.gpus_per_trial=1 to search without measuring"):
        plan()


def test_a_host_that_cannot_measure_is_left_for_another(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails_once(*arguments: object) -> float:
        if not (tmp_path / "asked").exists():
            (tmp_path / "asked").write_text(ray.get_runtime_context().get_node_id())
            raise ModuleNotFoundError("No module named 'tensorflow'")
        assert (tmp_path / "asked").read_text() != ray.get_runtime_context().get_node_id()
        return 100.0

    def fails(*arguments: object) -> float:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resources, "measure_peak", fails_once)
    said: list[str] = []
    assert plan(said=said).reasons[2].startswith("1 GPU a trial: the memory of the GPU is not known")
    assert said == [
        "The memory of the largest model could not be measured on a host (No module named 'tensorflow'): "
        "another host is asked."
    ]
    monkeypatch.setattr(resources, "measure_peak", fails)
    said.clear()
    assert plan(said=said).gpu == 1
    assert [line.rpartition(": ")[2] for line in said] == ["another host is asked.", "a GPU a trial."]


def test_a_model_that_does_not_fit_its_gpu_gets_one_alone(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*arguments: object) -> float:
        raise RuntimeError("OOM when allocating tensor\nmore")

    monkeypatch.setattr(resources, "measure_peak", too_large)
    said: list[str] = []
    assert plan(said=said).gpu == 1
    assert said == [
        "The memory of the largest model could not be measured (OOM when allocating tensor): a GPU a trial."
    ]


def test_a_dry_run_sees_the_hosts_of_the_running_cluster(cluster: Cluster) -> None:
    """In a process of its own, as a user's, who has not joined it."""
    settings = load_settings(["space=plain2"])
    ray.shutdown()
    try:
        hosts = known_hosts(settings.cluster)
    finally:
        start_patiently(join)
    assert sorted((host.cpus, host.gpus) for host in hosts) == [(2, 1), (2, 1), (6, 0)]
    settings.cluster.mode = "local"
    assert [host.count for host in known_hosts(settings.cluster)] == [1]
