"""What a replay looks up: the curves of `benchmarks.curves` as arrays, and the row that is nearest to a proposal."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.curves.table import Curves
from search.plan.domains import Choice, Parameter
from search.plan.settings import Settings
from search.plan.spaces import Space
from search.record import DIVERGED, TrialRecord, lower_is_better


@dataclass(frozen=True)
class Table:
    """Configurations whose learning curves are known; a row is a configuration.

    Attributes:
        space: that all were drawn from.
        settings: of the search that trained them.
        trials: one a row, N of them, each with E epochs or, if it diverged, fewer.
        steps: of an epoch, each of 32 images.
    """

    space: Space
    settings: Settings
    trials: tuple[TrialRecord, ...]
    steps: int

    @property
    def epochs(self) -> int:
        """E, the epochs of a full training."""
        return self.settings.search.max_epochs

    @property
    def metric(self) -> str:
        """The score that a choice is judged by."""
        return self.settings.search.metric

    def scores(self, metric: str) -> NDArray[np.float64]:
        """The best score up to each epoch, (N, E), lower is better; infinite where a trial has diverged."""
        sign = 1 if lower_is_better(metric) else -1
        found = np.full((len(self.trials), self.epochs), math.inf)
        for row, trial in enumerate(self.trials):
            values = [getattr(epoch, metric) for epoch in trial.epochs]
            found[row, : len(values)] = [math.inf if value is None else sign * value for value in values]
        best: NDArray[np.float64] = np.minimum.accumulate(found, axis=1)
        for row, trial in enumerate(self.trials):
            if trial.status == DIVERGED:
                best[row, len(trial.epochs) - 1 :] = math.inf
        return best

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """How long each epoch took, (N, E); 0 for those that a diverged trial does not have."""
        found = np.zeros((len(self.trials), self.epochs))
        for row, trial in enumerate(self.trials):
            found[row, : len(trial.epochs)] = [epoch.seconds for epoch in trial.epochs]
        return found

    @property
    def full_seconds(self) -> float:
        """How long one worker trains a configuration to its end, the mean of those that did not diverge."""
        ended = [trial.status != DIVERGED for trial in self.trials]
        return float(self.seconds[ended].sum(axis=1).mean())

    @cached_property
    def regrets(self) -> NDArray[np.float64]:
        """By how much a row's final score is worse than that of the best row, (N,); of a diverged row, the worst."""
        finals = self.scores(self.metric)[:, -1]
        return np.minimum(finals, finals[np.isfinite(finals)].max()) - finals.min()  # type: ignore[no-any-return]

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """Each row in the space's unit cube, (N, parameters that vary)."""
        return np.array([self.place(trial.parameters) for trial in self.trials])

    @property
    def varied(self) -> tuple[Parameter, ...]:
        """The parameters that have several values."""
        return tuple(parameter for parameter in self.space.parameters if not parameter.is_constant)

    def place(self, parameters: Mapping[str, Any]) -> NDArray[np.float64]:
        """A configuration in the unit cube: a range on its own scale, a choice by the position of its value."""
        return np.array([_coordinate(each, parameters[each.name]) for each in self.varied])


def table_of(curves: Curves) -> Table:
    """The table of all curves that do not repeat another trial's configuration."""
    trials = tuple(trial for trial in curves.trials if trial.confirms is None)
    return Table(curves.space, curves.about.settings, trials, curves.about.steps)


class Untried:
    """The rows that a replay has not tried yet.

    Whatever a rule proposes, it gets the nearest of them: by Euclid's distance in the unit cube, where two different
    values of a choice are 1 apart.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._is_choice = np.array([isinstance(each.domain, Choice) for each in table.varied])
        self._is_left = np.ones(len(table.trials), bool)

    def take(self, parameters: Mapping[str, Any]) -> int | None:
        """The row nearest to a proposal, which is then tried; `None` when no row is left."""
        if not self._is_left.any():
            return None
        apart = np.abs(self._table.places - self._table.place(parameters))
        apart[:, self._is_choice] = apart[:, self._is_choice] > 0
        distances = np.where(self._is_left, (apart**2).sum(axis=1), math.inf)
        row = int(distances.argmin())
        self._is_left[row] = False
        return row


def _coordinate(parameter: Parameter, value: Any) -> float:
    domain = parameter.domain
    if isinstance(domain, Choice):
        return domain.values.index(value) / (len(domain.values) - 1)
    low, high, at = domain.low, domain.high, value
    if domain.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return float((at - low) / (high - low))
