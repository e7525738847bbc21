"""The project's own searcher and scheduler as a rule: the code of a search, called as its driver calls it."""

from dataclasses import replace

from benchmarks.replays.simulation import Verdict
from benchmarks.replays.table import Table, Untried
from search.plan.scheduler import build_scheduler
from search.plan.searcher import build_searcher
from search.plan.settings import Settings
from search.record import DIVERGED, FAILED, FINISHED, RUNNING, STOPPED, WAITING, TrialRecord


class OurRule:
    """A search with these settings; see `search.driver.state.SearchState`, which asks in the same order.

    A proposal is taken back as a failed trial, and the row is restored in its place: the searcher then knows what was
    trained, as it does in a resumed search.

    Args:
        table: of the curves.
        settings: of the search; it has as many trials as the table has rows.
    """

    def __init__(self, table: Table, settings: Settings) -> None:
        count = len(table.trials)
        self._settings = replace(settings, search=replace(settings.search, num_trials=count))
        self._table, self._untried = table, Untried(table)
        self._searcher = build_searcher(table.space, self._settings)
        self._scheduler = build_scheduler(self._settings.search, count)
        self._rows: list[int] = []  # of each trial
        self._numbers: dict[int, int] = {}
        self._trials: dict[int, TrialRecord] = {}
        self._targets: dict[int, int] = {}

    def ask(self) -> int | None:
        """A promoted trial's row, or a new one."""
        number = self._scheduler.promote()
        if number is None:
            if len(self._rows) == self._settings.search.num_trials:
                return None
            number = self._suggest()
        self._targets[number] = self._scheduler.target(self._trials[number])
        return self._rows[number]

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        """To its target a trial goes on; there the scheduler and the searcher learn of it."""
        number = self._numbers[row]
        known = self._table.trials[row]
        is_last = epoch == len(known.epochs)
        if epoch < self._targets[number] and not is_last:
            return Verdict.GO_ON
        status = (DIVERGED if known.status == DIVERGED else FINISHED) if is_last else WAITING
        self._settle(replace(self._trials[number], epochs=known.epochs[:epoch], status=status))
        for dropped in self._scheduler.drop():
            self._trials[dropped] = replace(self._trials[dropped], status=STOPPED)
            self._searcher.tell(self._trials[dropped])
        return Verdict.PAUSE

    def _suggest(self) -> int:
        number = len(self._rows)
        plan = self._searcher.suggest(number)
        row = self._untried.take(plan.parameters)
        if row is None:
            raise ValueError(f"A search has as many trials as the table has rows. Received: trial {number}.")
        trial = TrialRecord(number, plan.parameters, 0, self._table.epochs, status=FAILED)
        self._searcher.tell(trial)
        trial = replace(trial, parameters=self._table.trials[row].parameters, status=RUNNING)
        self._searcher.restore([trial])
        self._rows.append(row)
        self._numbers[row], self._trials[number] = number, trial
        self._scheduler.place(trial)
        return number

    def _settle(self, trial: TrialRecord) -> None:
        self._trials[trial.number] = trial
        self._searcher.tell(trial)
        self._scheduler.place(trial)
