"""When a claim holds: judged from a search's records and from what it said."""

from dataclasses import replace

import pytest

from benchmarks.gpu import judge
from benchmarks.gpu.judge import Share
from search import record
from search.driver.machine import Gpu, Host
from search.driver.resources import choose_resources
from search.plan.settings import ResourceSettings
from search.record import TrialRecord
from tests.benchmarks.gpu.conftest import make_trial

SHARE = Share(0.5, 1_000.0, 1_800.0, "two fit")
TOO_LARGE = "MemoryError: A trial must fit into memory. Received: OOM when allocating tensor."


def test_the_share_is_read_as_the_plan_says_it() -> None:
    host = Host(cpus=8, gpus=1, memory_mb=64_000, gpu=Gpu(24_000, (8, 6)))
    chosen = choose_resources(ResourceSettings(), "auto", (host,), trials=4, backbones=False, peak_mb=4_000.0)
    share = judge.read_share("\n".join(["Searching", *chosen.reasons]))
    assert (share.gpu, share.peak_mb, share.needed_mb) == (chosen.gpu, 4_000.0, 5_400.0)
    unknown = choose_resources(ResourceSettings(), "auto", (host,), trials=4, backbones=False)
    assert judge.read_share("\n".join(unknown.reasons)).needed_mb == 0
    without = choose_resources(ResourceSettings(), "auto", (Host(8),), trials=4, backbones=False)
    with pytest.raises(RuntimeError, match="says the share"):
        judge.read_share("\n".join(without.reasons))


@pytest.mark.parametrize(
    ("trials", "rise", "holds"),
    [
        ((make_trial(0), make_trial(1)), 1_700.0, True),
        ((make_trial(0), make_trial(1)), 0.0, True),
        ((make_trial(0), make_trial(1)), 1_900.0, False),
        ((make_trial(0), make_trial(1, begin=14.0)), 1_700.0, False),
        ((make_trial(0), make_trial(1, status=record.FAILED)), 1_700.0, False),
    ],
)
def test_trials_share_a_card_side_by_side_and_within_their_share(
    trials: tuple[TrialRecord, ...], rise: float, holds: bool
) -> None:
    found = judge.judge_shared(trials, SHARE, rise, images=300)
    assert found.holds is holds
    assert ("rose by" in found.result) is bool(rise)


def test_a_trial_that_is_too_large_fails_for_a_clear_reason_and_the_others_finish() -> None:
    large = make_trial(1, status=record.FAILED, reason=TOO_LARGE)
    assert judge.judge_too_large([make_trial(0), large]).holds
    assert not judge.judge_too_large([make_trial(0), replace(large, reason="its process was lost")]).holds
    assert not judge.judge_too_large([make_trial(0), make_trial(1)]).holds
    assert not judge.judge_too_large([make_trial(0, status=record.FAILED), large]).holds


def test_a_resumed_search_has_the_numbers_of_an_undisturbed_one_apart_from_times() -> None:
    whole, later = [make_trial(0)], [make_trial(0, begin=500.0)]
    logged = [(0, 1), (0, 2), (0, 3)]
    found = judge.judge_resumed(whole, later, logged, must_be_equal=True)
    assert found.holds
    assert "all numbers are equal" in found.result
    later[0].epochs[2] = replace(later[0].epochs[2], val_loss=0.75)
    found = judge.judge_resumed(whole, later, logged, must_be_equal=True)
    assert not found.holds
    assert "differ by up to 0.25" in found.result
    assert judge.judge_resumed(whole, later, logged, must_be_equal=False).holds
    assert not judge.judge_resumed(whole, later, [*logged, (0, 3)], must_be_equal=False).holds
    assert not judge.judge_resumed(whole, [], [], must_be_equal=False).holds


def test_a_lost_loss_is_an_infinite_gap() -> None:
    broken = make_trial()
    broken.epochs[1] = replace(broken.epochs[1], val_loss=None)
    assert judge.largest_gap([make_trial()], [broken]) == float("inf")
    assert judge.largest_gap([broken], [broken]) == 0.0
