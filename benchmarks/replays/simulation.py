"""A simulated cluster: workers train rows of a table, a rule says which, and a clock counts the seconds."""

import heapq
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.replays.table import Table


class Verdict(Enum):
    """What becomes of a trial after an epoch."""

    GO_ON = auto()
    PAUSE = auto()  # it gives up its worker, and may be asked for again: it then goes on where it was
    STOP = auto()


class Rule(Protocol):
    """A way of searching: which row a free worker trains, and how long."""

    def ask(self) -> int | None:
        """The row that a free worker trains now, a new or a paused one; `None` if there is none at the moment."""

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        """What a row that has just trained an epoch does next; after its last epoch the answer is ignored.

        Args:
            row: of the table.
            epoch: 1 for the first.
            score: the best one up to that epoch, lower is better; infinite if the trial diverged, which ends it.
        """


@dataclass(frozen=True)
class Course:
    """What a rule would have chosen, from when on.

    Attributes:
        seconds: the moments at which its choice changed, ascending.
        rows: its choice from each of them on.
    """

    seconds: tuple[float, ...]
    rows: tuple[int, ...]

    def regrets_at(self, moments: NDArray[np.float64], regrets: NDArray[np.float64]) -> NDArray[np.float64]:
        """The regret of its choice at each of the moments, float64; before the first, that of a random choice.

        Args:
            moments: seconds.
            regrets: of each row of the table.
        """
        chosen = np.searchsorted(self.seconds, moments, side="right") - 1
        known = regrets[np.array(self.rows, int)[chosen]] if self.rows else np.zeros(len(moments))
        return np.where(chosen >= 0, known, regrets.mean())


def replay(table: Table, rule: Rule, scores: NDArray[np.float64], workers: int, seconds: float) -> Course:
    """What the rule would have chosen in so many seconds, the time of its own decisions not counted.

    It chooses the row with the best score that it has seen.

    Args:
        table: of the curves.
        rule: without any trial yet.
        scores: that the rule is told and chooses by, (N, E), lower is better.
        workers: that train at a time.
        seconds: of the simulated clock.

    Raises:
        ValueError: the rule asks for a row that is training or has ended.
    """
    now, free, best = 0.0, workers, np.inf
    trained: dict[int, int] = {}  # epochs of each row that has begun
    resting: set[int] = set()
    events: list[tuple[float, int, int]] = []  # when an epoch ends, the order of their beginnings, the row
    changes: list[tuple[float, int]] = []
    begun = 0

    def train(row: int) -> None:
        nonlocal begun
        begun += 1
        heapq.heappush(events, (now + table.seconds[row, trained[row]], begun, row))

    while True:
        while free and (row := rule.ask()) is not None:
            if row in trained and row not in resting:
                raise ValueError(f"A worker trains a new or a paused row. Received: {row}, which trains or has ended.")
            resting.discard(row)
            trained.setdefault(row, 0)
            train(row)
            free -= 1
        if not events or events[0][0] > seconds:
            break
        now, _, row = heapq.heappop(events)
        trained[row] += 1
        score = scores[row, trained[row] - 1]
        if score < best:
            best = score
            if not changes or changes[-1][1] != row:
                changes.append((now, row))
        verdict = rule.tell(row, trained[row], float(score))
        if trained[row] < len(table.trials[row].epochs) and verdict is Verdict.GO_ON:
            train(row)
            continue
        free += 1
        if trained[row] < len(table.trials[row].epochs) and verdict is Verdict.PAUSE:
            resting.add(row)
    return Course(tuple(moment for moment, _ in changes), tuple(row for _, row in changes))
