"""The command line: `python -m search.run space=cnn2 data.root=FOLDER search.num_trials=40 ...`.

Checks every setting, then prepares the data, searches, evaluates and exports. Ray and TensorFlow are
imported only when a search begins: help, dry runs and errors answer at once.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.dataset import (
    Dataset,
    DataSettings,
    list_dataset,
    list_notices,
    prepare_dataset,
)
from data_pipeline.folders import CLASSES
from data_pipeline.manifest import DataError, Manifest
from data_pipeline.split import Split, split_pool
from models.registry import FAMILIES, PUBLISHED, PublishedRow, WeightsError, count_parameters, feature_cut
from search import record
from search.driver.environment import recorded_onednn, set_onednn
from search.driver.lease import drive
from search.driver.runs import (
    check_same_data,
    create_run,
    find_run,
    last_word,
    new_run_folder,
    refuse_existing,
    run_name,
    update_run,
)
from search.driver.session import Session, check_models, data_settings, open_session
from search.driver.share import FeatureNews, models_with_features
from search.plan.refit import refit_settings
from search.plan.scheduler import epochs_line, expected_epochs
from search.plan.settings import (
    ClusterSettings,
    Settings,
    SettingsError,
    cluster_settings,
    conf_folder,
    load_settings,
    resume_settings,
    space_names,
)
from search.plan.spaces import (
    Space,
    backbones_of,
    check_unused,
    combinations_of,
    count_trials,
    read_space,
)
from search.record import RecordError, RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from search.driver.state import SearchState

_USER_ERRORS = (SettingsError, DataError, RecordError, WeightsError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a search from the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(help_text())
        return 0
    return _reporting_errors(lambda: _main(words))


def evaluate_command(words: Sequence[str]) -> int:
    """`python -m search.evaluate RUN [evaluate.weights=last] [data.root=FOLDER]`; returns the exit code."""
    return _reporting_errors(lambda: _evaluate(*_open_run("search.evaluate", words)))


def export_command(words: Sequence[str]) -> int:
    """`python -m search.export RUN`; returns the exit code."""

    def export() -> int:
        from search.export import export_run

        folder, _ = _open_run("search.export", words)
        export_run(folder)
        print(f"Written to {folder.url}: trials.jsonl, tensorboard/, optuna.log")
        return 0

    return _reporting_errors(export)


def help_text() -> str:
    """The help: what it does, the spaces with the question of each, and every setting with its meaning."""
    spaces = "\n".join(f"  {name:17}{_question(name)}" for name in space_names())
    settings = (conf_folder() / "config.yaml").read_text().partition("\n\n")[2].rstrip()
    indented = "\n".join(f"  {line}" if line else "" for line in settings.splitlines())
    return f"""Search the hyperparameters of image classifiers, on this machine or on a Ray cluster.

  python -m search.run space=cnn2                             the bundled sample of X-rays, to try it
  python -m search.run space=cnn2 data.root=FOLDER            your images
  python -m search.run space=cnn2 data=kaggle                 the public Kaggle set
  python -m search.run space=all3 resources.gpus_per_trial=0.25 search.num_trials=40
  python -m search.run space=cnn2 dry_run=true                what would be done
  python -m search.run resume=auto                            go on after an interruption
  python -m search.run refit=runs/NAME                        a run's best configuration again, on five splits
  python -m search.run cluster=submit space=cnn2 run.storage=s3://BUCKET/runs   sent to a cluster as a job
  python -m search.evaluate RUN                               score a run's trials again
  python -m search.export RUN                                 TensorBoard, Optuna and JSON views

Spaces (a YAML file each in search/conf/space):
{spaces}

Settings and their defaults; set any with key=value, nested ones with dots (search.num_trials=40):
{indented}
"""


def _reporting_errors(work: Callable[[], int]) -> int:
    """The exit code of `work`; a user's mistake is one clear message, without a traceback."""
    try:
        return work()
    except _USER_ERRORS as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _main(arguments: list[str]) -> int:
    cluster, words = cluster_settings(arguments)
    if cluster.mode == "submit":
        return _submit(cluster, words)
    resume = last_word(words, "resume")
    if resume and not last_word(words, "refit"):
        folder = find_run(resume, words)
        if folder is not None:
            settings = resume_settings(folder.read_run().config, words)
            settings.cluster = cluster
            return _search(settings, read_space(settings), folder)
        words = [word for word in words if not word.startswith("resume=")]
    settings = _new_settings(words)
    settings.cluster = cluster
    space = _new_space(settings)
    if settings.dry_run:
        return _dry_run(settings, space)
    return _search(settings, space, None)


def _new_settings(words: list[str]) -> Settings:
    """The settings of a run that begins."""
    return refit_settings(words) if last_word(words, "refit") else load_settings(words)


def _new_space(settings: Settings) -> Space:
    """The space of a run that begins, checked as far as can be without its images."""
    space = read_space(settings)
    check_unused(space, settings)
    count_trials(space, settings)
    named = CLASSES.get(settings.data.labels)
    if named is not None:
        check_models(space, settings, len(named))
    return space


