import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from search.driver.machine import planned_resources, smallest_gpu

ROOT = Path(__file__).parents[3]
GIB = 2**30


class FakeError(Exception):
    """Stands for NVMLError."""


def fake_nvml(monkeypatch: pytest.MonkeyPatch, gpus: list[tuple[int | None, tuple[int, int]]] | None) -> None:
    """Put a fake pynvml in place: GPUs with their memory (None: not reported) and capability; None without a driver."""

    def init() -> None:
        if gpus is None:
            raise FakeError("NVML Shared Library Not Found")

    def memory(place: int) -> SimpleNamespace:
        if gpus[place][0] is None:
            raise FakeError("Not Supported")
        return SimpleNamespace(total=gpus[place][0])

    module = ModuleType("pynvml")
    module.__dict__.update(
        NVMLError=FakeError,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda place: place,
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetCudaComputeCapability=lambda place: gpus[place][1],
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)


@pytest.mark.parametrize(
    ("gpus", "smallest"),
    [
        ([(24 * GIB, (8, 9)), (16 * GIB, (7, 5))], (16 * 1024, (7, 5))),
        ([(16 * GIB, (7, 5)), (None, (8, 9))], (16 * 1024, (7, 5))),
        ([(None, (12, 1))], (0, (0, 0))),
        ([], (0, (0, 0))),
        (None, (0, (0, 0))),
    ],
)
def test_the_smallest_gpu_counts(gpus: list | None, smallest: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(monkeypatch, gpus)
    assert smallest_gpu() == smallest


def test_a_host_without_nvidias_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def init() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", init)
    assert smallest_gpu() == (0, (0, 0))


def test_workers_that_an_autoscaler_may_start_count() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    assert planned_resources(cluster) == ({"CPU": 64.0, "GPU": 8.0}, 8.0)
    cluster["available_node_types"]["gpu_on_demand"]["max_workers"] = 5
    assert planned_resources(cluster)[0] == {"CPU": 64.0, "GPU": 8.0}  # eight in all
    assert planned_resources(cluster | {"max_workers": 3}) == ({"CPU": 24.0, "GPU": 3.0}, 8.0)
    local = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())
    assert planned_resources(local) == ({}, 0.0)
