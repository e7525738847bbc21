"""A GPU that is not there, as the plan of a search sees it."""

import pytest

from benchmarks.gpu import pretended
from search.driver import machine
from search.driver.machine import Host
from search.driver.resources import choose_resources
from search.plan.settings import ResourceSettings


def test_a_pretended_gpu_is_shared_by_as_many_trials_as_there_are_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_hosts", lambda: (Host(pretended.CPUS, 1), Host(2)))
    shared, other = pretended.pretended_hosts()
    assert (shared.gpu, other.gpu.memory_mb) == (pretended.GPU, 0)
    chosen = choose_resources(ResourceSettings(), "auto", (shared,), trials=4, backbones=False, peak_mb=800.0)
    assert (chosen.gpu, chosen.at_a_time, chosen.precision) == (0.25, 4, "mixed_bfloat16")