def _submit(cluster: ClusterSettings, words: list[str]) -> int:
    """Send the command to a cluster, after the checks that need neither its images nor its storage."""
    from search.driver.submit import connect_client, job_words, submit

    settings = load_settings([]) if last_word(words, "resume") else _new_settings(words)
    space = _new_space(settings)
    if settings.dry_run:
        return _dry_run(settings, space)
    named = job_words(words, run_name(settings))
    return submit(cluster, named, connect_client, lambda text: print(text, end="", flush=True))


def _dry_run(settings: Settings, space: Space) -> int:
    from rich.console import Console

    data = data_settings(settings)
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
    console.print(epochs_line(space, settings))
    cuts = sorted({f"{model.backbone} ({feature_cut(model)})" for model in models_with_features(settings, space)})
    if cuts:
        console.print(f"computed once for all trials: features of {', '.join(cuts)}")
    _print_images(console, manifest, split, data)
    console.print("Dry run: nothing was started.")
    return 0


def _row_line(row: PublishedRow, shape: tuple[int, int, int]) -> str:
    """A published row's model, and its parameters as built here, beside the printed ones where they differ."""
    count = count_parameters(row.config, shape, row.classes).total
    printed = "" if count == row.published_parameters else f" (published: {row.published_parameters:,})"
    return f"{row.model:16} {count:>11,} parameters{printed}"


def _print_images(console: "Console", manifest: Manifest, split: Split, data: DataSettings) -> None:
    """What is to be told of the images, and how many there are of each class in each part."""
    from rich.table import Table

    for notice in list_notices(manifest, split, data):
        console.print(notice, markup=False, soft_wrap=True)
    table = Table(title=f"Images in {manifest.root}", title_justify="left")
    table.add_column("")
    for name in (*manifest.classes, "all"):
        table.add_column(name, justify="right")
    for part, numbers in split.counts(manifest).items():
        table.add_row(part, *(f"{number:,}" for number in (*numbers, sum(numbers))))
    console.print(table)


def _search(settings: Settings, space: Space, resumed: RunFolder | None) -> int:
    """A whole search: data, Ray, run folder, trials, evaluation, views, summary.

    Nothing is written to the storage before everything that the search needs is there.
    """
    from search.driver.screen import chatter_to

    found = resumed or new_run_folder(settings)
    log = Path(tempfile.mkdtemp(prefix="xray-search-"), "driver.log")
    with chatter_to(log) as console:
        _say_onednn(resumed, console)
        folder = found.patient(settings.run.patience, lambda text: console.print(text, markup=False, soft_wrap=True))
        dataset = _prepare(settings, console)
        if settings.weights == "none" and any(FAMILIES[backbone].pretrained for backbone in backbones_of(space)):
            console.print("weights=none: backbones begin with random weights, which serves tests only.")
        if resumed is not None:
            check_same_data(folder, dataset)
        with open_session(settings, space, dataset, console.print) as session:
            for line in session.resources.reasons:
                console.print(line, markup=False, soft_wrap=True)
            with drive(folder):
                if resumed is None:
                    refuse_existing(folder)  # another may have begun it in the meantime
                    create_run(folder, session.settings, dataset)
                else:
                    update_run(folder, session.settings)
                try:
                    return _run(session, folder, console)
                finally:
                    _keep_log(folder, log)


def _run(session: Session, folder: RunFolder, console: "Console") -> int:
    """Trials, evaluation, views and summary of a run whose folder is there; returns the exit code."""
    from search.driver.screen import SearchView
    from search.driver.tune import SearchInterruptedError, run_search
    from search.evaluate.score import evaluate_run
    from search.export import export_run

    settings, space = session.settings, session.space
    state = _open_state(session, folder)
    verb = "Resuming" if state.trials else "Searching"
    console.print(f"{verb}: {state.num_trials} trials of space {space.name}; everything goes to {folder.url}")
    for name, count in folder.damaged_lines().items():
        console.print(f"log/{name}: {count} damaged, passed over; epochs are looked for in the checkpoints.")
    storage = "" if settings.run.storage == "runs" else f" run.storage={settings.run.storage}"
    go_on = f"python -m search.run resume={folder.name}{storage}"
    news = None if session.backbones.store is None else FeatureNews(session.backbones.store)
    try:
        state.restore()
        with SearchView(console, state, expected_epochs(space, settings), news) as view:
            run_search(session, state, view.on_change)
        if settings.evaluate.enabled:
            console.print("Evaluating the finished trials on validation and test ...")
            evaluate_run(session, folder)
    except (SearchInterruptedError, KeyboardInterrupt):
        export_run(folder)
        console.print(f"Stopped; nothing is lost. Go on with:\n  {go_on}", markup=False, soft_wrap=True)
        return 130
    except OSError as error:
        raise OSError(f"{error}\nWhat was done is kept in {folder.url}. When that is mended: {go_on}") from error
    finally:
        state.close()
    export_run(folder)
    _write_page(folder, console)
    _print_summary(settings, folder, console)
    return 0


