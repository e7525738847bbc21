"""How many epochs a search will take, in arithmetic, for a dry run and the time left; needs no Ray."""

from search.plan.asha import rung_epochs
from search.plan.settings import SearchSettings, Settings
from search.plan.spaces import Space, listed_plans


def expected_epochs(space: Space, settings: Settings) -> int:
    """How many epochs the whole search takes if no trial ends by itself before its last epoch."""
    search = settings.search
    plans = listed_plans(space, settings)
    if search.scheduler == "none":
        return most_epochs(space, settings)
    return halving_epochs(len(plans) if plans is not None else search.num_trials, search)


def most_epochs(space: Space, settings: Settings) -> int:
    """How many epochs the whole search takes if no trial is stopped early."""
    plans = listed_plans(space, settings)
    if plans is None:
        return settings.search.num_trials * settings.search.max_epochs
    return sum(plan.max_epochs for plan in plans)


def halving_epochs(num_trials: int, search: SearchSettings) -> int:
    """The epochs of successive halving: at each rung one trial in `reduction_factor` goes on, at least one.

    Source: Li et al. 2020, algorithm 1.
    """
    spent, alive, trained = 0, num_trials, 0
    for rung in rung_epochs(search):
        spent += alive * (rung - trained)
        alive, trained = max(1, int(alive // search.asha.reduction_factor)), rung
    return spent + alive * (search.max_epochs - trained)
