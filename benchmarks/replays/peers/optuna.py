"""Optuna's samplers and pruners as rules: a study that is asked and told, as its documentation shows."""

import math
from typing import TYPE_CHECKING

from benchmarks.curves.table import configuration
from benchmarks.replays.simulation import Verdict
from benchmarks.replays.table import Table, Untried
from search.plan.searcher import distributions, study_parameters

if TYPE_CHECKING:
    import optuna


class OptunaRule:
    """A study whose trials report every epoch and may be pruned after it; none is ever paused.

    A proposal is told as failed, and the row that replaces it is enqueued: the study knows what was trained.

    Args:
        table: of the curves.
        seed: of the replay.
        sampler: a class of `optuna.samplers`.
        pruner: of the study.
    """

    def __init__(self, table: Table, seed: int, sampler: str, pruner: "optuna.pruners.BasePruner") -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._table, self._untried = table, Untried(table)
        self._distributions = distributions(table.space, table.trials[0].parameters)
        # The Hyperband pruner draws a trial's bracket from the study's name.
        self._study = optuna.create_study(
            sampler=getattr(optuna.samplers, sampler)(seed=seed), pruner=pruner, study_name=f"replay {seed}"
        )
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self) -> int | None:
        """A new row."""
        from optuna.trial import TrialState

        proposed = self._study.ask(self._distributions)
        self._study.tell(proposed, state=TrialState.FAIL)
        row = self._untried.take(configuration(self._table.space, proposed.params))
        if row is None:
            return None
        self._study.enqueue_trial(study_parameters(self._table.space, self._table.trials[row].parameters))
        self._trials[row] = self._study.ask(self._distributions)
        return row

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        """The pruner's word."""
        from optuna.trial import TrialState

        trial = self._trials[row]
        if math.isinf(score):
            self._study.tell(trial, state=TrialState.FAIL)
            return Verdict.STOP
        trial.report(score, epoch)
        if epoch == self._table.epochs:
            self._study.tell(trial, score)
            return Verdict.STOP
        if trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
            return Verdict.STOP
        return Verdict.GO_ON


def build_optuna(table: Table, seed: int, sampler: str, pruner: str) -> OptunaRule:
    """Optuna with a sampler and a pruner by name: `hyperband`, `halving` or `none`; their settings are its defaults."""
    from optuna import pruners

    built: dict[str, pruners.BasePruner] = {
        "hyperband": pruners.HyperbandPruner(max_resource=table.epochs),
        "halving": pruners.SuccessiveHalvingPruner(),
        "median": pruners.MedianPruner(),
        "none": pruners.NopPruner(),
    }
    return OptunaRule(table, seed, sampler, built[pruner])
