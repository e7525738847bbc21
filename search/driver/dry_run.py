"""The dry run: what a search would do, printed without starting anything."""

from collections.abc import Sequence

from data_pipeline.dataset import list_dataset
from data_pipeline.split import split_pool
from models.registry import PUBLISHED, PublishedRow, count_parameters, feature_cut
from search.driver.command import print_images
from search.driver.session import check_models
from search.driver.share import models_with_features
from search.plan.lengths import with_lengths
from search.plan.priors import prior_lines
from search.plan.scheduler import epochs_line
from search.plan.settings import Settings
from search.plan.spaces import Space, combinations_of, count_trials
from search.plan.warm import EarlierRun, warm_start


def dry_run(settings: Settings, space: Space, earlier: Sequence[EarlierRun] = ()) -> int:
    """Print the space, its models, its first trials, epochs and images; returns the exit code.

    Raises:
        DataError: the images cannot be used.
        SettingsError: a model of the space cannot be built for them.
    """
    from rich.console import Console

    data = settings.data
    manifest = list_dataset(data)
    split = split_pool(manifest, data.split)
    smallest, largest = check_models(space, settings, len(manifest.classes))
    console = Console(highlight=False)
    console.print(f"[bold]Space {space.name}[/bold]  {settings.space.question}")
    for name, entry in settings.space.parameters.items():
        console.print(f"  {name:14} {entry}", markup=False)
    for row in space.rows:
        console.print(f"  {row:10} {_row_line(PUBLISHED[row], data.image.shape)}", markup=False)
    console.print(f"  {combinations_of(space)}; {count_trials(space, settings)} trials will run")
    for label, (count, model) in (("smallest", smallest), ("largest", largest)):
        console.print(f"{label} model: {count:,} parameters, {count * 4 / 2**20:.1f} MB  {model}", markup=False)
    settings, reasons = with_lengths(settings, len(split.train), len(split.validation))
    warm, taken = warm_start(earlier, space, settings, manifest)
    for line in (*reasons, *prior_lines(space, settings, warm, taken), epochs_line(space, settings)):
        console.print(line, markup=False)
    cuts = sorted({f"{model.backbone} ({feature_cut(model)})" for model in models_with_features(settings, space)})
    if cuts:
        console.print(f"computed once for all trials: features of {', '.join(cuts)}")
    print_images(console, manifest, split, data)
    console.print("Dry run: nothing was started.")
    return 0


def _row_line(row: PublishedRow, shape: tuple[int, int, int]) -> str:
    """A published row's model, and its parameters as built here, beside the printed ones where they differ."""
    count = count_parameters(row.config, shape, row.classes).total
    printed = "" if count == row.published_parameters else f" (published: {row.published_parameters:,})"
    return f"{row.model:16} {count:>11,} parameters{printed}"
