"""Earlier runs in their storage: found by name, read, and checked for what is left to do."""

import shlex
from collections.abc import Callable, Sequence

from data_pipeline.manifest import DataError
from search import record
from search.plan.settings import Settings, SettingsError
from search.plan.space_file import read_space
from search.plan.spaces import count_trials
from search.plan.words import Word, parse_words, resume_settings, value_of
from search.record import RecordError, RunFolder, RunRecord, scan_runs
from search.record.awaited import Wanted, is_awaited

_CACHE = ("cache", "cache_gb")  # of settings.data: which files of this user are written and removed


def find_run(
    wanted: str, words: Sequence[str | Word], say: Callable[[str], None] = lambda line: None
) -> RunFolder | None:
    """The run that `resume=wanted` names; None when `auto` finds none that was interrupted.

    Args:
        wanted: a run's name in the storage, its folder, or `auto` for the newest one that is not complete.
        words: the command line, of which run.storage and space count.
        say: tells the user of runs that `auto` cannot read and skips.

    Raises:
        RecordError: there is no such run.
    """
    if wanted != "auto":
        return named_run(wanted, words)
    storage, space = storage_of(words), value_of(parse_words(words), "space")

    def read_open(folder: RunFolder) -> RunRecord | None:
        run = folder.read_run()
        is_other = bool(space) and run.config["space"]["name"] != space
        return None if is_other or is_complete(folder) else run

    return _newest(storage, read_open, say)


def _newest(
    storage: str, read: Callable[[RunFolder], RunRecord | None], say: Callable[[str], None]
) -> RunFolder | None:
    """The newest of the runs whose record `read` returns; those that cannot be read are skipped and named."""
    scan = scan_runs(storage, read)
    for name, reason in scan.unreadable.items():
        say(f"Run {name} is skipped: {reason}")
    created = {name: run.created for name, run in scan.found.items() if run is not None}
    return RunFolder(in_storage(storage, max(created, key=created.__getitem__))) if created else None


def named_run(wanted: str, words: Sequence[str | Word]) -> RunFolder:
    """The run of that name in the storage of the command line, or of that folder or packed file.

    Raises:
        RecordError: there is no such run.
    """
    return stored_run(wanted, storage_of(words))


def stored_run(wanted: str, storage: str) -> RunFolder:
    """The run of that name in a storage, or of that folder or packed file.

    Raises:
        RecordError: there is no such run.
    """
    is_path = "/" in wanted or wanted.endswith(record.PACKED)
    folder = RunFolder(wanted if is_path else in_storage(storage, wanted))
    folder.read_run()
    return folder


def measured_like(settings: Settings, say: Callable[[str], None] = lambda line: None) -> RunFolder | None:
    """The newest run of the same space and image size in the storage that has trained an epoch, if there is one.

    Args:
        settings: of a search.
        say: tells the user of runs that cannot be read and are skipped.
    """

    def read_like(folder: RunFolder) -> RunRecord | None:
        run = folder.read_run()
        is_measured = _is_like(run, settings) and any(trial.epochs for trial in folder.read_trials().values())
        return run if is_measured else None

    return _newest(settings.run.storage, read_like, say)


def _is_like(run: RunRecord, settings: Settings) -> bool:
    """Whether a run's epochs take about as long as those of these settings."""
    config, data = run.config, run.config["data"]
    theirs = config["space"]["name"], data["size"], data["channels"], config.get("features")
    return theirs == (settings.space.name, settings.data.size, settings.data.channels, settings.features)


def resumed_settings(folder: RunFolder, words: Sequence[str | Word] = ()) -> Settings:
    """A run's settings, with those words that may change when it is resumed; its own command may be repeated.

    The cache is this user's and serves all their runs, and the run may be a stranger's: its folder and its size are
    those of the words or the defaults, whatever the run records.

    Raises:
        SettingsError: as `resume_settings`.
        RecordError: there is no such run, or its settings are damaged.
    """
    run, given, own = folder.read_run(), parse_words(words), Settings().data
    try:
        settings = resume_settings(run.config, given, began=shlex.split(run.command))
    except (SettingsError, DataError):
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RecordError(
            f"A run.json holds a run's settings and command. Received: {folder.url}/run.json, in which they are "
            f"damaged ({error!r}). Restore it, or leave this run out."
        ) from error
    for name in _CACHE:
        if not any(word.key == f"data.{name}" for word in given):
            setattr(settings.data, name, getattr(own, name))
    return settings


def cache_words(settings: Settings) -> list[str]:
    """The words that give another command the cache of these settings; none where it is the default."""
    own, data = Settings().data, settings.data
    changed = {name: getattr(data, name) for name in _CACHE if getattr(data, name) != getattr(own, name)}
    return [f"data.{name}={value}" for name, value in changed.items()]


def resume_command(folder: RunFolder, settings: Settings, *more: str) -> str:
    """The command that resumes a run of these settings, for a shell.

    Args:
        folder: of the run.
        settings: of the run.
        more: further words of the command.
    """
    storage = settings.run.storage
    words = [] if storage == Settings().run.storage else [f"run.storage={storage}"]
    return shlex.join(["python", "-m", "search.run", f"resume={folder.name}", *words, *cache_words(settings), *more])


def is_complete(folder: RunFolder, words: Sequence[str | Word] = ()) -> bool:
    """Whether every trial of a run has ended and, where that was asked for, is evaluated.

    Args:
        folder: of the run.
        words: of a command that would resume it; they may ask for more trials.

    Raises:
        SettingsError: as `resume_settings`.
    """
    settings = resumed_settings(folder, words)
    log, search = folder.read_log(), settings.search
    trials = log.trials
    wanted = Wanted(
        count_trials(read_space(settings), settings),
        search.confirm,
        search.time_budget,
        search.metric,
        settings.evaluate.weights,
    )
    begun = max(trials, default=-1) + 1 - sum(trial.confirms is not None for trial in trials.values())
    if not all(trial.is_final for trial in trials.values()) or is_awaited(begun, trials.values(), log.clock, wanted):
        return False
    finished = {trial.number for trial in trials.values() if trial.status == record.FINISHED}
    if not (settings.evaluate.enabled and finished):
        return True
    is_exported = folder.exists("winner", "winner.json")  # is written last
    return is_exported and finished <= {entry.trial for entry in folder.read_evaluations()}


def storage_of(words: Sequence[str | Word]) -> str:
    """The folder or URL that holds runs, as the command line or the default says."""
    return value_of(parse_words(words), "run.storage") or Settings().run.storage


def in_storage(storage: str, name: str) -> str:
    """The folder or URL of the run of that name."""
    return f"{storage.rstrip('/')}/{name}"
