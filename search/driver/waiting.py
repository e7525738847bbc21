"""Says what a search waits for while no host has room for it, and why that host may not come."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.plan.pace import duration_text

_FIRST_SECONDS = 30.0
_MOST_SECONDS = 600.0


class Patience:
    """Says at growing intervals that something is still waited for: after half a minute, then after twice as long.

    Args:
        what: is waited for, such as "a host with 4 CPUs, 1 GPU".
        say: tells the user.
        reasons: why it may not come, a phrase each.
        clock: seconds.
    """

    def __init__(
        self,
        what: str,
        say: Callable[[str], None],
        reasons: Callable[[], Sequence[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._say, self._reasons, self._clock = what, say, reasons, clock
        self.reset()

    def reset(self) -> None:
        """It has come: the next wait begins anew."""
        self._since: float | None = None
        self._interval = _FIRST_SECONDS

    def poll(self) -> None:
        """It has not come yet; to be called again and again."""
        now = self._clock()
        if self._since is None:
            self._since, self._next = now, now + self._interval
        if now < self._next:
            return
        self._interval = min(2 * self._interval, _MOST_SECONDS)
        self._next = now + self._interval
        known = "; ".join(self._reasons()) or "Ray knows of no host that is starting"
        self._say(f"Waiting {duration_text(now - self._since)} for {self._what}: {known}. See `ray status`.")


class WorkerWatch:
    """Watches whether any trial of a search has a process, and says what is waited for while none has.

    Args:
        patience: says it.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._running: set[int] = set()

    def started(self, number: int) -> None:
        """A trial has a process."""
        self._running.add(number)
        self._patience.reset()

    def ended(self, number: int) -> None:
        """A trial has no process any more."""
        self._running.discard(number)

    def poll(self) -> None:
        """To be called several times a second."""
        if not self._running:
            self._patience.poll()


def get_patiently(reference: Any, patience: Patience) -> Any:
    """`ray.get`, which says while it waits what it waits for."""
    import ray

    while not ray.wait([reference], timeout=1.0)[0]:
        patience.poll()
    return ray.get(reference)


def launch_reasons() -> Sequence[str]:
    """What the cluster's autoscaler, the newer or the older one, says of hosts that start or fail to start.

    Needs a running Ray; a phrase each, none where no autoscaler starts or fails to start anything.
    """
    import ray
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.experimental.internal_kv import _internal_kv_get

    try:
        found = newer_reasons(get_cluster_status(ray.get_runtime_context().gcs_address))
        report = _internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    except (RuntimeError, ray.exceptions.RayError) as error:
        return [f"Ray's head does not answer ({next(iter(str(error).splitlines()), '')})"]
    return found or (older_reasons(json.loads(report)) if report else [])


def newer_reasons(status: Any) -> list[str]:
    """The reasons in the state of Ray's autoscaler v2 (`ray.autoscaler.v2.schema.ClusterStatus`)."""
    starting = Counter({each.ray_node_type_name: 0 for each in (*status.pending_launches, *status.pending_nodes)})
    for launch in status.pending_launches:
        starting[launch.ray_node_type_name] += launch.count
    for node in status.pending_nodes:
        starting[node.ray_node_type_name] += 1
    failed = {launch.ray_node_type_name: launch.details or "no reason given" for launch in status.failed_launches}
    return [*_starting(starting), *(f"{kind} could not be started ({why})" for kind, why in failed.items())]


def older_reasons(status: Mapping[str, Any]) -> list[str]:
    """The reasons in what Ray's autoscaler v1 reports (`AutoscalerSummary`, as JSON)."""
    report = status.get("autoscaler_report") or {}
    starting = Counter(report.get("pending_launches") or {})
    starting.update(kind for _, kind, _ in report.get("pending_nodes") or ())
    reasons = _starting(starting)
    kinds = (report.get("node_availability_summary") or {}).get("node_availabilities") or {}
    for kind, known in kinds.items():
        why = known.get("unavailable_node_information")
        if why and not known.get("is_available"):
            reasons.append(f"{kind} could not be started ({why['category']}: {why['description']})")
    failed = Counter(kind for _, kind in report.get("failed_nodes") or ())
    return [*reasons, *(f"{number} of {kind} failed after their start" for kind, number in failed.items())]


def _starting(kinds: Mapping[str, int]) -> list[str]:
    return [f"{number} of {kind} starting" for kind, number in kinds.items()]
