"""Rules of libraries that ask for a configuration at a budget of epochs, and are told its score there: DEHB, SMAC."""

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.curves.table import configuration
from benchmarks.replays.simulation import Verdict
from benchmarks.replays.table import Table, Untried
from search.plan.domains import Choice, Integer

_KNOWN_IN_A_ROW = 1_000  # jobs whose scores are known already: a library that asks for no others has come to its end


@dataclass(frozen=True)
class Job:
    """What a library asks for.

    Attributes:
        key: equal for equal configurations.
        values: of the parameters that vary, choices by their labels.
        epochs: the budget, from the first epoch on.
        told: what the library wants back with the score.
    """

    key: Hashable
    values: Mapping[str, Any]
    epochs: int
    told: Any


class BudgetRule(ABC):
    """Trains the row of a configuration to the budget, from where it is.

    A configuration keeps its row: a larger budget goes on with it, and a budget that it has reached costs nothing. The
    library knows its own proposal and not the row's configuration, because its brackets name the configurations.

    Args:
        table: of the curves.
    """

    def __init__(self, table: Table) -> None:
        self._table, self._untried = table, Untried(table)
        self._scores: dict[int, list[float]] = {}
        self._rows: dict[Hashable, int] = {}
        self._training: dict[int, Job] = {}

    def _folder(self) -> Path:
        """A new folder for what the library writes; it goes when the rule does."""
        folder = Path(tempfile.mkdtemp(prefix="replay-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _job(self, config: Any, budget: float, told: Any) -> Job:
        """The job of a configuration of ConfigSpace; its values are in the space's order and in Python's own types."""
        given = {each.name: config[each.name] for each in self._table.varied}
        values = {name: each.item() if isinstance(each, np.generic) else each for name, each in given.items()}
        return Job(tuple(values.values()), values, max(1, round(budget)), told)

    @abstractmethod
    def _next_job(self) -> Job | None:
        """The library's next job."""

    @abstractmethod
    def _report(self, job: Job, score: float) -> None:
        """Tell the library the score of a job."""

    def ask(self) -> int | None:
        """The row of the next job; jobs whose scores are known are told at once."""
        for _ in range(_KNOWN_IN_A_ROW):
            job = self._next_job()
            if job is None:
                return None
            row = self._rows.get(job.key)
            if row is None or row in self._training:
                row = self._untried.take(configuration(self._table.space, job.values))
                if row is None:
                    return None
                self._rows[job.key], self._scores[row] = row, []
            known = self._scores[row]
            epochs = min(job.epochs, len(self._table.trials[row].epochs))
            if len(known) < epochs:
                self._training[row] = job
                return row
            self._report(job, known[epochs - 1])
        return None

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        """On to the job's budget."""
        self._scores[row].append(score)
        if epoch < min(self._training[row].epochs, len(self._table.trials[row].epochs)):
            return Verdict.GO_ON
        self._report(self._training.pop(row), score)
        return Verdict.PAUSE


class DehbRule(BudgetRule):
    """DEHB asked and told; its settings are its defaults.

    Args:
        table: of the curves.
        seed: of the replay.
    """

    def __init__(self, table: Table, seed: int) -> None:
        from dehb import DEHB
        from loguru import logger

        super().__init__(table)
        logger.remove()
        space = config_space(table, seed)
        self._dehb: Any = DEHB(
            cs=space,
            dimensions=len(space),
            min_fidelity=1,
            max_fidelity=table.epochs,
            seed=seed,
            n_workers=1,
            save_freq="end",
            output_path=self._folder(),
        )

    def _next_job(self) -> Job:
        job = self._dehb.ask()
        return self._job(job["config"], job["fidelity"], job)

    def _report(self, job: Job, score: float) -> None:
        self._dehb.tell(job.told, {"fitness": score, "cost": float(job.epochs)})


class SmacRule(BudgetRule):
    """SMAC's multi-fidelity facade asked and told; its settings are its defaults.

    Args:
        table: of the curves.
        seed: of the replay.
    """

    def __init__(self, table: Table, seed: int) -> None:
        from smac import MultiFidelityFacade, Scenario

        super().__init__(table)
        scenario = Scenario(
            config_space(table, seed),
            output_directory=self._folder(),
            deterministic=True,
            n_trials=100_000,
            min_budget=1,
            max_budget=table.epochs,
            seed=seed,
        )
        self._facade: Any = MultiFidelityFacade(scenario, _never_called, overwrite=True, logging_level=False)

    def _next_job(self) -> Job:
        info = self._facade.ask()
        return self._job(info.config, info.budget, info)

    def _report(self, job: Job, score: float) -> None:
        from smac.runhistory import StatusType, TrialValue

        status = StatusType.SUCCESS if np.isfinite(score) else StatusType.CRASHED
        self._facade.tell(job.told, TrialValue(cost=score, time=float(job.epochs), status=status), save=False)


def _never_called(config: Any, seed: int = 0, budget: float = 0) -> float:
    raise RuntimeError("SMAC is asked and told, and trains nothing. Received: a call of its target function.")


def config_space(table: Table, seed: int) -> Any:
    """The space in ConfigSpace's domains."""
    from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace
    from ConfigSpace import UniformFloatHyperparameter as Float
    from ConfigSpace import UniformIntegerHyperparameter as Whole

    space = ConfigurationSpace(seed=seed)
    for each in table.varied:
        domain = each.domain
        if isinstance(domain, Choice):
            space.add(CategoricalHyperparameter(each.name, list(domain.labels)))
        else:
            kind = Whole if isinstance(domain, Integer) else Float
            space.add(kind(each.name, domain.low, domain.high, log=domain.log))
    return space
