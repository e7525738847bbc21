"""Finds the hosts that a cluster may still start: an autoscaler starts them only when trials already wait for them.

Ray's own state names them for some clusters only. `ray up` leaves its file on the head, Kubernetes answers for
KubeRay, and for any other autoscaler the user says it (`cluster.workers`). Machines that `ray up` has a list of are
there anyway, and are waited for.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from search.driver.machine import STORE_SHARE, Host, alive_nodes
from search.driver.waiting import Patience, launch_reasons

_CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml")  # where `ray up` leaves its file on the head
_LISTED_SECONDS = 600.0  # of waiting for listed machines: each installs the pinned packages when it is first used
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_UNLIMITED = 100  # hosts of a group without a limit
_FREE_SHARE = 0.8  # of a host's memory as Ray starts there; the system and Ray itself have the rest
_MIB = 2**20


def planned_hosts(stated: Sequence[Mapping[str, float]]) -> tuple[Host, ...]:
    """All hosts that the cluster's autoscaler may run at a time; none where nothing is known. Needs a running Ray.

    Args:
        stated: the setting `cluster.workers`, which takes precedence.
    """
    if stated:
        return stated_hosts(stated)
    return _hosts_of_ray() or _hosts_of_file(_CLUSTER_FILE.expanduser()) or _hosts_of_kubernetes()


def await_listed(say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
    """Wait for the workers of a cluster of listed machines, which start by themselves; needs a running Ray.

    `ray up` returns before they have joined, and its file does not say what they have: a plan made without them would
    know of no GPU. One that is not there after ten minutes is not waited for any longer.

    Args:
        say: tells the user what the search waits for.
        clock: seconds.
    """
    wanted, deadline = 1 + _listed_workers(_CLUSTER_FILE.expanduser()), clock() + _LISTED_SECONDS
    patience = Patience(f"all {wanted} hosts of the cluster's file", say, launch_reasons, clock)
    while (there := len(alive_nodes())) < wanted:
        if clock() > deadline:
            say(f"{there} of the cluster's {wanted} hosts are there; the search plans for these.")
            return
        patience.poll()
        time.sleep(0.5)


def _listed_workers(file: Path) -> int:
    """How many workers `ray up` starts on machines that its file lists; 0 where it is another cluster, or none."""
    cluster = yaml.safe_load(file.read_text()) if file.is_file() else {}
    if cluster.get("provider", {}).get("type") != "local":
        return 0
    return sum(int(node.get("min_workers", 0)) for node in cluster.get("available_node_types", {}).values())


def stated_hosts(stated: Sequence[Mapping[str, float]]) -> tuple[Host, ...]:
    """The hosts of `cluster.workers`, whose entries have count, cpus, gpus and memory_gb, which is all of a host's.

    Less than all is for trials: one that asks for more than Ray will offer there would wait for ever.
    """
    return tuple(
        Host(
            float(each["cpus"]),
            float(each.get("gpus", 0)),
            float(each.get("memory_gb", math.inf)) * 1e9 / _MIB * _FREE_SHARE * (1 - STORE_SHARE),
            count=int(each.get("count", 1)),
        )
        for each in stated
    )


def hosts_of_types(cluster: Mapping[str, Any]) -> tuple[Host, ...]:
    """The workers of a cluster once all of them have started; without those whose resources it does not give.

    Args:
        cluster: a file of `ray up`, or what Ray makes of KubeRay's, with max_workers and available_node_types.
    """
    left, hosts = int(cluster.get("max_workers", 0)), []
    for name, node in cluster.get("available_node_types", {}).items():
        count = 0 if name == cluster.get("head_node_type") else min(left, int(node.get("max_workers", 0)))
        left -= count
        if count and node.get("resources"):
            hosts.append(_host(node["resources"], count))
    return tuple(hosts)


def _host(resources: Mapping[str, float], count: int) -> Host:
    """Hosts as an autoscaler describes them; memory in bytes, if it knows it."""
    memory = float(resources.get("memory", math.inf)) / _MIB
    return Host(float(resources.get("CPU", 0)), float(resources.get("GPU", 0)), memory, count=count)


def _hosts_of_ray() -> tuple[Host, ...]:
    """The node groups that the cluster's provider has written into Ray's state."""
    from ray._private.state import state

    config = state.get_cluster_config()
    groups = () if config is None else config.node_group_configs
    counted = ((group, _UNLIMITED if group.max_count < 0 else group.max_count) for group in groups)
    return tuple(_host(group.resources, count) for group, count in counted if count)


def _hosts_of_file(file: Path) -> tuple[Host, ...]:
    """The workers of the cluster that this machine is the head of; none where `ray up` did not make it one."""
    return hosts_of_types(yaml.safe_load(file.read_text())) if file.is_file() else ()


def _hosts_of_kubernetes() -> tuple[Host, ...]:
    """The worker groups of the KubeRay cluster that this pod is the head of; none elsewhere, or without the right.

    The head's service account may read its cluster, because Ray's autoscaler, which runs in the same pod, must.
    """
    name = os.environ.get("RAY_CLUSTER_NAME")  # KubeRay sets it in every pod
    if not name or not _NAMESPACE_FILE.is_file():
        return ()
    import requests
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient

    with contextlib.suppress(requests.RequestException, OSError, KeyError, ValueError):
        kubernetes = KubernetesHttpApiClient(namespace=_NAMESPACE_FILE.read_text().strip())
        return hosts_of_types(_derive_autoscaling_config_from_ray_cr(kubernetes.get(f"rayclusters/{name}")))
    return ()
