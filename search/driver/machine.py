"""Describes what the trials of a search run on: the hosts of Ray, their CPUs, memory and GPUs."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from data_pipeline.limits import find_limits
from search.record import counted

Answer = TypeVar("Answer")
_REGISTER_SECONDS = 30.0
STORE_SHARE = 0.3  # of free memory, for Ray's object store, as Ray chooses it
_MIB = 2**20
_NODE = "ray.io/node-id"  # the label that Ray gives every node


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a slice of one (MIG).

    Attributes:
        memory_mb: in MiB; 0 where it does not report it.
        capability: compute capability, such as (8, 0).
    """

    memory_mb: float = 0.0
    capability: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Host:
    """Equal hosts.

    Attributes:
        cpus, gpus: of each, as Ray counts them.
        memory_mb: main memory of each that Ray gives to trials, in MiB; infinite where it is not known.
        gpu: the least of each's GPUs in memory and in capability.
        count: how many there are.
        is_coming: whether they are not there yet; an autoscaler may start them.
    """

    cpus: float
    gpus: float = 0.0
    memory_mb: float = math.inf
    gpu: Gpu = Gpu()
    count: int = 1
    is_coming: bool = False

    def __str__(self) -> str:
        parts = [counted(self.cpus, "CPU")]
        parts += [counted(self.gpus, "GPU")] if self.gpus else []
        parts += [f"{self.memory_mb / 1000:.0f} GB of memory"] if math.isfinite(self.memory_mb) else []
        return ", ".join(parts)


def describe_hosts(hosts: Sequence[Host]) -> str:
    """The hosts as a user reads them; one of them as its resources alone."""
    if sum(host.count for host in hosts) == 1:
        return str(hosts[0])
    return "; ".join(f"{host.count} of {host}{' (to come)' if host.is_coming else ''}" for host in hosts)