def _say_onednn(run: RunFolder | None, console: "Console") -> None:
    """Settle oneDNN for a run that begins (None), or as an earlier one recorded it."""
    news = set_onednn(None if run is None else recorded_onednn(run.read_run().environment))
    if news:
        console.print(news, markup=False, soft_wrap=True)


def _write_page(folder: RunFolder, console: "Console") -> None:
    """Write the run's page, in a process of its own: the search does not depend on the analysis."""
    done = subprocess.run([sys.executable, "-m", "analysis.report", folder.url], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        console.print(f"The page could not be written: {' '.join(reason)}", markup=False, soft_wrap=True)


def _open_state(session: Session, folder: RunFolder) -> "SearchState":
    from search.driver.state import SearchState
    from search.plan.searcher import build_searcher

    settings = session.settings
    shape, classes = data_settings(settings).image.shape, len(session.dataset.manifest.classes)
    searcher = build_searcher(session.space, settings)
    return SearchState(folder, searcher, settings, lambda model: count_parameters(model, shape, classes))


def _keep_log(folder: RunFolder, log: Path) -> None:
    """Add this session's output of Ray and TensorFlow to the run's log; a full disk must not hide a first error."""
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        earlier = folder.read("driver.log") if folder.exists("driver.log") else b""
        folder.write(earlier + log.read_bytes(), "driver.log")


def _prepare(settings: Settings, console: "Console") -> Dataset:
    from search.driver.screen import image_progress

    started = time.monotonic()
    data = data_settings(settings)
    with image_progress(console) as progress:
        dataset = prepare_dataset(data, progress)
    _print_images(console, dataset.manifest, dataset.split, data)
    console.print(f"{len(dataset.manifest.rows):,} images ready in {time.monotonic() - started:.1f} s")
    return dataset


def _open_run(command: str, words: Sequence[str]) -> tuple[RunFolder, Settings]:
    """The run that a command names first, with the settings that may be changed after it."""
    if not words or "=" in words[0]:
        raise SettingsError(f"Give the folder of a run: python -m {command} runs/NAME")
    folder = RunFolder(words[0])
    return folder, resume_settings(folder.read_run().config, words[1:])


def _evaluate(folder: RunFolder, settings: Settings) -> int:
    from search.driver.screen import chatter_to
    from search.evaluate.score import evaluate_run

    log = Path(tempfile.mkdtemp(prefix="xray-search-"), "evaluate.log")
    with chatter_to(log) as console:
        _say_onednn(folder, console)
        dataset = _prepare(settings, console)
        check_same_data(folder, dataset)
        with open_session(settings, read_space(settings), dataset) as session, drive(folder):
            update_run(folder, session.settings)
            evaluate_run(session, folder)
        _write_page(folder, console)
        _print_summary(settings, folder, console)
    return 0


def _print_summary(settings: Settings, folder: RunFolder, console: "Console") -> None:
    from search.driver.screen import ranked_table, status_line
    from search.evaluate.card import winner_lines
    from search.evaluate.winner import best_trials

    trials = list(folder.read_trials().values())
    metric, weights = settings.search.metric, settings.evaluate.weights
    console.print(ranked_table(trials, metric, weights))
    console.print(status_line(trials))
    for trial in trials:
        if trial.status in (record.FAILED, record.DIVERGED):
            console.print(f"  trial {trial.name} {trial.status}: {trial.reason}", markup=False, soft_wrap=True)
    scored = {entry.trial for entry in folder.read_evaluations()}
    lost = [t.name for t in trials if t.status == record.FINISHED and t.number not in scored]
    if scored and lost:
        console.print(f"  not scored, their weights cannot be read: trials {', '.join(lost)}", markup=False)
    winner, best = folder.read_winner(), best_trials(trials, settings)
    if winner is not None:
        console.print(f"Winner, chosen by validation alone: {winner.what}")
        for line in winner_lines(winner):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    elif best:
        console.print(f"Best by validation: trial {best[0].name}; not evaluated.")
    else:
        console.print("No trial finished, so there is no winner to evaluate.")
    url = folder.url
    console.print(
        f"\nRun        {url}  (config.yaml, manifest.parquet, trials.jsonl, evaluation.jsonl, predictions/)\n"
        f"Winner     {url}/winner/model.keras, card.md\n"
        f"Page       {url}/report.html\n"
        f"Analysis   python -m analysis.app {url.rpartition('/')[0] or '.'}    "
        f"python -m analysis.tables {url}    python -m analysis.claims {url}\n"
        f"Also       tensorboard --logdir {url}/tensorboard    optuna-dashboard {url}/optuna.log",
        markup=False,
        soft_wrap=True,
    )


def _question(space: str) -> str:
    first = (conf_folder() / "space" / f"{space}.yaml").read_text().splitlines()
    lines = [line[1:].strip() for line in first if line.startswith("# Question:")]
    return lines[0].removeprefix("Question:").strip() if lines else ""


if __name__ == "__main__":
    sys.exit(main())
