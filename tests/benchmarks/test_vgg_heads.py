"""The peer's epoch scaled to all trials, and the work of the heads."""

import pytest

from benchmarks import vgg_heads
from benchmarks.measurement import Machine
from benchmarks.searches import fixed_words, listed_words
from benchmarks.vgg_heads import EPOCHS, FIXED, GRID, SIZE, Epoch, Ours, Plan
from search.plan.space_file import read_space
from search.plan.spaces import listed_plans
from search.plan.words import load_settings

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)
PLAN = Plan(GRID, EPOCHS, SIZE)


def test_the_command_makes_twenty_trials() -> None:
    settings = load_settings(["space=vgg2", *fixed_words(FIXED), *listed_words(GRID), "search.searcher=grid"])
    plans = listed_plans(read_space(settings), settings)
    assert plans is not None
    assert len(plans) == PLAN.trials == 20
    assert {tuple(plan.parameters["dense"]) for plan in plans} == {(), (64,), (128,), (256,)}


def test_the_epoch_is_taken_for_every_trial_and_the_start_once() -> None:
    assert vgg_heads.scale(Epoch(before=30.0, seconds=400.0), PLAN) == 30.0 + 400.0 * 20 * 15


def test_bounds_are_fifty_and_five_hundred_times() -> None:
    cold, warm, peer = [Ours(100.0, 90.0)], [Ours(100.0, 40.0)], [Epoch(0.0, 100.0 / 6)]
    found = vgg_heads.summarize(cold, warm, peer, [2e-4], PLAN, 5000, MACHINE)
    assert not found.targets[0].is_reached
    assert [each.ratio for each in found.comparisons] == pytest.approx([1 / 50, 1 / 50])
    assert [each.is_reached for each in found.comparisons] == [True, False]
    assert [each.median for each in found.others[:2]] == [90.0, 40.0]


def test_work_of_the_heads() -> None:
    plan = Plan({"learning_rate": [0.1, 0.2], "dense": [[], [64]]}, epochs=2, size=224)
    forward = 2 * 512 + 2 * (512 * 64 + 64)
    assert vgg_heads.heads_flops(plan, images=10) == 3 * 2 * forward * 2 * 10