def group_hosts(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """The hosts with equal ones counted together; of memory within a GB of each other, the least counts.

    Those that are there come first, then by GPUs, CPUs and memory, most first: Ray's order differs from start to start.
    """
    groups: dict[Any, Host] = {}
    for host in hosts:
        memory = math.inf if math.isinf(host.memory_mb) else round(host.memory_mb / 1000)
        key = host.cpus, host.gpus, memory, host.gpu, host.is_coming
        known = groups.get(key)
        if known is not None:
            least = min(known.memory_mb, host.memory_mb)
            host = replace(known, count=known.count + host.count, memory_mb=least)
        groups[key] = host
    return tuple(sorted(groups.values(), key=lambda host: (host.is_coming, -host.gpus, -host.cpus, -host.memory_mb)))


def with_coming(present: Sequence[Host], planned: Sequence[Host]) -> tuple[Host, ...]:
    """The hosts that are there, and those planned that are not: a host like a planned one is one of them.

    Args:
        present: hosts of Ray.
        planned: all that an autoscaler may run at a time.
    """
    rest = {index: host.count for index, host in enumerate(present)}
    coming = []
    for host in planned:
        missing = host.count
        for index, each in enumerate(present):
            if (each.cpus, each.gpus) == (host.cpus, host.gpus):
                found = min(missing, rest[index])
                missing, rest[index] = missing - found, rest[index] - found
        if missing:
            coming.append(replace(host, count=missing, is_coming=True))
    return (*present, *coming)


def this_host() -> Host:
    """This machine as Ray would offer it to trials, without Ray: of free memory, its object store takes 30 %."""
    limits = find_limits()
    return Host(limits.cpus, count_gpus(), limits.memory_mb * (1 - STORE_SHARE))


def this_store() -> float:
    """Bytes that Ray's object store would have on this machine."""
    return find_limits().memory_mb * STORE_SHARE * _MIB


def store_bytes() -> float:
    """Bytes of the smallest object store of Ray's hosts."""
    return min(float(node["Resources"].get("object_store_memory", 0)) for node in alive_nodes())


def on_each_host(ask: Callable[..., Answer], *arguments: Any) -> dict[str, Answer]:
    """What a function answers on each of Ray's hosts, by name, the driver's first; without hosts that do not answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own = ray.get_runtime_context().get_node_id()
    asked = {}
    for name, node in by_name(sorted(alive_nodes(), key=lambda node: (node["NodeID"] != own, node["NodeID"]))).items():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[name] = ray.remote(num_cpus=0, scheduling_strategy=there)(ask).remote(*arguments)
    answers = {}
    for name, answer in asked.items():
        with contextlib.suppress(ray.exceptions.RayError):
            answers[name] = ray.get(answer)
    return answers


def away_from(nodes: Iterable[str]) -> dict[str, str]:
    """What keeps a task or a bundle of Ray from these nodes, as a label selector; none where there are none."""
    named = ",".join(nodes)
    return {_NODE: f"!in({named})"} if named else {}


def by_name(nodes: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Nodes of Ray by the names of their hosts; containers may share a name, and all but the first also have an id."""
    named: dict[str, Mapping[str, Any]] = {}
    for node in nodes:
        name = node["NodeManagerHostname"]
        named[f"{name} {node['NodeID'][:8]}" if name in named else name] = node
    return named


def find_hosts(seconds: float = _REGISTER_SECONDS) -> tuple[Host, ...]:
    """Ray's hosts, equal ones together, without looking at their GPUs; needs a running Ray.

    Args:
        seconds: how long a host with CPUs is waited for: on a busy machine, Ray lists a new one late.
    """
    deadline = time.monotonic() + seconds
    hosts = _alive_hosts()
    while not any(host.cpus for host in hosts) and time.monotonic() < deadline:
        time.sleep(0.1)
        hosts = _alive_hosts()
    return group_hosts(hosts)


def alive_nodes() -> list[Mapping[str, Any]]:
    """The nodes that Ray has, as it describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def gpu_nodes() -> set[str]:
    """The nodes of Ray that have GPUs, by their ids."""
    return {node["NodeID"] for node in alive_nodes() if node["Resources"].get("GPU")}


def _alive_hosts() -> list[Host]:
    return [_host(node) for node in alive_nodes()]


def _host(node: Mapping[str, Any], gpu: Gpu = Gpu()) -> Host:
    found = node["Resources"]
    return Host(found.get("CPU", 0.0), found.get("GPU", 0.0), found.get("memory", 0.0) / _MIB, gpu)


def find_gpu_hosts() -> tuple[Host, ...]:
    """As `find_hosts`, with the least GPU of each host; asks a process on each host that has GPUs."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # A process without a GPU of its own would see none; this one is to see what its host gives to Ray.
    seeing = {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}
    asked = []
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ask = ray.remote(num_cpus=0, scheduling_strategy=there, runtime_env=seeing)(least_gpu)
            asked.append((node, ask.remote() if node["Resources"].get("GPU") else None))
    hosts = []
    for node, answer in asked:
        gpu = Gpu()
        with contextlib.suppress(ray.exceptions.RayError):  # the host was lost: its GPU counts as not known
            gpu = gpu if answer is None else ray.get(answer)
        hosts.append(_host(node, gpu))
    return group_hosts(hosts)


def least_gpu(visible: str | None = None) -> Gpu:
    """The least memory and the least capability of the GPUs that this process may use; zeros where none is known.

    A GPU that is cut into slices counts as its smallest slice, which is what a process gets of it.

    Args:
        visible: as CUDA_VISIBLE_DEVICES, from which it is taken where None is given.

    Source: NVIDIA, NVML API Reference Guide, Device Queries and Multi Instance GPU Management.
    """
    import pynvml

    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    try:
        pynvml.nvmlInit()
        found = [_gpu(handle) for handle in gpu_handles(visible)]
    except pynvml.NVMLError:  # no driver
        return Gpu()
    return Gpu(
        min((gpu.memory_mb for gpu in found if gpu.memory_mb), default=0.0),
        min((gpu.capability for gpu in found if gpu.capability != (0, 0)), default=(0, 0)),
    )


def count_gpus() -> int:
    """How many GPUs and slices this process may use, as CUDA_VISIBLE_DEVICES and NVIDIA's driver say."""
    import pynvml

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return 0
    try:
        pynvml.nvmlInit()
        return len(gpu_handles(visible))
    except pynvml.NVMLError:  # no driver
        return 0


def gpu_handles(visible: str | None) -> list[Any]:
    """NVML's handles of GPUs and slices that are named, by number or UUID; of all, where no names are given.

    As in CUDA, a number that no GPU has (-1 is usual) hides the GPUs that are named after it.

    Raises:
        pynvml.NVMLError: there is no driver, or it was not asked before (`nvmlInit`).
    """
    import pynvml

    if not visible:
        return [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(pynvml.nvmlDeviceGetCount())]
    handles: list[Any] = []
    for name in map(str.strip, visible.split(",")):
        find = pynvml.nvmlDeviceGetHandleByIndex if is_number(name) else pynvml.nvmlDeviceGetHandleByUUID
        try:
            handles.append(find(int(name) if is_number(name) else name))
        except pynvml.NVMLError:
            if is_number(name):
                break
    return handles  # without a shortened UUID


def is_number(gpu: str) -> bool:
    """Whether a GPU is named by its number, be there such a GPU or not."""
    return gpu.strip().removeprefix("-").isdigit()


def _gpu(handle: Any) -> Gpu:
    """What a GPU reports; not all report everything: GPUs that share the main memory have none of their own."""
    import pynvml

    memory, capability = 0.0, (0, 0)
    with contextlib.suppress(pynvml.NVMLError):
        memory = min((_memory(part) for part in (_slices(handle) or [handle])), default=0.0)
    with contextlib.suppress(pynvml.NVMLError):
        capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(_whole(handle)))
    return Gpu(memory, capability)


def _memory(handle: Any) -> float:
    import pynvml

    return float(pynvml.nvmlDeviceGetMemoryInfo(handle).total) / _MIB


def _slices(handle: Any) -> list[Any]:
    """The slices that a whole GPU is cut into; none where it is not, or cannot be, or is a slice itself."""
    import pynvml

    slices: list[Any] = []
    with contextlib.suppress(pynvml.NVMLError):
        if pynvml.nvmlDeviceGetMigMode(handle)[0]:
            for place in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
                with contextlib.suppress(pynvml.NVMLError):  # a place without a slice
                    slices.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
    return slices


def _whole(handle: Any) -> Any:
    """The GPU of a slice; a whole GPU is itself."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    return handle
