"""The ways of searching that are replayed: ours and other libraries', each named and built from a table and a seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from benchmarks.replays.ours import OurRule
from benchmarks.replays.simulation import Rule
from benchmarks.replays.table import Table
from search.plan.lengths import first_rung
from search.plan.settings import AshaSettings

OURS, PLAIN = "ours: the default", "ours: random without ASHA"


@dataclass(frozen=True)
class Way:
    """One way of searching.

    Attributes:
        name: in words, its library first. Courses are kept by it: a way that is changed gets another name.
        build: makes its rule from a table, a seed and the number of workers.
        package: that must be installed.
        metric: that it is told and chooses by; the table's own where empty.
        most_workers: that it is replayed with, where more would take too long.
    """

    name: str
    build: Callable[[Table, int, int], Rule]
    package: str = "optuna"
    metric: str = ""
    most_workers: int = 32

    @property
    def is_installed(self) -> bool:
        """Whether its library is there."""
        return find_spec(self.package) is not None

    @property
    def library(self) -> str:
        """The library that it is a way of."""
        return self.name.partition(":")[0]

    @property
    def is_ours(self) -> bool:
        """Whether it is a way of this project."""
        return self.library == "ours"


def _ours(name: str, grace: float = 0, factor: float = 0, **search: Any) -> Way:
    """A search of ours, the defaults with these changes.

    Args:
        name: in words.
        grace: the first rung, as a share of a full training; 0: the default.
        factor: of ASHA's rungs; 0: the default.
        search: other settings of the search.
    """

    def build(table: Table, seed: int, workers: int) -> Rule:
        asha = AshaSettings(
            grace_period=max(1, round(grace * table.epochs)) if grace else first_rung(table.epochs, table.steps),
            reduction_factor=factor or AshaSettings().reduction_factor,
        )
        defaults = {"searcher": "tpe", "scheduler": "asha", "prior_share": 0.5}  # the table's own search had none
        changes = {**defaults, **search, "seed": seed, "asha": asha}
        return OurRule(table, replace(table.settings, search=replace(table.settings.search, **changes)))

    return Way(name, build, metric=search.get("metric", ""))


def _optuna(sampler: str, pruner: str) -> Callable[[Table, int, int], Rule]:
    def build(table: Table, seed: int, workers: int) -> Rule:
        from benchmarks.replays.peers.optuna import build_optuna

        return build_optuna(table, seed, sampler, pruner)

    return build


def _ray(scheduler: str) -> Callable[[Table, int, int], Rule]:
    def build(table: Table, seed: int, workers: int) -> Rule:
        from benchmarks.replays.peers.ray import RayRule

        return RayRule(table, seed, workers, scheduler)

    return build


def _syne_tune(scheduler: str) -> Callable[[Table, int, int], Rule]:
    def build(table: Table, seed: int, workers: int) -> Rule:
        from benchmarks.replays.peers.syne_tune import SyneTuneRule

        return SyneTuneRule(table, seed, scheduler)

    return build


def _dehb(table: Table, seed: int, workers: int) -> Rule:
    from benchmarks.replays.peers.budgets import DehbRule

    return DehbRule(table, seed)


def _smac(table: Table, seed: int, workers: int) -> Rule:
    from benchmarks.replays.peers.budgets import SmacRule

    return SmacRule(table, seed)


WAYS = (
    _ours(OURS),
    _ours("ours: without a guess", prior_share=0.0),
    _ours("ours: all startup trials near the guess", prior_share=1.0),
    _ours("ours: random", searcher="random", prior_share=0.0),
    _ours("ours: random near the guess", searcher="random"),
    _ours("ours: TPE without ASHA", scheduler="none"),
    _ours(PLAIN, scheduler="none", searcher="random", prior_share=0.0),
    _ours("ours: factor 3", factor=3.0),
    _ours("ours: factor 4", factor=4.0),
    _ours("ours: first rung at 1/16", grace=1 / 16),
    _ours("ours: first rung at 1/8", grace=1 / 8),
    _ours("ours: first rung at 1/4", grace=1 / 4),
    _ours("ours: first rung at 1/2", grace=1 / 2),
    _ours("ours: by val_calibrated_loss", metric="val_calibrated_loss"),
    _ours("ours: by val_loss", metric="val_loss"),
    _ours("ours: by val_auc", metric="val_auc"),
    _ours("ours: by shifted_auc", metric="shifted_auc"),
    Way("Optuna: TPE, Hyperband", _optuna("TPESampler", "hyperband")),
    Way("Optuna: TPE, successive halving", _optuna("TPESampler", "halving")),
    Way("Optuna: TPE, median", _optuna("TPESampler", "median")),
    Way("Ray: ASHA", _ray("AsyncHyperBandScheduler"), "ray"),
    Way("Ray: HyperBand", _ray("HyperBandScheduler"), "ray"),
    Way("Syne Tune: ASHA", _syne_tune("ASHA"), "syne_tune"),
    Way("Syne Tune: BOHB", _syne_tune("BOHB"), "syne_tune"),
    Way("SMAC: multi-fidelity", _smac, "smac", most_workers=8),
    Way("DEHB", _dehb, "dehb"),
)
