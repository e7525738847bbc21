"""The checks: their outcomes with and without a GPU, and the documents that they quote."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.gpu import checks
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.card import Card
from benchmarks.gpu.check import FAILED, NOT_RUN, PASSED
from benchmarks.gpu.checks import QUESTIONS, Question
from benchmarks.gpu.judge import Finding
from benchmarks.gpu.probe import Sight
from search.driver.machine import Gpu

CARD = Card("A10G", Gpu(24_000, (8, 6)), "570.1")
SIGHT = Sight(("A10G",), growth=True, cuda="12.5", cudnn="9", peak_mb=100.0, held_mb=700.0)


def bench_of(card: Card | None = CARD, **parts: Any) -> Bench:
    return cast(Bench, SimpleNamespace(card=card, time_is_over=False, **parts))


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


def test_what_no_check_expects_is_a_failed_check_and_not_the_end() -> None:
    check = checks.run_check(replace(question(Finding(True, ""), False), find=lambda bench: 1 // 0), bench_of())
    assert (check.outcome, check.result.partition(":")[0]) == (FAILED, "ZeroDivisionError")


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


def test_claims_name_documents_that_are_there() -> None:
    root = Path(checks.__file__).parents[2]
    assert len({each.name for each in QUESTIONS}) == len(QUESTIONS) > 5
    for each in QUESTIONS:
        text = " ".join((root / each.source).read_text().split())
        assert each.claim.lower() in text.lower(), each.claim
