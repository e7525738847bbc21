"""The dry run: what a search would do, printed without starting anything.

The images are prepared, and kept in the cache for the search: only then is it known whether they can be used.
"""

from bisect import bisect_right
from collections.abc import Sequence

from models.registry import PUBLISHED, PublishedRow, count_parameters, feature_cut, feature_numbers, told_apart
from search.driver.command import check_prepared, prepare
from search.driver.preflight import check_machine, check_storage
from search.driver.resources import choose_resources, has_backbones
from search.driver.runs import new_run_folder
from search.driver.session import check_models, known_feature_places, known_hosts, known_image_plan
from search.driver.share import check_backbones, models_with_features, sizes_of_features
from search.plan.earlier import measured_like
from search.plan.lengths import with_lengths
from search.plan.pace import Pace, confirmation_seconds, duration_text, evaluation_seconds
from search.plan.priors import prior_lines
from search.plan.scheduler import build_scheduler, epochs_line
from search.plan.settings import UNLIMITED, SearchSettings, Settings
from search.plan.spaces import Space, combinations_of, count_trials, last_epochs
from search.plan.warm import EarlierRun, warm_start
from search.record import Storage, counted


def dry_run(settings: Settings, space: Space, earlier: Sequence[EarlierRun] = ()) -> int:
    """Print the space, its models, its first trials, epochs and images; returns the exit code.

    Raises:
        DataError: the images cannot be used.
        SettingsError: a model of the space cannot be built for them, this machine or the storage cannot be used, or
            there is a run of that name.
        WeightsError: a file of pretrained weights is not there.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if settings.cluster.mode != "submit":
        check_machine(lambda line: console.print(line, markup=False, soft_wrap=True))
        check_storage(Storage(settings.run.storage))
        new_run_folder(settings)  # refuses a name that is taken
        check_backbones(settings, space)
    dataset = prepare(settings, console)
    manifest, split = dataset.manifest, dataset.split
    meaning = check_prepared(space, settings, dataset)
    smallest, largest = check_models(space, settings, told_apart(manifest.classes, manifest.is_multilabel))
    console.print(f"[bold]Space {space.name}[/bold]  {settings.space.question}")
    for name, entry in settings.space.parameters.items():
        console.print(f"  {name:14} {entry}", markup=False)
    for row in space.rows:
        console.print(f"  {row:10} {_row_line(PUBLISHED[row], settings.data.image.shape)}", markup=False)
    trials = count_trials(space, settings)
    fits = "as many trials as fit" if trials >= UNLIMITED else counted(trials, "trial")
    console.print(f"  {combinations_of(space)}; {fits} will run")
    for label, (size, model) in (("smallest", smallest), ("largest", largest)):
        console.print(f"{label} model: {size:,} parameters, {size * 4 / 2**20:.1f} MB  {model}", markup=False)
    settings, reasons = with_lengths(settings, len(split.train), len(split.validation))
    warm, taken = warm_start(earlier, space, settings, manifest)
    epochs = [] if trials >= UNLIMITED else [epochs_line(space, settings)]
    guesses = prior_lines(space, settings, warm, taken)
    planned, at_a_time = plan_lines(settings, space)
    budget = budget_lines(settings, space, len(split.train), at_a_time)
    for line in (*meaning, *reasons, *guesses, *epochs, *planned, *budget):
        console.print(line, markup=False)
    if settings.cluster.mode != "submit":
        console.print(known_image_plan(settings, dataset).reason, markup=False)
    for line in feature_lines(settings, space, len(split.train) + len(split.validation)):
        console.print(line, markup=False)
    console.print("Dry run: nothing was started.")
    return 0


def feature_lines(settings: Settings, space: Space, images: int) -> list[str]:
    """What is computed once for all trials, how large it is where that takes no model to be built, and where it goes.

    Args:
        settings: of the search.
        space: of the search.
        images: of the pool.

    Raises:
        SettingsError: a host has no room for it.
    """
    models = models_with_features(settings, space)
    if not models:
        return []
    cuts = sorted({f"{model.backbone} ({feature_cut(model)})" for model in models})
    numbers = {model: feature_numbers(model, settings.data.image.shape) for model in models}
    known = {model: number for model, number in numbers.items() if number is not None}
    sizes = sizes_of_features(settings, space, known, images)
    places = known_feature_places(settings, sizes) if settings.cluster.mode != "submit" else []
    return [f"computed once for all trials: features of {', '.join(cuts)}", *map(str, sizes), *places]


def plan_lines(settings: Settings, space: Space) -> tuple[list[str], int]:
    """What each trial would get and how many would run at a time, a line each; and that number.

    The share of a GPU and the precision for it are as without a measurement, which takes a running search.

    Raises:
        SettingsError: a trial asks for more than any host has.
    """
    mode = settings.cluster.mode
    if mode == "submit":
        return ["trials at a time: chosen on the cluster"], settings.resources.max_concurrent or 1
    hosts, trials = known_hosts(settings.cluster), count_trials(space, settings)
    chosen = choose_resources(settings.resources, settings.train.precision, hosts, trials, has_backbones(space))
    return [f"each trial: {chosen}", *chosen.reasons], chosen.at_a_time


def budget_lines(settings: Settings, space: Space, images: int, at_a_time: int = 1) -> list[str]:
    """What fits into the time budget, by the epochs of an earlier run like this one; no line without a budget.

    Args:
        settings: with numbers of epochs.
        space: of the search.
        images: how many train.
        at_a_time: trials that run side by side.
    """
    search, budget = settings.search, settings.search.time_budget
    if budget is None:
        return []
    skipped: list[str] = []
    folder = measured_like(settings, skipped.append)
    if folder is None:
        return [
            *skipped,
            f"time budget {duration_text(budget)}: what fits is not known before the first epochs are measured",
        ]
    pace, run = Pace(folder.read_trials().values()), folder.read_run()
    epoch = images / max(1, run.images("train")) * pace.epoch()
    confirming = confirmation_seconds(pace, budget, search, at_a_time)
    evaluating = 0.0
    if settings.evaluate.enabled:
        evaluating = evaluation_seconds(pace, budget, settings.evaluate.ensemble + search.confirm, at_a_time)
    seconds = at_a_time * (budget - confirming - evaluating)
    trials, epochs = trials_in(seconds, last_epochs(space, settings), search, epoch, pace.start)
    enough = f"for {counted(trials, 'trial')}" if trials else "too few for a trial"
    steps = {"to confirm": confirming, "to evaluate": evaluating}
    asked = " and ".join(step for step, kept in steps.items() if kept)
    last_steps = f"{duration_text(confirming + evaluating)} are kept {asked}" if asked else "nothing follows"
    return [
        *skipped,
        f"time budget {duration_text(budget)}: an epoch takes {epoch:.2g} s by those of {run.name}; "
        f"with {counted(at_a_time, 'trial')} at a time about {counted(epochs, 'epoch')}, {enough}, and {last_steps}",
    ]


def trials_in(
    seconds: float, lasts: Sequence[int], search: SearchSettings, epoch: float, start: float
) -> tuple[int, int]:
    """How many of a search's trials, and epochs, fit into so many seconds of one process.

    Args:
        seconds: for trials.
        lasts: of every trial, the epoch after which it ends if it is not stopped.
        search: its scheduler and epochs.
        epoch: seconds of one.
        start: seconds from the start of a trial to its first epoch.
    """

    def needed(trials: int) -> float:
        return trials * start + epoch * build_scheduler(search, trials).expected_epochs(lasts[:trials])

    trials = bisect_right(range(1, len(lasts) + 1), seconds, key=needed)
    return trials, int(max(0.0, seconds - trials * start) / max(epoch, 1e-3))


def _row_line(row: PublishedRow, shape: tuple[int, int, int]) -> str:
    """A published row's model, and its parameters as built here, beside the printed ones where they differ."""
    count = count_parameters(row.config, shape, row.classes).total
    printed = "" if row.published_parameters in (None, count) else f" (published: {row.published_parameters:,})"
    return f"{row.model:16} {count:>11,} parameters{printed}"
