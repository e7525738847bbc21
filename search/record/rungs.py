"""The epochs at which ASHA compares trials, for the search and for the figures of a run."""


def rung_epochs(max_epochs: int, grace_period: int, reduction_factor: float) -> tuple[int, ...]:
    """The rungs below the last epoch, lowest first: `grace_period` times the powers of `reduction_factor`.

    Args:
        max_epochs: the last epoch, which is no rung.
        grace_period: epochs before the first rung.
        reduction_factor: ratio of two neighbouring rungs, above 1.

    Raises:
        ValueError: grace_period is below 1.

    Source: Li et al. 2020, 'A System for Massively Parallel Hyperparameter Tuning', algorithm 2.
    """
    if grace_period < 1:
        raise ValueError(f"The first rung is an epoch, 1 or later. Received: {grace_period}. Resolve `auto` first.")
    rungs, rung = [], float(grace_period)
    while rung < max_epochs:
        rungs.append(int(rung))
        rung *= reduction_factor
    return tuple(dict.fromkeys(rungs))  # a small factor gives some epochs twice
