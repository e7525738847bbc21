"""Suggests the hyperparameters of the next trial: from a list in order, from guesses, or by an Optuna sampler.

A suggestion depends only on the trials before it, the search's seed and the trial's number: the
sampler is seeded anew for every trial. A resumed search therefore suggests what it would have without the
interruption.
"""

import math
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from search import record
from search.plan.domains import Choice, Integer, Parameter
from search.plan.priors import build_prior, startup_trials
from search.plan.settings import Settings
from search.plan.spaces import Plan, Space, listed_plans, resolve
from search.plan.window import study_storage
from search.record import TrialRecord, WarmStart

if TYPE_CHECKING:
    import optuna


class Searcher(Protocol):
    """Suggests trials by number, and learns from the trials that were compared or ended."""

    @property
    def num_trials(self) -> int:
        """How many trials the search has in all."""

    def suggest(self, number: int) -> Plan:
        """The plan of trial `number`; numbers are requested in order."""

    def tell(self, trial: TrialRecord) -> None:
        """Learn a trial's state at a rung or at its end; it replaces the trial's earlier state."""

    def restore(self, trials: Iterable[TrialRecord]) -> None:
        """Learn the trials of an interrupted search, ended or not, in order of their numbers."""


def build_searcher(space: Space, settings: Settings, warm: WarmStart | None = None) -> Searcher:
    """The searcher that the settings ask for, with what the run took from earlier ones."""
    plans = listed_plans(space, settings)
    return ListSearcher(plans) if plans is not None else StudySearcher(space, settings, warm or WarmStart())


class ListSearcher:
    """Suggests the plans of a list in order: a grid, or the published rows."""

    def __init__(self, plans: list[Plan]) -> None:
        self._plans = plans

    @property
    def num_trials(self) -> int:
        """How many trials the list has."""
        return len(self._plans)

    def suggest(self, number: int) -> Plan:
        """The plan at that position of the list."""
        return self._plans[number]

    def tell(self, trial: TrialRecord) -> None:
        """Nothing to learn: the list is fixed."""

    def restore(self, trials: Iterable[TrialRecord]) -> None:
        """Nothing to restore: the list is fixed."""


class StudySearcher:
    """Samples with Optuna: TPE (multivariate, grouped by condition) or uniformly at random, beginning at guesses.

    Optuna gets a trial that waits at a rung or was stopped there as pruned with its epochs' values, so that TPE does
    not take its early value for a final one; a diverged trial as pruned without values, which ranks last; a failed one
    as failed, which TPE ignores. Finished trials of earlier runs come first, as complete.

    Source: Bergstra et al. 2011 (TPE); Falkner et al. 2018 (multivariate); Optuna, TPESampler.
    """

    def __init__(self, space: Space, settings: Settings, warm: WarmStart) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._search = settings.search
        self._prior = build_prior(space, settings, warm)
        self._startup = startup_trials(settings)
        self._max_epochs = settings.search.max_epochs
        minimize = record.lower_is_better(self._search.metric)
        self._storage = study_storage(minimize)
        self._study = optuna.create_study(storage=self._storage, direction="minimize" if minimize else "maximize")
        self._ids: dict[int, int] = {}  # Optuna's, of each trial
        for trial in warm.history:
            values, domains = study_parameters(space, trial.parameters), distributions(space, trial.parameters)
            self._study.add_trial(optuna.create_trial(params=values, distributions=domains, value=trial.value))

    @property
    def num_trials(self) -> int:
        """How many trials the search has in all."""
        return self._search.num_trials

    def suggest(self, number: int) -> Plan:
        """The configuration that a guess gives the trial, or the sampler's choice, given the trials so far."""
        given = self._prior.configuration(number)
        if given is not None:
            return self._ask_with(number, given)
        self._study.sampler = self._sampler(number)
        return self._ask(number)

    def _ask_with(self, number: int, parameters: dict[str, Any]) -> Plan:
        import optuna

        self._study.sampler = optuna.samplers.RandomSampler(seed=0)  # never used: every parameter is given
        self._study.enqueue_trial(study_parameters(self._space, parameters))
        return self._ask(number)

    def _ask(self, number: int) -> Plan:
        trial = self._study.ask()
        self._ids[number] = trial._trial_id
        return Plan(resolve(self._space, lambda parameter: _suggest(trial, parameter)), self._max_epochs)

    def tell(self, trial: TrialRecord) -> None:
        """Give the study the trial's state and the values of its epochs; it runs on if it has neither ended nor any."""
        from optuna.trial import TrialState

        if not (trial.is_final or trial.epochs):
            return
        number = self._ids[trial.number]
        if trial.status == record.DIVERGED:  # its values from a rung; the storage returns its own object, not a copy
            self._storage.get_trial(number).intermediate_values.clear()
        for step, value in told_values(trial, self._search.metric).items():
            self._storage.set_trial_intermediate_value(number, step, value)
        best = trial.best_epoch(self._search.metric)
        if trial.status == record.FINISHED and best is not None:
            value = getattr(best, self._search.metric)
            self._storage.set_trial_state_values(number, TrialState.COMPLETE, [value])
        else:
            state = TrialState.FAIL if trial.status == record.FAILED else TrialState.PRUNED
            self._storage.set_trial_state_values(number, state)

    def restore(self, trials: Iterable[TrialRecord]) -> None:
        """Ask for each trial again with its recorded parameters, and give the study its state and values."""
        for trial in sorted(trials, key=lambda entry: entry.number):
            self._ask_with(trial.number, trial.parameters)
            self.tell(trial)

    def _sampler(self, number: int) -> "optuna.samplers.BaseSampler":
        import optuna

        seed = (self._search.seed * 1_000_003 + number) % 2**32
        if self._search.searcher == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed,
                multivariate=True,
                # Parameters that occur in the same trials form a group with one joint model; groups are sampled
                # independently. Without conditions all parameters are one group.
                group=True,
                constant_liar=True,  # running trials count as poor, so that workers do not sample the same region
                n_startup_trials=self._startup,
            )


