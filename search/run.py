"""The command line: `python -m search.run space=cnn2 data.root=FOLDER search.num_trials=40 ...`.

Checks every setting, then prepares the data, searches, evaluates and exports. Ray and TensorFlow are
imported only when a search begins: help, dry runs and errors answer at once.
"""

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.folders import CLASSES
from models.registry import count_parameters, told_apart
from search.driver.command import check_prepared, exit_code, prepare, say_cache, say_onednn, write_page
from search.driver.deadline import Clock
from search.driver.dry_run import dry_run
from search.driver.lease import drive
from search.driver.preflight import check_machine, check_storage
from search.driver.runs import check_same_data, create_run, new_run_folder, refuse_existing, run_name, update_run
from search.driver.session import Session, check_models, open_session
from search.driver.share import FeatureNews, check_backbones
from search.plan.earlier import find_run, resume_command, resumed_settings
from search.plan.lengths import with_lengths
from search.plan.priors import prior_lines
from search.plan.refit import refit_settings
from search.plan.scheduler import expected_epochs
from search.plan.settings import ClusterSettings, Settings
from search.plan.space_file import check_unused, read_space
from search.plan.spaces import Space, backbone_weights, count_trials
from search.plan.warm import EarlierRun, read_earlier, warm_start
from search.plan.words import (
    Word,
    cluster_settings,
    conf_folder,
    load_settings,
    parse_words,
    space_names,
    value_of,
    without,
)
from search.record import FINISHED, RunFolder, Storage, error_words

if TYPE_CHECKING:
    from rich.console import Console

    from search.driver.state import SearchState


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a search from the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(help_text())
        return 0
    return exit_code(lambda: _main(words))


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
  python -m search.run space=cnn2 data.root=FOLDER search.time_budget=30m   as many trials as fit; the winner by then
  python -m search.run space=cnn2 dry_run=true                what would be done
  python -m search.run resume=auto                            go on after an interruption
  python -m search.run refit=runs/NAME                        a run's best configuration again, on five folds
  python -m search.run space=cnn2 search.warm_start=runs/NAME begin with what an earlier run found
  python -m search.run cluster=submit space=cnn2 run.storage=s3://BUCKET/runs   sent to a cluster as a job
  python -m search.evaluate RUN                               score a run's trials again
  python -m search.export RUN                                 TensorBoard, Optuna and JSON views; --to onnx and others

Spaces (a YAML file each in search/conf/space):
{spaces}

