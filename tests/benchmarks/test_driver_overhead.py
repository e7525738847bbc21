import pytest

from benchmarks.driver_overhead import BARE, OURS, PLAIN, REUSE, Course, Meter, suggestion_seconds, summarize


def course(factor: float, trials: int = 300) -> Course:
    """Two seconds to start, then `factor` times 10 ms a trial and 1 MiB a hundred trials."""
    ended = tuple(2 + factor * block for block in (1.0, 2.0, 3.0))
    return Course(trials, ended[-1] + 1, ended, tuple(200 + factor * block for block in (1.0, 2.0, 3.0)))


def test_seconds_a_trial_by_hundreds() -> None:
    assert course(1).blocks == pytest.approx((0.03, 0.01, 0.01))
    assert course(1).seconds_a_trial == pytest.approx(6 / 300)


def test_the_meter_reads_at_every_hundredth_trial_once() -> None:
    meter = Meter()
    for ended in (0, 1, 99, 100, 100, 101, 200):
        meter.count(ended)
    found = meter.course()
    assert (found.trials, len(found.ended), len(found.memory_mib)) == (200, 2, 2)
    assert 0 < found.ended[0] <= found.ended[1] <= found.seconds
    assert found.memory_mib[0] > 10


def test_ours_is_compared_with_each_of_tunes_ways() -> None:
    courses = {OURS: [course(1), course(3)], PLAIN: [Course(30, 30.0, (), ())] * 2}
    courses |= {REUSE: [course(2)] * 2, BARE: [course(1)] * 2}
    found = summarize(courses, {"random": [0.001] * 300, "tpe": [0.01] * 300}, 0.0005)
    assert [(entry.peer.name, entry.bound.value) for entry in found.comparisons] == [
        (PLAIN, 0.05),
        (REUSE, 1.0),
        (BARE, 1.0),
    ]
    assert found.comparisons[0].ours.values == pytest.approx((6 / 300, 12 / 300))
    assert found.comparisons[0].ratio == pytest.approx(9 / 300)
    pace, memory = found.targets
    assert pace.quantity.median == pytest.approx(1)
    assert memory.quantity.values == pytest.approx((203 / 201, 209 / 203))
    figures = {entry.name: entry.median for entry in found.others}
    assert figures[f"{OURS}, memory a trial from the 100th on"] == pytest.approx(2 * 10.24)
    assert figures["a suggestion of tpe near trial 300"] == pytest.approx(10)
    assert "2.0 ms" in found.physical_limit


def test_suggestions_are_timed_one_by_one() -> None:
    taken = suggestion_seconds("tpe", 12)
    assert len(taken) == 12
    assert min(taken) > 0
