"""Hosts that the autoscaler of a running cluster may still start."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from search.driver import coming
from search.driver.coming import await_listed, hosts_of_types, planned_hosts, stated_hosts
from search.driver.machine import Host

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coming, "_CLUSTER_FILE", tmp_path / "none.yaml")
    monkeypatch.setattr(coming, "_hosts_of_ray", lambda: ())
    monkeypatch.delenv("RAY_CLUSTER_NAME", raising=False)


def test_the_file_of_ray_up_names_the_workers() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    assert hosts_of_types(cluster) == (Host(8, 1, count=8),)
    cluster["available_node_types"]["gpu_on_demand"]["max_workers"] = 5
    assert hosts_of_types(cluster) == (Host(8, 1, count=8),)  # eight in all
    assert hosts_of_types(cluster | {"max_workers": 3}) == (Host(8, 1, count=3),)
    assert hosts_of_types(cluster | {"max_workers": 11})[1] == Host(8, 1, count=3)


def test_listed_machines_are_waited_for_since_their_file_does_not_say_what_they_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ray.autoscaler._private.local.config import prepare_local

    cluster, _ = prepare_local(yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text()))  # as `ray up` leaves it
    assert hosts_of_types(cluster) == ()
    file, there, said, now = tmp_path / "bootstrap.yaml", [1, 1, 2, 3], list[str](), count(step=20.0)
    monkeypatch.setattr(coming, "_CLUSTER_FILE", file)
    monkeypatch.setattr(coming, "alive_nodes", lambda: [{}] * there.pop(0))
    monkeypatch.setattr(coming, "launch_reasons", lambda: ["2 of local.cluster.node starting"])
    monkeypatch.setattr(coming.time, "sleep", lambda seconds: None)
    file.write_text((ROOT / "cluster.yaml").read_text())
    await_listed(said.append, now.__next__)  # an autoscaler starts them when trials wait for them
    assert there == [1, 2, 3]
    file.write_text(yaml.safe_dump(cluster))
    there.insert(0, 1)
    await_listed(said.append, now.__next__)
    assert there == []
    assert said == [
        "Waiting 40 s for all 3 hosts of the cluster's file: 2 of local.cluster.node starting. See `ray status`."
    ]
    there.extend([2] * 100)
    await_listed(said.append, now.__next__)
    assert there
    assert said[-1] == "2 of the cluster's 3 hosts are there; the search plans for these."


def test_the_setting_takes_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.yaml"
    file.write_text((ROOT / "cluster.yaml").read_text())
    monkeypatch.setattr(coming, "_CLUSTER_FILE", file)
    assert planned_hosts([]) == (Host(8, 1, count=8),)
    stated = [{"count": 4, "cpus": 16, "memory_gb": 32}, {"cpus": 8, "gpus": 1}]
    assert planned_hosts(stated) == stated_hosts(stated)
    large, unknown = stated_hosts(stated)
    assert (large.cpus, large.count, unknown) == (16, 4, Host(8, 1))


def test_a_trial_asks_no_more_of_a_stated_host_than_ray_will_offer_there() -> None:
    """Ray offers what is free as it starts, without the 30 % of its object store: of 4 GB less than 2.8."""
    (host,) = stated_hosts([{"cpus": 2, "memory_gb": 4}])
    assert 2_000 < host.memory_mb * 2**20 / 1e6 < 0.9 * 0.7 * 4_000


def test_kubernetes_names_the_workers_of_kuberay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shipped file has none at the beginning (minReplicas: 0)."""
    asked: list[tuple[str, str]] = []

    class Kubernetes:
        def __init__(self, namespace: str) -> None:
            self._namespace = namespace

        def get(self, path: str) -> Any:
            asked.append((self._namespace, path))
            answer = yaml.safe_load((ROOT / "deploy" / "kuberay.yaml").read_text())
            answer["metadata"]["namespace"] = self._namespace  # Kubernetes fills it in
            return answer

    namespace = tmp_path / "namespace"
    namespace.write_text("lab\n")
    monkeypatch.setattr("ray.autoscaler._private.kuberay.node_provider.KubernetesHttpApiClient", Kubernetes)
    monkeypatch.setattr(coming, "_NAMESPACE_FILE", namespace)
    assert planned_hosts([]) == ()
    monkeypatch.setenv("RAY_CLUSTER_NAME", "xray-search")
    assert planned_hosts([]) == (Host(8, 1, 24 * 1024, count=8),)
    assert asked == [("lab", "rayclusters/xray-search")]


def test_a_pod_that_may_not_ask_knows_of_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    namespace = tmp_path / "namespace"
    namespace.write_text("lab")
    monkeypatch.setattr(coming, "_NAMESPACE_FILE", namespace)
    monkeypatch.setenv("RAY_CLUSTER_NAME", "xray-search")
    assert planned_hosts([]) == ()  # no token, no Kubernetes here


def test_the_groups_in_rays_own_state_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.state import state

    gpu = SimpleNamespace(resources={"CPU": 8, "GPU": 1, "memory": 2**34}, max_count=4)
    head = SimpleNamespace(resources={"CPU": 4}, max_count=0)
    unlimited = SimpleNamespace(resources={"CPU": 2}, max_count=-1)
    monkeypatch.undo()
    monkeypatch.setattr(state, "get_cluster_config", lambda: SimpleNamespace(node_group_configs=[gpu, head, unlimited]))
    assert planned_hosts([]) == (Host(8, 1, 2**14, count=4), Host(2, count=100))
