"""Says where Tune may place a trial: on the hosts that have room for it, apart from those that it avoids."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray import tune

from search.driver.machine import away_from
from search.driver.resources import TrialResources

AVOID = "avoid"  # in a trial's configuration: the nodes of Ray that must not get it, by their ids, with commas


def avoiding(hosts: Iterable[str]) -> dict[str, str]:
    """The entry of a trial's configuration that keeps it from these nodes; none where there are none."""
    named = ",".join(hosts)
    return {AVOID: named} if named else {}


def avoided_hosts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The nodes that a trial's configuration keeps it from."""
    return tuple(config[AVOID].split(",")) if AVOID in config else ()


def placement(resources: TrialResources) -> Callable[[Mapping[str, Any]], tune.PlacementGroupFactory]:
    """A function from a trial's configuration to what Tune asks Ray for."""
    bundle = _bundle(resources)

    def ask(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        avoided = avoided_hosts(config)
        away = {"bundle_label_selector": [away_from(avoided)]} if avoided else {}
        return tune.PlacementGroupFactory([bundle], **away)

    return ask


def usable_hosts(resources: TrialResources) -> set[str]:
    """The nodes of Ray that are there and have, while nothing else runs, room for a trial."""
    bundle = _bundle(resources)
    nodes = (node for node in ray.nodes() if node["Alive"])
    return {node["NodeID"] for node in nodes if all(node["Resources"].get(k, 0) >= v for k, v in bundle.items())}


def node_at(address: str) -> tuple[str, str] | None:
    """Name and id of the node of Ray at an IP address; None where there is none, or where several share it."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeManagerAddress"] == address] if address else []
    return (nodes[0]["NodeManagerHostname"], nodes[0]["NodeID"]) if len(nodes) == 1 else None


def _bundle(resources: TrialResources) -> dict[str, float]:
    return {"CPU": resources.cpu, "GPU": resources.gpu, "memory": resources.memory}