Settings and their defaults; set any with key=value, nested ones with dots (search.num_trials=40):
{indented}
"""


def _main(arguments: list[str]) -> int:
    parsed = parse_words(arguments)
    cluster, words = cluster_settings(parsed)
    if cluster.mode == "submit":
        return _submit(cluster, words, [word.text for word in parsed if word.key == "cluster.workers"])
    resume = value_of(words, "resume")
    if resume and not value_of(words, "refit"):
        folder = find_run(resume, words, print)
        if folder is not None:
            settings = resumed_settings(folder, words)
            settings.cluster = cluster
            return _search(settings, read_space(settings), folder)
        words = without(words, "resume")
    settings = _new_settings(words)
    settings.cluster = cluster
    space = _new_space(settings)
    earlier = read_earlier(space, settings)
    return dry_run(settings, space, earlier) if settings.dry_run else _search(settings, space, None, earlier)


def _new_settings(words: Sequence[Word]) -> Settings:
    """The settings of a run that begins."""
    return refit_settings(words) if value_of(words, "refit") else load_settings(words)


def _new_space(settings: Settings) -> Space:
    """The space of a run that begins, checked as far as can be without its images."""
    space = read_space(settings)
    check_unused(space, settings)
    backbone_weights(space, settings)
    count_trials(space, settings)
    named = CLASSES.get(settings.data.labels)
    if named is not None:
        check_models(space, settings, len(named))
    return space


def _submit(cluster: ClusterSettings, words: Sequence[Word], for_cluster: Sequence[str]) -> int:
    """Send the command to a cluster, after the checks that need neither its images nor its storage.

    Args:
        cluster: where to.
        words: of the command, without those on the cluster.
        for_cluster: words on the cluster that the search itself needs there.
    """
    from search.driver.submit import connect_client, job_words, submit

    settings = load_settings([]) if value_of(words, "resume") else _new_settings(words)
    settings.cluster = cluster
    space = _new_space(settings)
    if settings.dry_run:  # the cluster's storage need not be within reach of this machine
        return dry_run(settings, space, read_earlier(space, settings))
    named = [*job_words(words, run_name(settings)), *for_cluster]
    return submit(cluster, named, connect_client, lambda text: print(text, end="", flush=True))


def _search(settings: Settings, space: Space, resumed: RunFolder | None, earlier: Sequence[EarlierRun] = ()) -> int:
    """A whole search: data, Ray, run folder, trials, evaluation, views, summary.

    Nothing is written to the storage before everything that the search needs is there.
    """
    from search.driver.screen import chatter_to

    found = resumed or new_run_folder(settings)
    clock = Clock() if settings.search.time_budget else None
    check_machine(print)
    log = Path(tempfile.mkdtemp(prefix="xray-search-"), "driver.log")
    with chatter_to(log) as console:
        say_onednn(resumed, console)
        say = partial(console.print, markup=False, soft_wrap=True)
        folder = found.patient(settings.run.patience, say)
        check_storage(Storage(found.url.rpartition("/")[0] or ".").patient(settings.run.patience, say))
        check_backbones(settings, space)
        dataset = prepare(settings, console)
        meaning = check_prepared(space, settings, dataset)
        if "none" in backbone_weights(space, settings).values():
            console.print("weights=none: backbones begin with random weights, which serves tests only.")
        if resumed is not None:
            check_same_data(folder, dataset)
            say_cache(folder, settings, console)
        settings, reasons = with_lengths(settings, len(dataset.split.train), len(dataset.split.validation))
        warm, taken = warm_start(earlier, space, settings, dataset.manifest)
        if resumed is None:
            reasons += prior_lines(space, settings, warm, taken)
        for line in (*meaning, *reasons):
            say(line)
        with open_session(settings, space, dataset, say) as session:
            for line in session.resources.reasons:
                say(line)
            with drive(folder):
                if resumed is None:
                    refuse_existing(folder)  # another may have begun it in the meantime
                    create_run(folder, session.settings, dataset, warm)
                else:
                    update_run(folder, session.settings)
                try:
                    return _run(session, folder, console, clock)
                finally:
                    _keep_log(folder, log)


def _run(session: Session, folder: RunFolder, console: "Console", clock: Clock | None) -> int:
    """Trials, evaluation, views and summary of a run that has its folder; returns 1 where no trial finished."""
    from search.driver.screen import SearchView, ending_line, scope_line
    from search.driver.tune import SearchInterruptedError, run_search
    from search.evaluate.score import evaluate_run
    from search.evaluate.summary import print_summary
    from search.export.views import export_run

    settings, space = session.settings, session.space
    state = _open_state(session, folder, clock)
    verb = "Resuming" if state.trials else "Searching"
    console.print(f"{verb} space {space.name}: {scope_line(state)}; everything goes to {folder.url}")
    for name, count in state.damaged_lines.items():
        console.print(f"log/{name}: {count} damaged, skipped; their epochs are read from the checkpoints.")
    go_on = resume_command(folder, settings)
    news = None if session.backbones.store is None else FeatureNews(session.backbones.store)
    try:
        state.restore()
        with SearchView(console, state, expected_epochs(space, settings), news) as view:
            run_search(session, state, view.on_change)
        if clock is not None:
            console.print(ending_line(state))
        if settings.evaluate.enabled:
            console.print("Evaluating the finished trials on validation and test ...")
            evaluate_run(session, folder, partial(console.print, markup=False, soft_wrap=True))
        state.note_time()
    except (SearchInterruptedError, KeyboardInterrupt):
        state.note_time()
        export_run(folder)
        console.print(f"Stopped; nothing is lost. Go on with:\n  {go_on}", markup=False, soft_wrap=True)
        return 130
    except OSError as error:
        raise OSError(
            f"{error_words(error)}\nWhat was done is kept in {folder.url}. When that is fixed: {go_on}"
        ) from error
    finally:
        state.close()
    export_run(folder)
    write_page(folder, console)
    print_summary(settings, folder, console)
    return 0 if any(trial.status == FINISHED for trial in state.trials.values()) else 1


def _open_state(session: Session, folder: RunFolder, clock: Clock | None) -> "SearchState":
    from search.driver.state import SearchState
    from search.plan.searcher import build_searcher

    settings = session.settings
    shape, manifest = settings.data.image.shape, session.dataset.manifest
    classes = told_apart(manifest.classes, manifest.is_multilabel)
    warm = folder.read_warm_start() if settings.search.warm_start else None
    searcher = build_searcher(session.space, settings, warm)
    if clock is not None:
        clock.at_a_time = session.resources.at_a_time
    return SearchState(folder, searcher, settings, lambda model: count_parameters(model, shape, classes), clock)


def _keep_log(folder: RunFolder, log: Path) -> None:
    """Add this session's output of Ray and TensorFlow to the run's log; a full disk must not hide a first error."""
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        earlier = folder.read("driver.log") if folder.exists("driver.log") else b""
        folder.write(earlier + log.read_bytes(), "driver.log")


def _question(space: str) -> str:
    first = (conf_folder() / "space" / f"{space}.yaml").read_text().splitlines()
    lines = [line[1:].strip() for line in first if line.startswith("# Question:")]
    return lines[0].removeprefix("Question:").strip() if lines else ""


if __name__ == "__main__":
    sys.exit(main())
