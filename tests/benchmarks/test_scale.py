"""What a driver did while all its workers were at work."""

import pytest

from benchmarks.measurement import Machine
from benchmarks.scale import Load, Reading, find_load, state_seconds, summarize

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)


def test_the_load_is_read_while_every_worker_is_at_work() -> None:
    # Two workers, two trials each: the second worker begins a second late, and the first one ends first.
    trials = [[2.0, 4.0], [3.0, 5.0], [6.0, 8.0], [7.0, 9.0]]
    readings = [Reading(at / 2, 0.1 * at / 2, 100.0 + at) for at in range(24)]
    found = find_load(2, trials, readings)
    # From 3.0, the second worker's first epoch, to 8.0, when one trial is left: epochs at 4, 5, 6, 7 and 8.
    assert found.rate == pytest.approx(1.0)
    assert found.busy == pytest.approx(1.0)
    assert found.cpu_ms == pytest.approx(1000 * 0.5 / 5)
    assert found.memory_mib == 123.0


def test_the_driver_s_limit_follows_from_its_cpu_time() -> None:
    loads = {16: [Load(16, 8.0, 3.0, 200.0)], 64: [Load(64, 24.0, 5.0, 220.0), Load(64, 28.0, 3.0, 220.0)]}
    found = summarize(loads, {"random": [[0.001] * 100 + [0.003] * 100]}, MACHINE)
    assert [target.is_reached for target in found.targets] == [True, False]
    assert [each.median for each in found.others[-2:]] == pytest.approx([1.0, 3.0])
    assert "4.0 ms an epoch: 250 epochs a second" in found.physical_limit


def test_the_state_is_timed_over_a_whole_search() -> None:
    taken = state_seconds("random", 12)
    assert len(taken) == 12
    assert min(taken) > 0
