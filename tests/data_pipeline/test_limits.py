"""Limits of fake /proc and /sys trees: plain machines, Slurm and systemd, containers, both versions of cgroups."""

import os
from pathlib import Path

import pytest

from data_pipeline import limits
from data_pipeline.limits import find_limits

GIB = 2**30
V2, V1 = "0::/slurm/job_7", "3:cpu,cpuacct:/slurm/job_7\n4:memory:/slurm/job_7\n0::/"


def tree(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A machine with 64 GiB free, the cgroups of this process, and files below /sys/fs/cgroup."""
    texts = {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {64 * 2**20} kB\n", "proc/self/cgroup": groups}
    for name, text in (texts | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.fixture(autouse=True)
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_affinity", lambda: 16)


@pytest.mark.parametrize(
    ("groups", "files", "cpus", "gib"),
    [
        ("0::/", {}, 16, 64),
        ("", {}, 16, 64),
        (V2, {"slurm/job_7/cpu.max": "400000 100000", "slurm/job_7/memory.max": "max"}, 4, 64),
        (V2, {"slurm/job_7/cpu.max": "max 100000", "slurm/cpu.max": "250000 100000"}, 2, 64),
        (V2, {"slurm/job_7/memory.max": str(8 * GIB), "slurm/job_7/memory.current": str(GIB)}, 16, 7),
        (
            V2,
            {
                "slurm/job_7/memory.max": str(8 * GIB),
                "slurm/job_7/memory.current": str(6 * GIB),
                "slurm/job_7/memory.stat": f"anon 5\ninactive_file {5 * GIB}",
            },
            16,
            7,
        ),
        (V2, {"slurm/job_7/memory.max": str(80 * GIB), "slurm/memory.max": str(2 * GIB)}, 16, 2),
        (V2, {"cpu.max": "50000 100000", "memory.max": str(GIB)}, 1, 1),  # a container: the group's name is its host's
        (
            V1,
            {
                "cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/slurm/job_7/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "memory/slurm/job_7/memory.limit_in_bytes": str(4 * GIB),
                "memory/slurm/job_7/memory.usage_in_bytes": str(GIB),
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            3,
            3,
        ),
    ],
)
def test_the_tightest_limit_counts(groups: str, files: dict[str, str], cpus: int, gib: int, tmp_path: Path) -> None:
    found = find_limits(tree(tmp_path, groups, files))
    assert (found.cpus, found.memory_mb, found.memory_is_limited) == (cpus, gib * 1024, gib < 64)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="taskset is Linux'")
def test_affinity_counts_as_taskset_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert find_limits().cpus == 1
    finally:
        os.sched_setaffinity(0, before)