def study_parameters(space: Space, parameters: dict[str, Any]) -> dict[str, Any]:
    """A configuration as Optuna stores it: lists and mappings by their labels, without constants."""
    return {
        parameter.name: parameter.domain.label(parameters[parameter.name])
        if isinstance(parameter.domain, Choice)
        else parameters[parameter.name]
        for parameter in space.parameters
        if parameter.name in parameters and not parameter.is_constant
    }


def distributions(space: Space, parameters: dict[str, Any]) -> dict[str, Any]:
    """Optuna's distribution of every parameter of a configuration that varies."""
    return {
        parameter.name: _distribution(parameter)
        for parameter in space.parameters
        if parameter.name in parameters and not parameter.is_constant
    }


def _suggest(trial: "optuna.Trial", parameter: Parameter) -> Any:
    domain = parameter.domain
    if parameter.is_constant:
        return domain.values[0] if isinstance(domain, Choice) else domain.low
    if isinstance(domain, Choice):
        return domain.value(trial.suggest_categorical(parameter.name, domain.labels))
    if isinstance(domain, Integer):
        return trial.suggest_int(parameter.name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(parameter.name, domain.low, domain.high, log=domain.log)


def _distribution(parameter: Parameter) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions as optuna_distributions

    domain = parameter.domain
    if isinstance(domain, Choice):
        return optuna_distributions.CategoricalDistribution(domain.labels)
    if isinstance(domain, Integer):
        return optuna_distributions.IntDistribution(domain.low, domain.high, log=domain.log)
    return optuna_distributions.FloatDistribution(domain.low, domain.high, log=domain.log)


def told_values(trial: TrialRecord, metric: str) -> dict[int, float]:
    """The best metric so far, by epoch: what rungs and ranking go by.

    Empty for a diverged trial, whose earlier values must not count for it.
    """
    if trial.status == record.DIVERGED:
        return {}
    best, sign = math.inf, 1 if record.lower_is_better(metric) else -1
    values: dict[int, float] = {}
    for epoch in trial.epochs:
        value = getattr(epoch, metric)
        if value is not None:
            best = min(best, sign * value)
            values[epoch.epoch] = sign * best
    return values
