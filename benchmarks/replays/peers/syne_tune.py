"""Syne Tune's schedulers as rules: they suggest a configuration and decide after each epoch, as its tuner asks them."""

import logging
from datetime import datetime
from typing import Any

import numpy as np

from benchmarks.curves.table import configuration
from benchmarks.replays.simulation import Verdict
from benchmarks.replays.table import Table, Untried
from search.plan.domains import Choice, Integer
from search.plan.searcher import study_parameters


class SyneTuneRule:
    """A multi-fidelity scheduler of Syne Tune; it is told the configuration of the row, not its own proposal.

    Args:
        table: of the curves.
        seed: of the replay.
        scheduler: a class of `syne_tune.optimizer.baselines`; its settings are the library's defaults.
    """

    def __init__(self, table: Table, seed: int, scheduler: str) -> None:
        from syne_tune.optimizer import baselines

        logging.getLogger("syne_tune").setLevel(logging.ERROR)  # it warns of an argument of its own
        self._table, self._untried = table, Untried(table)
        np.random.seed(seed)  # its random configurations are drawn from NumPy's global generator
        self._scheduler: Any = getattr(baselines, scheduler)(
            config_space=_space(table), metric="score", time_attr="epoch", max_t=table.epochs, random_seed=seed
        )
        self._trials: dict[int, Any] = {}

    def ask(self) -> int | None:
        """A new row: none of these schedulers resumes a trial."""
        from syne_tune.backend.trial_status import Trial

        suggestion = self._scheduler.suggest()
        row = None if suggestion is None else self._untried.take(configuration(self._table.space, suggestion.config))
        if row is None:
            return None
        values = study_parameters(self._table.space, self._table.trials[row].parameters)
        self._trials[row] = Trial(len(self._trials), values, datetime.fromtimestamp(0))
        self._scheduler.on_trial_add(self._trials[row])
        return row

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        """The scheduler's word."""
        trial, result = self._trials[row], {"epoch": epoch, "score": score}
        if epoch == len(self._table.trials[row].epochs):
            self._scheduler.on_trial_complete(trial, result)
            return Verdict.STOP
        stops = self._scheduler.on_trial_result(trial, result) == "STOP"
        return Verdict.STOP if stops else Verdict.GO_ON


def _space(table: Table) -> dict[str, Any]:
    """The space in Syne Tune's domains."""
    from syne_tune import config_space

    found: dict[str, Any] = {}
    for each in table.varied:
        domain = each.domain
        if isinstance(domain, Choice):
            found[each.name] = config_space.choice(list(domain.labels))
        elif isinstance(domain, Integer):
            found[each.name] = (config_space.lograndint if domain.log else config_space.randint)(
                domain.low, domain.high
            )
        else:
            found[each.name] = (config_space.loguniform if domain.log else config_space.uniform)(
                domain.low, domain.high
            )
    return found
