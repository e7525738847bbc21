"""`refit=RUN`: the best configuration of a search, trained to its end on several folds; their mean is the winner."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from data_pipeline.split import SplitSettings
from search.plan.earlier import named_run, resumed_settings
from search.plan.settings import Settings, SettingsError, SpaceSettings
from search.plan.spaces import TRAINING_PARAMETERS
from search.plan.words import Word, changed_settings, parse_words, value_of, without
from search.record import TrialRecord, rank_configurations

REPEATS = 5


def refit_settings(words: Sequence[str | Word]) -> Settings:
    """The settings of a run with its best configuration in place of its space, each repeat validated on a fold.

    Args:
        words: `key=value` words of the command, `refit` among them; the others may set anything anew. A parameter of
            the space with several values makes a grid around the configuration. With `data.split.redraw` or
            `data.split.fraction` among them, each repeat draws a split in place of a fold; with
            `data.split.folds=null` all have the run's own.

    Raises:
        RecordError: there is no such run.
        SettingsError: no trial of the run has finished, or a setting is impossible.
    """
    given = parse_words(words)
    if value_of(given, "resume"):
        raise SettingsError("refit begins a run and resume continues one. Received: both. Leave one out.")
    folder = named_run(value_of(given, "refit"), given)
    run = folder.read_run()
    searched = resumed_settings(folder)
    best = best_configuration(folder.read_trials().values(), searched)
    if best is None:
        raise SettingsError(
            f"refit takes the best configuration of finished trials. Received: {folder.url}, where none has finished. "
            "Resume that run, or name another."
        )
    others = without(given, "refit")
    settings = changed_settings(_configuration(searched, run.name, best, others), others)
    if value_of(others, "evaluate.ensemble") is None:
        settings.evaluate.ensemble = settings.search.repeats
    return settings


def best_configuration(trials: Iterable[TrialRecord], settings: Settings) -> TrialRecord | None:
    """The first finished trial with the configuration whose repeats have the best mean metric; `None` without any."""
    ranked = rank_configurations(trials, settings.search.metric, settings.evaluate.weights)
    return ranked[0][0] if ranked else None


def _own_splits(searched: SplitSettings, words: Sequence[Word]) -> SplitSettings:
    """A fold for each repeat that the words want; where they want no folds, drawn splits or that of the run."""
    given = {word.key for word in words}
    if value_of(words, "data.split.folds") is None:
        if given & {"data.split.redraw", "data.split.fraction"}:
            return replace(searched, redraw=True, folds=None)
        if "data.split.folds" in given:
            return replace(searched, redraw=False, folds=None)
    repeats = value_of(words, "search.repeats")
    folds = repeats if isinstance(repeats, int) and repeats > 1 else REPEATS
    return replace(searched, folds=folds, fraction=None, redraw=False)


def _configuration(searched: Settings, run: str, best: TrialRecord, words: Sequence[Word]) -> Settings:
    """The settings of a search with one of its configurations in place of its space."""
    defaults = Settings()
    chosen = {name: getattr(defaults.train, name) for name in TRAINING_PARAMETERS if name in best.parameters}
    question = f"What is the configuration of trial {best.name}, the best of {run}, worth when it is trained again?"
    return replace(
        searched,
        space=SpaceSettings(f"{searched.space.name}-refit", question, dict(best.parameters)),
        search=replace(
            searched.search,
            searcher="grid",
            scheduler="none",
            max_epochs=best.max_epochs,
            repeats=REPEATS,
            time_budget=None,
            confirm=0,  # it would validate on the images of the first repeat alone
            warm_start=None,
        ),
        data=replace(searched.data, split=_own_splits(searched.data.split, words)),
        evaluate=replace(searched.evaluate, enabled=True),
        # Chosen for that run's machine, or of its storage.
        run=defaults.run,
        resources=defaults.resources,
        train=replace(searched.train, precision=defaults.train.precision, **chosen),
    )
