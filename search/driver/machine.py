"""Finds what the trials of a search run on: Ray's workers, those that an autoscaler may start, and their GPUs."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

_REGISTER_SECONDS = 30.0
_CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml").expanduser()  # where `ray up` leaves its file on the head


@dataclass(frozen=True)
class Machine:
    """What the trials run on; of several hosts, all together.

    Attributes:
        cpus, gpus: as Ray counts them.
        memory_mb: main memory that Ray offers.
        gpu_memory_mb: of the smallest GPU of one host, and assumed of the others; 0 where there is none.
        compute_capability: of that GPU, such as (8, 0).
        host_cpus: of the largest host, which no trial can exceed.
    """

    cpus: float
    gpus: float = 0.0
    memory_mb: float = math.inf
    gpu_memory_mb: float = 0.0
    compute_capability: tuple[int, int] = (0, 0)
    host_cpus: float = math.inf

    def __str__(self) -> str:
        gpus = f"{self.gpus:g} GPUs, " if self.gpus else ""
        return f"{self.cpus:g} CPUs, {gpus}{self.memory_mb / 1000:.0f} GB of memory"


def find_machine(say: Callable[[str], None]) -> Machine:
    """What Ray's workers have, including those that an autoscaler may still start; needs a running Ray."""
    import ray

    planned, largest = _planned(_CLUSTER_FILE)
    found: Mapping[str, float] = ray.cluster_resources()
    deadline = time.monotonic() + _REGISTER_SECONDS
    while not planned and "CPU" not in found and time.monotonic() < deadline:
        time.sleep(0.1)  # on a busy machine Ray lists a new node late
        found = ray.cluster_resources()
    machine = Machine(
        max(found.get("CPU", 0.0), planned.get("CPU", 0.0)) or 1.0,
        max(found.get("GPU", 0.0), planned.get("GPU", 0.0)),
        math.inf if planned else found.get("memory", math.inf) / 2**20,
        host_cpus=max(largest, *(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])),
    )
    if not machine.gpus:
        return machine
    if not found.get("GPU"):
        say("Waiting for a first GPU worker, to measure what fits into it ...")
    memory, capability = ray.get(ray.remote(num_cpus=0, num_gpus=1)(smallest_gpu).remote())
    return replace(machine, gpu_memory_mb=memory, compute_capability=capability)


def _planned(file: Path) -> tuple[dict[str, float], float]:
    """`planned_resources` of the cluster that this machine is the head of; nothing if it is the head of none."""
    return planned_resources(yaml.safe_load(file.read_text())) if file.is_file() else ({}, 0.0)


def planned_resources(cluster: Mapping[str, Any]) -> tuple[dict[str, float], float]:
    """The resources of a cluster's workers once all of them have started, and the CPUs of the largest.

    Nothing where the file does not give their resources.

    Args:
        cluster: a file of `ray up`, with max_workers and available_node_types.
    """
    left, largest = int(cluster.get("max_workers", 0)), 0.0
    total: dict[str, float] = {}
    for name, node in cluster.get("available_node_types", {}).items():
        count = 0 if name == cluster.get("head_node_type") else min(left, int(node.get("max_workers", 0)))
        left -= count
        for kind, amount in (node.get("resources") or {}).items() if count else ():
            total[kind] = total.get(kind, 0.0) + count * float(amount)
            largest = max(largest, float(amount)) if kind == "CPU" else largest
    return total, largest


def smallest_gpu() -> tuple[float, tuple[int, int]]:
    """Memory in MiB and compute capability of this host's smallest GPU; (0, (0, 0)) where NVIDIA's driver gives none.

    Source: NVIDIA, NVML API Reference Guide, Device Queries.
    """
    import pynvml

    gpus = []
    with contextlib.suppress(pynvml.NVMLError):  # no driver, or a GPU that does not report its memory
        pynvml.nvmlInit()
        for place in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(place)
            memory = pynvml.nvmlDeviceGetMemoryInfo(gpu).total / 2**20
            gpus.append((memory, pynvml.nvmlDeviceGetCudaComputeCapability(gpu)))
    return min(gpus, default=(0.0, (0, 0)))
