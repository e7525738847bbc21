"""ASHA's rungs in arithmetic, for a dry run and the time left; needs no Ray."""

from search.settings import SearchSettings


def expected_epochs(num_trials: int, max_epochs: int, search: SearchSettings) -> float:
    """How many epochs a search spends in expectation: at each rung one trial in `factor` goes on.

    ASHA decides as results come in, so the true number lies somewhat above it.
    """
    if search.scheduler == "none":
        return float(num_trials * max_epochs)
    spent, alive, trained, rung = 0.0, float(num_trials), 0, float(search.asha.grace_period)
    while rung < max_epochs:
        spent += alive * (rung - trained)
        trained, alive = int(rung), max(1.0, alive / search.asha.reduction_factor)
        rung *= search.asha.reduction_factor
    return spent + alive * (max_epochs - trained)
