"""Finds what this process may use of its machine: CPU affinity, and the CPU and memory limits of its cgroups.

A machine may have 64 CPUs and let a process use one: `taskset`, Slurm, systemd and containers limit their processes.
Ray itself reads the limits of the topmost group only, and no affinity.

Source: Linux kernel, 'Control Group v2' (cpu.max, memory.max) and 'CGroup Scheduler' of version 1; proc(5).
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")


@dataclass(frozen=True)
class Limits:
    """What this process and its children may use.

    Attributes:
        cpus: at least 1, rounded down.
        memory_mb: main memory that is free to them, in MiB.
        memory_is_limited: whether a cgroup leaves them less than the machine has free.
    """

    cpus: int
    memory_mb: float
    memory_is_limited: bool


def cpu_count() -> int:
    """CPUs that this process may use; in a container or a batch job they are fewer than the machine has."""
    return find_limits().cpus


def find_limits(root: Path = _ROOT) -> Limits:
    """The limits of this process.

    Args:
        root: the folder that /proc and /sys are read in.
    """
    free, left = _free_memory(root), min((_memory_left(group) for group in _groups(root, "memory")), default=math.inf)
    quota = min((_cpu_quota(group) for group in _groups(root, "cpu")), default=math.inf)
    return Limits(max(1, int(min(_affinity(), quota))), min(free, left) / 2**20, left < free)


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory(root: Path) -> float:
    """Bytes of main memory that the machine has free, caches counted as free."""
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    except (OSError, ValueError):  # macOS tells neither
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the cgroups whose limits hold for this process, innermost first; each must be obeyed.

    A container may see the group's name on its host and, in /sys, only its own groups: names that lead nowhere are
    skipped, and the topmost folder is the container's.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (names and _mounted(root, names, controller))
        inner = mount / path.strip("/")
        for folder in (inner, *inner.parents):
            if folder.is_dir():
                yield folder
            if folder == mount:
                break


def _mounted(root: Path, names: str, controller: str) -> str:
    """The folder of a controller of version 1, which may be mounted with others."""
    return names if (root / "sys/fs/cgroup" / names).is_dir() else controller


def _cpu_quota(group: Path) -> float:
    """CPUs that a group may use at a time; infinite without a limit."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    return _number(quota) / _number(period) if _number(quota) > 0 and 0 < _number(period) < math.inf else math.inf


def _memory_left(group: Path) -> float:
    """Bytes that a group may still take, files that are merely cached counted as free; infinite without a limit."""
    limit = _number(_read(group / "memory.max") or _read(group / "memory.limit_in_bytes"))
    used = _number(_read(group / "memory.current") or _read(group / "memory.usage_in_bytes"))
    if math.isinf(limit):
        return math.inf
    cached = 0.0
    for line in _read(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            cached = max(cached, _number(value))
    return max(0.0, limit - (0.0 if math.isinf(used) else max(0.0, used - cached)))


def _number(text: str) -> float:
    """A number as the kernel writes it; "max", and nothing, are infinite."""
    try:
        return float(text)
    except ValueError:
        return math.inf


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
