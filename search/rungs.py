"""How many epochs a search will take, in arithmetic, for a dry run and the time left; needs no Ray."""

from search.settings import SearchSettings, Settings
from search.spaces import Space, listed_plans


def expected_epochs(space: Space, settings: Settings) -> float:
    """How many epochs the whole search takes in expectation."""
    search = settings.search
    plans = listed_plans(space, settings)
    if search.scheduler == "none":
        return float(most_epochs(space, settings))
    return halving_epochs(len(plans) if plans is not None else search.num_trials, search)


def most_epochs(space: Space, settings: Settings) -> int:
    """How many epochs the whole search takes if no trial is stopped early."""
    plans = listed_plans(space, settings)
    if plans is None:
        return settings.search.num_trials * settings.search.max_epochs
    return sum(plan.max_epochs for plan in plans)


def halving_epochs(num_trials: int, search: SearchSettings) -> float:
    """The epochs of successive halving: at each rung one trial in `reduction_factor` goes on.

    ASHA decides as results come in, so the true number lies somewhat above it.

    Source: Li et al. 2020, algorithm 1.
    """
    spent, alive, trained, rung = 0.0, float(num_trials), 0.0, float(search.asha.grace_period)
    while rung < search.max_epochs:
        spent += alive * (rung - trained)
        trained, alive = rung, max(1.0, alive / search.asha.reduction_factor)
        rung *= search.asha.reduction_factor
    return spent + alive * (search.max_epochs - trained)
