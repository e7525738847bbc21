"""Searches replayed on tables of learning curves: our ways beside other libraries' (`pip install .[replays]`).

`python -m benchmarks.replays`; 200 seeds of every way take some hours on two cores. What each way chose is kept in
`build/replays/`: an interrupted benchmark goes on where it was, and only ways whose code has changed are replayed
again. The tables are those of `benchmarks.curves`, of which only validation scores are read. The picture needs Chrome
or Chromium (plotly's kaleido).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import first_rung, harness
from benchmarks.curves.table import read_curves, table_path
from benchmarks.curves.training import TRIALS
from benchmarks.measurement import Bound, Grid, Machine, Measurement, Options, Quantity, Target
from benchmarks.replays.courses import MOST, run_courses
from benchmarks.replays.figures import BUDGETS, Floats, Panel, draw, estimate, ranks, regrets_at
from benchmarks.replays.simulation import Course
from benchmarks.replays.table import Table, table_of
from benchmarks.replays.ways import OURS, PLAIN, WAYS, Way
from search.record import counted

WORKERS = (2, 8, 32)
SEEDS = 200
PICTURE = "replays.svg"
_MOMENTS = np.geomspace(1, MOST, 60)  # of the picture, in full trainings
_METRICS = ("shifted_calibrated_loss", "shifted_auc", "val_calibrated_loss", "val_loss", "val_auc")


def measure(options: Options, machine: Machine) -> Measurement:
    """Every installed way with every seed on each table that is there."""
    picture = harness.picture_path(options, PICTURE)
    draw([], OURS, picture)  # without a browser to draw with, this fails now and not in some hours
    ways = [way for way in WAYS if way.is_installed]
    grids: list[Grid] = []
    targets: list[Target] = []
    panels: list[Panel] = []
    for space, file in find_tables().items():
        table = table_of(read_curves(file))
        grids.append(foretold(f"{space}: rank correlation with the final score", table))
        courses = {
            workers: run_courses(file, [way for way in ways if workers <= way.most_workers], workers, options.repeats)
            for workers in WORKERS
        }
        regrets = {
            workers: _regrets(table, each, np.array(BUDGETS, float), workers) for workers, each in courses.items()
        }
        for workers, each in regrets.items():
            grids.append(rank_grid(f"{space}, {workers} workers: mean rank", each))
            targets += rank_targets(f"{space}, {workers} workers", each, ways)
        if not panels:  # of the first table
            names = drawn(list(regrets.values()), ways)
            panels = [_panel(table, courses[workers], names, workers) for workers in WORKERS]
    draw(panels, OURS, picture)
    return summarize(grids, targets, ways, options)


def find_tables() -> dict[str, Path]:
    """The tables that are there, by space; one of a quick try only where there is no other."""
    found: dict[str, Path] = {}
    for space in TRIALS:
        there = [path for path in (table_path(space), table_path(space, quick=True)) if path.is_file()]
        if there:
            found[space] = there[0]
    if not found:
        raise SystemExit("A replay needs a table of curves. Found none. Run python -m benchmarks.curves --root FOLDER.")
    return found


def rank_grid(title: str, regrets: Mapping[str, Floats]) -> Grid:
    """The mean ranks at every budget, best at 20 full trainings first.

    Args:
        title: of the table.
        regrets: of each way, (seeds, budgets).
    """
    found = {name: estimate(each) for name, each in ranks(regrets).items()}
    order = sorted(found, key=lambda name: float(found[name].mean[BUDGETS.index(20)]))
    rows = [
        tuple(
            Quantity(name, "", tuple(map(float, each)))
            for each in zip(found[name].low, found[name].mean, found[name].high, strict=True)
        )
        for name in order
    ]
    return Grid(title, tuple(f"{budget} trainings" for budget in BUDGETS), tuple(rows))


def foretold(title: str, table: Table) -> Grid:
    """How well the best score so far ranks the rows as the final score of the table's own metric does (Spearman).

    Args:
        title: of the grid.
        table: of the curves; the columns are its epochs 1, 2, 4 and so on, its rows the metrics that it knows.
    """
    epochs = [2**power for power in range(table.epochs.bit_length()) if 2**power < table.epochs]
    last = table.scores(table.metric)[:, -1]

    scores = {metric: table.scores(metric) for metric in _METRICS}
    known = {metric: each for metric, each in scores.items() if np.isfinite(each).any()}
    rows = tuple(
        tuple(first_rung.rank_quantity(metric, each[:, epoch - 1], last) for epoch in epochs)
        for metric, each in known.items()
    )
    return Grid(title, tuple(f"after {epoch} of {table.epochs} epochs" for epoch in epochs), rows)


def rank_targets(where: str, regrets: Mapping[str, Floats], ways: Sequence[Way]) -> list[Target]:
    """Our default less the best peer in mean rank, at each budget: ahead or level where the interval reaches 0.

    Ranks are here those among our default and the peers: our other ways would only push them apart.
    """
    peers, targets = [way.name for way in ways if not way.is_ours and way.name in regrets], []
    ranked = ranks({name: regrets[name] for name in (OURS, *peers)})
    for place, budget in enumerate(BUDGETS if peers else ()):
        best = min(peers, key=lambda name: float(ranked[name][:, place].mean()))
        apart = estimate(ranked[OURS][:, place] - ranked[best][:, place])
        name = f"{where}, {budget} trainings: our rank less that of {best}, lower end of the 95 % interval"
        targets.append(Target(Quantity(name, "", (float(apart.low),)), Bound(0.0)))
    return targets


def drawn(regrets: Sequence[Mapping[str, Floats]], ways: Sequence[Way]) -> list[str]:
    """The ways of the picture: our default, plain random search, and each other library's best at 20 trainings.

    What was not replayed with every number of workers is left out.

    Args:
        regrets: of each way, (seeds, budgets), for each number of workers.
        ways: all that were replayed.
    """
    place = BUDGETS.index(20)
    peers = [way for way in ways if not way.is_ours and all(way.name in each for each in regrets)]
    means = {way.name: np.mean([each[way.name][:, place].mean() for each in regrets]) for way in peers}
    best: dict[str, str] = {}
    for way in peers:
        best[way.library] = min(best.get(way.library, way.name), way.name, key=lambda name: float(means[name]))
    return [OURS, PLAIN, *best.values()]


def _regrets(table: Table, courses: Mapping[str, Sequence[Course]], budgets: Floats, workers: int) -> dict[str, Floats]:
    """The regrets of each way at these budgets, in full trainings: (seeds, budgets)."""
    seconds = budgets * table.full_seconds / workers
    return {name: regrets_at(each, seconds, table.regrets) for name, each in courses.items()}


def _panel(table: Table, courses: Mapping[str, Sequence[Course]], names: Sequence[str], workers: int) -> Panel:
    """The regrets of these ways over time."""
    found = _regrets(table, {name: courses[name] for name in names}, _MOMENTS, workers)
    lines = {name: estimate(each) for name, each in found.items()}
    return Panel(workers, _MOMENTS * table.full_seconds / workers / 60, lines)


def summarize(grids: Sequence[Grid], targets: Sequence[Target], ways: Sequence[Way], options: Options) -> Measurement:
    """The measurement that the ranks make."""
    missing = [way.name for way in WAYS if way not in ways]
    absent = (f"Not installed when this ran: {', '.join(missing)}.",) if missing else ()
    return Measurement(
        question="Which way of searching has the best choice soonest, on recorded learning curves?",
        setting=f"{len(ways)} ways, {counted(options.repeats, 'seed')} (the repeats), "
        f"{', '.join(map(str, WORKERS))} simulated workers. A row of a table is a random configuration "
        "with its whole learning curve. Whatever a way proposes, "
        "it gets the nearest row that it has not tried (Euclid's distance in the space's unit cube, two values of a "
        "choice 1 apart). An epoch takes the seconds that it took; decisions take none. A way chooses the row with the "
        "best score that it has seen. Regret is by how much that row's final score is worse than the best row's, by "
        "the table's own metric; before the first score, that of a random row. A budget of 20 trainings is the time in "
        "which the workers could train 20 configurations to their end.",
        targets=tuple(targets),
        grids=tuple(grids),
        limited_by="one seed a configuration: a choice is judged by the same training that it was made by.",
        physical_limit="a regret of 0.",
        notes=(
            "Brackets hold the 95 % bootstrap interval over seeds, of rank correlations over configurations. Ranks are "
            "among all ways, 1 the best; equals share theirs. In the figures to reach they are among our default and "
            "the peers.",
            "A way that has tried every row of the table only trains on, or ends.",
            "Peers are told the best score of a trial's epochs so far, with their libraries' defaults.",
            "Ours and Optuna's, Ray's and Syne Tune's learn the configuration of the row; DEHB and SMAC know their own "
            "proposal, because their brackets name it. What they train to a larger budget goes on where it was.",
            "Ray's schedulers choose among random rows.",
            *absent,
            *NOT_REPLAYED,
        ),
        picture=PICTURE,
    )


NOT_REPLAYED = (
    "search.confirm is not replayed, since a table has one training of each configuration; `confirm` simulates it.",
    "Syne Tune 0.16 has neither ASHA by promotion nor PASHA any more. Its CQR imports a package that is not declared.",
    "SMAC with 32 workers takes 43 CPU seconds a replay of 42 rows: it is replayed with 2 and 8.",
    "Optuna's GPSampler takes 105 CPU seconds a replay (400 rows, successive halving): 17 hours for all seeds.",
    "ConfOpt 2.0.1 calls the objective itself, one configuration at a time to its end: it cannot be asked.",
    "Syne Tune's BOHB begins its model of cnn2's nine hyperparameters with 67 trials: with fewer rows it is its ASHA.",
    "NePS 0.17 needs pandas below 3, which this project has.",
)


def describe_tables(options: Options) -> str:
    """The tables in words."""
    return "; ".join(_describe(space, table_of(read_curves(file)), file) for space, file in find_tables().items())


def _describe(space: str, table: Table, file: Path) -> str:
    about = read_curves(file).about
    quick = ", a quick try on the sample" if file == table_path(space, quick=True) else ""
    return (
        f"{space}: {len(table.trials)} configurations of {table.epochs} epochs at {about.size} pixels{quick}, "
        f"fingerprint {about.fingerprint[:12]}, a full training {table.full_seconds:.0f} s"
    )


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS, data=describe_tables)
