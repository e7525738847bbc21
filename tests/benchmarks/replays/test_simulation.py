"""The simulated clock, its workers, and what a rule would have chosen."""

import numpy as np
import pytest

from benchmarks.replays.simulation import Course, Verdict, replay
from benchmarks.replays.table import Table
from tests.benchmarks.replays.made_up import EPOCHS, made_up_table


@pytest.fixture(scope="module")
def table() -> Table:
    return made_up_table(12)


class InOrder:
    """Asks for rows in an order, trains each to an epoch, and notes what it hears."""

    def __init__(self, rows: list[int], until: int = EPOCHS, then: Verdict = Verdict.STOP) -> None:
        self.rows, self.until, self.then = rows, until, then
        self.heard: list[tuple[int, int]] = []

    def ask(self) -> int | None:
        return self.rows.pop(0) if self.rows else None

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        self.heard.append((row, epoch))
        return self.then if epoch == self.until else Verdict.GO_ON


def test_one_worker_trains_row_after_row_and_two_side_by_side(table: Table) -> None:
    scores = table.scores(table.metric)  # rows 0, 1 and 2 take 1, 2 and 3 seconds an epoch
    one = InOrder([0, 1])
    replay(table, one, scores, 1, 1e9)
    assert one.heard == [(0, epoch) for epoch in range(1, EPOCHS + 1)] + [(1, epoch) for epoch in range(1, EPOCHS + 1)]
    two = InOrder([0, 1], until=2)
    replay(table, two, scores, 2, 1e9)
    assert two.heard == [(0, 1), (1, 1), (0, 2), (1, 2)]  # after 1, 2, 2 and 4 seconds


def test_the_clock_ends_a_replay(table: Table) -> None:
    rule = InOrder([1])
    replay(table, rule, table.scores(table.metric), 1, 5.0)
    assert rule.heard == [(1, 1), (1, 2)]


def test_a_paused_row_goes_on_where_it_was(table: Table) -> None:
    rule = InOrder([0, 1, 0], until=3, then=Verdict.PAUSE)
    replay(table, rule, table.scores(table.metric), 1, 1e9)
    assert rule.heard[:7] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (0, 4)]
    assert rule.heard[-1] == (0, EPOCHS)


@pytest.mark.parametrize("rows", [[0, 0], [3, 1, 3]])
def test_a_row_that_trains_or_has_ended_is_refused(table: Table, rows: list[int]) -> None:
    with pytest.raises(ValueError, match=f"Received: {rows[0]}"):
        replay(table, InOrder(rows), table.scores(table.metric), 2 if len(rows) == 2 else 1, 1e9)


def test_the_choice_is_the_best_score_that_was_seen(table: Table) -> None:
    scores = table.scores(table.metric)
    course = replay(table, InOrder([0, 1, 2]), scores, 1, 1e9)
    best_seen = int(scores[:3].min(axis=1).argmin())
    assert course.rows[-1] == best_seen
    assert list(course.seconds) == sorted(course.seconds)
    assert course.seconds[0] == table.seconds[0, 0]


def test_regret_before_the_first_score_is_a_random_rows() -> None:
    regrets = np.array([0.0, 1.0, 5.0])
    course = Course((2.0, 4.0), (2, 0))
    assert course.regrets_at(np.array([1.0, 2.0, 3.9, 4.0, 9.0]), regrets).tolist() == [2.0, 5.0, 5.0, 0.0, 0.0]
    assert Course((), ()).regrets_at(np.array([1.0]), regrets).tolist() == [2.0]
