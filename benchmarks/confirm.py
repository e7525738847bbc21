"""What `search.confirm` is worth: a simulation by the spread of recorded final scores and the noise between seeds.

`python -m benchmarks.confirm`; some seconds. It trains nothing: the final scores are those of the tables that
`benchmarks.curves` made, of which test scores are not read.
"""

import math
from collections.abc import Sequence

import numpy as np

from analysis.statistics import mean_interval
from benchmarks import harness
from benchmarks.curves.table import read_curves
from benchmarks.measurement import Grid, Machine, Measurement, Options, Quantity
from benchmarks.replays.__main__ import describe_tables, find_tables
from benchmarks.replays.table import table_of
from search.record.intervals import Floats

BUDGETS = (5, 10, 20, 50)  # full trainings, confirmations among them
CONFIRMED = (0, 2, 3, 5)
# Of the final score of one configuration of cnn2, trained four times (docs/method.md, Size): from, middle and to.
NOISES = (0.004, 0.0055, 0.007)
DRAWS = 20_000


def measure(options: Options, machine: Machine) -> Measurement:
    """Simulated searches on each table that is there."""
    draws = 500 if options.quick else DRAWS
    grids = []
    for space, file in find_tables().items():
        table = table_of(read_curves(file))
        scores = table.scores(table.metric)[:, -1]
        finals = scores[np.isfinite(scores)]
        grids += [noise_grid(space, finals, noise, draws) for noise in NOISES if noise < finals.std()]
    return summarize(grids, draws)


def noise_grid(space: str, finals: Floats, noise: float, draws: int) -> Grid:
    """How far each number of confirmations ends from the best configuration, at each budget.

    Args:
        space: that the configurations are of.
        finals: measured scores, (N,), lower is better.
        noise: standard deviation between trainings of one configuration.
        draws: how many searches are simulated.
    """
    true = without_noise(finals, noise)

    def quantity(confirmed: int, budget: int) -> Quantity:
        found = mean_interval(chosen(true, noise, budget, confirmed, draws) - true.min())
        return Quantity(f"K = {confirmed}", "", (found.low, found.value, found.high))

    return Grid(
        f"{space}: regret of the choice, noise {noise:g}",
        tuple(f"{budget} trainings" for budget in BUDGETS),
        tuple(tuple(quantity(confirmed, budget) for budget in BUDGETS) for confirmed in CONFIRMED),
    )


def without_noise(finals: Floats, noise: float) -> Floats:
    """Final scores, (N,), drawn towards their mean until their variance is what the noise leaves of it."""
    mean, deviation = finals.mean(), finals.std()
    kept = math.sqrt(max(0.0, 1 - (noise / deviation) ** 2))
    return np.asarray(mean + kept * (finals - mean))


def chosen(true: Floats, noise: float, budget: int, confirmed: int, draws: int) -> Floats:
    """The true scores, (draws,), of what simulated searches choose.

    Of its budget a search keeps `confirmed` trainings, at most half, and spends the others on random configurations.
    It then trains so many of the best again, and chooses by the mean of both scores; without confirmations, the best.
    """
    random = np.random.default_rng(0)  # the same for every number of confirmations: their differences are not luck
    rows = random.integers(0, len(true), (draws, budget))
    noises = random.normal(0.0, noise, (2, draws, budget))
    again = min(confirmed, budget // 2)
    trained = budget - again
    scores = true[rows[:, :trained]]  # (draws, trained)
    first = scores + noises[0, :, :trained]
    if again == 0:
        best = first.argmin(axis=1, keepdims=True)
    else:
        top = first.argsort(axis=1)[:, :again]
        repeated = np.take_along_axis(scores, top, axis=1) + noises[1, :, :again]
        means = (np.take_along_axis(first, top, axis=1) + repeated) / 2
        best = np.take_along_axis(top, means.argmin(axis=1, keepdims=True), axis=1)
    return np.asarray(np.take_along_axis(scores, best, axis=1)[:, 0])


def summarize(grids: Sequence[Grid], draws: int) -> Measurement:
    """The measurement that the grids make."""
    return Measurement(
        question="Is it better to confirm the best configurations, or to train as many new ones?",
        setting=f"{draws:,} simulated searches. Configurations are drawn from a table of curves, all trained to their "
        "end. With K the K best, at most half of the budget, are trained again with another seed, and the mean of both "
        "scores decides. A budget counts those trainings too. The true score of a configuration is its recorded one, "
        "drawn towards the mean of all until their variance is what the noise between seeds leaves of it; a training "
        "gives it with normal noise. Regret is by how much the true score of the chosen configuration is worse than "
        "the best one's.",
        grids=tuple(grids),
        limited_by="the noise, which four trainings of one configuration tell roughly: three values of it are tried.",
        physical_limit="a regret of 0.",
        notes=(
            "Brackets hold the 95 % interval of the mean over simulated searches.",
            "Early stopping and the average of several trials as a winner are not simulated. Both leave less to "
            "confirmations: fewer trials finish, and a mean of several is less lucky than the best.",
        ),
    )


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=1, data=describe_tables)
