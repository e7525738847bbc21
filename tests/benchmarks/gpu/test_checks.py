"""When a claim holds: judged from a search's records and from what it said."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.gpu import checks
from benchmarks.gpu.bench import Bench, images_per_second, most_side_by_side
from benchmarks.gpu.card import Card
from benchmarks.gpu.check import FAILED, NOT_RUN, PASSED
from benchmarks.gpu.checks import QUESTIONS, Finding, Question, Share
from benchmarks.gpu.probe import Sight
from search import record
from search.driver.machine import Gpu, Host
from search.driver.resources import choose_resources
from search.plan.settings import ResourceSettings
from search.record import TrialRecord
from tests.conftest import make_epoch

CARD = Card("A10G", Gpu(24_000, (8, 6)), "570.1")
SIGHT = Sight(("A10G",), growth=True, cuda="12.5", cudnn="9", peak_mb=100.0, held_mb=700.0)
SHARE = Share(0.5, 1_000.0, 1_800.0, "two fit")
TOO_LARGE = "MemoryError: A trial must fit into memory. Received: OOM when allocating tensor."


def trial(number: int = 0, begin: float = 0.0, status: str = record.FINISHED, reason: str = "") -> TrialRecord:
    """Three epochs of 10, 2 and 2 s from a moment on."""
    lengths = (10.0, 2.0, 2.0)
    epochs = [
        make_epoch(place + 1, 0.5, seconds=length, time=begin + sum(lengths[: place + 1]))
        for place, length in enumerate(lengths)
    ]
    return TrialRecord(number, {}, 0, 3, status=status, reason=reason, epochs=epochs)


def bench_of(card: Card | None = CARD, **parts: Any) -> Bench:
    return cast(Bench, SimpleNamespace(card=card, **parts))


def question(found: Finding, needs_card: bool) -> Question:
    return Question("name", "claim", "README.md", lambda bench: found, needs_card)


@pytest.mark.parametrize(
    ("holds", "needs_card", "card", "outcome"),
    [
        (True, True, CARD, PASSED),
        (False, True, CARD, FAILED),
        (None, True, CARD, NOT_RUN),
        (True, True, None, NOT_RUN),
        (False, True, None, NOT_RUN),
        (True, False, None, PASSED),
        (False, False, None, FAILED),
    ],
)
def test_what_needs_a_card_is_not_run_without_one(
    holds: bool | None, needs_card: bool, card: Card | None, outcome: str
) -> None:
    check = checks.run_check(question(Finding(holds, "seen"), needs_card), bench_of(card))
    assert check.outcome == outcome
    assert check.result == ("seen" if card else "On the CPU: seen")


def test_a_search_that_fails_is_a_failed_check_even_on_a_pretended_card() -> None:
    def fail(bench: Bench) -> Finding:
        raise RuntimeError("python -m search.run ended with 2")

    check = checks.run_check(replace(question(Finding(True, ""), True), find=fail), bench_of(None))
    assert (check.outcome, check.result) == (FAILED, "On the CPU: python -m search.run ended with 2")


def test_images_a_second_leave_out_the_first_epoch() -> None:
    assert images_per_second(trial(), 300) == 150.0
    lost = replace(trial(status=record.FAILED, reason="its process was lost"), epochs=[])
    with pytest.raises(RuntimeError, match="trial 0, failed after 0 epochs: its process was lost"):
        images_per_second(lost, 300)


@pytest.mark.parametrize(("begins", "together"), [((0, 0, 0), 3), ((0, 5, 14), 2), ((0, 14, 28), 1)])
def test_trials_side_by_side_are_counted(begins: tuple[float, ...], together: int) -> None:
    assert most_side_by_side([trial(number, begin) for number, begin in enumerate(begins)]) == together


def test_the_share_is_read_as_the_plan_says_it() -> None:
    host = Host(cpus=8, gpus=1, memory_mb=64_000, gpu=CARD.gpu)
    chosen = choose_resources(ResourceSettings(), "auto", (host,), trials=4, backbones=False, peak_mb=4_000.0)
    share = checks.read_share("\n".join(["Searching", *chosen.reasons]))
    assert (share.gpu, share.peak_mb, share.needed_mb) == (chosen.gpu, 4_000.0, 5_400.0)
    unknown = choose_resources(ResourceSettings(), "auto", (host,), trials=4, backbones=False)
    assert checks.read_share("\n".join(unknown.reasons)).needed_mb == 0
    without = choose_resources(ResourceSettings(), "auto", (Host(8),), trials=4, backbones=False)
    with pytest.raises(RuntimeError, match="says the share"):
        checks.read_share("\n".join(without.reasons))


@pytest.mark.parametrize(
    ("trials", "rise", "holds"),
    [
        ((trial(0), trial(1)), 1_700.0, True),
        ((trial(0), trial(1)), 0.0, True),
        ((trial(0), trial(1)), 1_900.0, False),
        ((trial(0), trial(1, begin=14.0)), 1_700.0, False),
        ((trial(0), trial(1, status=record.FAILED)), 1_700.0, False),
    ],
)
def test_trials_share_a_card_side_by_side_and_within_their_share(
    trials: tuple[TrialRecord, ...], rise: float, holds: bool
) -> None:
    found = checks.judge_shared(trials, SHARE, rise, images=300)
    assert found.holds is holds
    assert ("rose by" in found.result) is bool(rise)


@pytest.mark.parametrize(
    ("sight", "holds"),
    [
        (SIGHT, True),
        (replace(SIGHT, growth=False), False),
        (replace(SIGHT, held_mb=22_000.0), False),
        (replace(SIGHT, gpus=()), False),
        (replace(SIGHT, held_mb=0.0), None),
    ],
)
def test_memory_grows_where_a_small_trial_leaves_most_of_the_card(sight: Sight, holds: bool | None) -> None:
    assert checks.find_growth(bench_of(sight=sight)).holds is holds


def test_a_trial_that_is_too_large_fails_for_a_clear_reason_and_the_others_finish() -> None:
    large = trial(1, status=record.FAILED, reason=TOO_LARGE)
    assert checks.judge_too_large([trial(0), large]).holds
    assert not checks.judge_too_large([trial(0), replace(large, reason="its process was lost")]).holds
    assert not checks.judge_too_large([trial(0), trial(1)]).holds
    assert not checks.judge_too_large([trial(0, status=record.FAILED), large]).holds


def test_a_resumed_search_has_the_numbers_of_an_undisturbed_one_apart_from_times() -> None:
    whole, later = [trial(0)], [trial(0, begin=500.0)]
    logged = [(0, 1), (0, 2), (0, 3)]
    found = checks.judge_resumed(whole, later, logged, must_be_equal=True)
    assert found.holds
    assert "all numbers are equal" in found.result
    later[0].epochs[2] = replace(later[0].epochs[2], val_loss=0.75)
    found = checks.judge_resumed(whole, later, logged, must_be_equal=True)
    assert not found.holds
    assert "differ by up to 0.25" in found.result
    assert checks.judge_resumed(whole, later, logged, must_be_equal=False).holds
    assert not checks.judge_resumed(whole, later, [*logged, (0, 3)], must_be_equal=False).holds
    assert not checks.judge_resumed(whole, [], [], must_be_equal=False).holds


def test_a_lost_loss_is_an_infinite_gap() -> None:
    broken = trial()
    broken.epochs[1] = replace(broken.epochs[1], val_loss=None)
    assert checks.largest_gap([trial()], [broken]) == float("inf")
    assert checks.largest_gap([broken], [broken]) == 0.0


def test_claims_name_documents_that_are_there() -> None:
    root = Path(checks.__file__).parents[2]
    assert len({each.name for each in QUESTIONS}) == len(QUESTIONS) > 5
    for each in QUESTIONS:
        text = " ".join((root / each.source).read_text().split())
        assert each.claim.lower() in text.lower(), each.claim
