import sys
from types import ModuleType, SimpleNamespace

import pytest

from search.driver.machine import Gpu, Host, by_name, count_gpus, describe_hosts, group_hosts, least_gpu, with_coming

GIB = 2**30


class FakeError(Exception):
    """Stands for NVMLError."""


class FakeGpu:
    """A GPU, or a slice of one: memory (None: it answers 'Not Supported', as nvidia-smi's [N/A]) and capability."""

    def __init__(
        self, memory: int | None, capability: tuple[int, int] | None, slices: tuple["FakeGpu", ...] = ()
    ) -> None:
        self.memory, self.capability, self.slices = memory, capability, slices
        self.whole: FakeGpu | None = None
        for each in slices:
            each.whole = self


def fake_nvml(monkeypatch: pytest.MonkeyPatch, gpus: dict[str, FakeGpu] | None) -> None:
    """Put a fake pynvml in place: GPUs by UUID; None without a driver."""

    def found(value: object) -> object:
        if value is None:
            raise FakeError("Not Supported")
        return value

    def init() -> None:
        found(gpus)

    known = dict(gpus or {})
    for uuid, gpu in (gpus or {}).items():
        known |= {f"MIG-{uuid}-{place}": each for place, each in enumerate(gpu.slices)}
    module = ModuleType("pynvml")
    module.__dict__.update(
        NVMLError=FakeError,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda place: found(dict(enumerate(gpus.values())).get(place)),
        nvmlDeviceGetHandleByUUID=lambda uuid: found(known.get(uuid)),
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(total=found(gpu.memory)),
        nvmlDeviceGetCudaComputeCapability=lambda gpu: found(gpu.capability),
        nvmlDeviceGetMigMode=lambda gpu: [1, 1] if gpu.slices else found(None),
        nvmlDeviceGetMaxMigDeviceCount=lambda gpu: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=lambda gpu, place: found(dict(enumerate(gpu.slices)).get(place)),
        nvmlDeviceGetDeviceHandleFromMigDeviceHandle=lambda gpu: found(gpu.whole),
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)


L4, T4, GB10 = FakeGpu(24 * GIB, (8, 9)), FakeGpu(16 * GIB, (7, 5)), FakeGpu(None, (12, 1))


def a100() -> FakeGpu:
    """Cut into a slice of 20 GiB and one of 10, which know no capability of their own."""
    return FakeGpu(80 * GIB, (8, 0), (FakeGpu(20 * GIB, None), FakeGpu(10 * GIB, None)))


@pytest.mark.parametrize(
    ("gpus", "visible", "least", "count"),
    [
        ({"a": L4, "b": T4}, None, Gpu(16 * 1024, (7, 5)), 2),
        ({"a": L4, "b": T4}, "0", Gpu(24 * 1024, (8, 9)), 1),
        ({"a": L4, "b": T4}, "b,a", Gpu(16 * 1024, (7, 5)), 2),
        ({"a": T4, "b": GB10}, None, Gpu(16 * 1024, (7, 5)), 2),
        ({"a": GB10, "b": T4}, None, Gpu(16 * 1024, (7, 5)), 2),
        ({"a": GB10}, None, Gpu(0, (12, 1)), 1),
        ({"a": a100()}, "MIG-a-0", Gpu(20 * 1024, (8, 0)), 1),
        ({"a": a100()}, "MIG-a-0,MIG-a-1", Gpu(10 * 1024, (8, 0)), 2),
        ({"a": a100()}, None, Gpu(10 * 1024, (8, 0)), 1),
        ({"a": L4}, "9", Gpu(), 0),
        ({"a": L4}, "-1", Gpu(), 0),
        ({"a": L4, "b": T4}, "0,-1,1", Gpu(24 * 1024, (8, 9)), 1),
        ({}, None, Gpu(), 0),
        (None, None, Gpu(), 0),
    ],
)
def test_the_least_gpu_counts(
    gpus: dict | None, visible: str | None, least: Gpu, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    fake_nvml(monkeypatch, gpus)
    assert (least_gpu(), count_gpus()) == (least, count)


def test_a_host_without_nvidias_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def init() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", init)
    assert (least_gpu(), count_gpus()) == (Gpu(), 0)


def test_equal_hosts_count_together_with_the_least_memory_of_them() -> None:
    hosts = [Host(4, 1, 14_010), Host(16), Host(4, 1, 13_990), Host(4, 1, 30_000)]
    assert group_hosts(hosts) == (Host(4, 1, 30_000), Host(4, 1, 13_990, count=2), Host(16))
    assert group_hosts(reversed(hosts)) == group_hosts(hosts)  # Ray gives them in any order
    assert describe_hosts(hosts[:1]) == "4 CPUs, 1 GPU, 14 GB of memory"
    assert describe_hosts(group_hosts(hosts)).endswith("; 2 of 4 CPUs, 1 GPU, 14 GB of memory; 1 of 16 CPUs")


def test_of_the_hosts_that_are_planned_those_that_are_there_do_not_come_again() -> None:
    present = (Host(0, memory_mb=5_000), Host(8, 1, 20_000, count=2))
    planned = (Host(8, 1, count=8), Host(64, count=1))
    coming = (Host(8, 1, count=6, is_coming=True), Host(64, is_coming=True))
    assert with_coming(present, planned) == (*present, *coming)
    assert with_coming((Host(8, 1, count=9),), planned[:1]) == (Host(8, 1, count=9),)
    one_of_each = (Host(8, 1, count=2), Host(8, 1, 9_000, count=2))
    assert with_coming((Host(8, 1, count=3),), one_of_each)[1:] == (Host(8, 1, 9_000, is_coming=True),)


def test_hosts_that_share_a_name_are_all_asked() -> None:
    """Of containers of one name, the one whose disk is full must not hide behind another."""
    nodes = [
        {"NodeManagerHostname": name, "NodeID": f"{place}0000000-long"} for place, name in enumerate(("a", "b", "a"))
    ]
    assert by_name(nodes) == {"a": nodes[0], "b": nodes[1], "a 20000000": nodes[2]}
