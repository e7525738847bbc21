"""`search.warm_start=RUN[,RUN]`: a search begins with what earlier runs of a like space found.

The best configuration of each run is one of the first trials. Its finished trials become TPE's history where their
values can be compared: the same metric, images, data settings and epochs, and a configuration that this search could
have tried. What is taken is recorded in the new run, so that a resume does not need the earlier ones.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.manifest import Manifest
from models.registry import FAMILIES, model_values
from search.plan.domains import Parameter
from search.plan.earlier import resumed_settings, stored_run
from search.plan.priors import complete, own_guess, own_value
from search.plan.settings import Settings, SettingsError, TrainSettings
from search.plan.spaces import (
    TRAINING_PARAMETERS,
    Space,
    backbones_of,
    listed_plans,
    model_settings,
    resolve,
    train_settings,
)
from search.record import FINISHED, EarlierTrial, RunRecord, TrialRecord, WarmStart, rank, rank_configurations
from search.record.passes import epochs_of_pass

# What a metric depends on, beside the images themselves.
_DATA = ("labels", "task", "patient", "size", "channels", "interpolation", "keep_aspect", "split")


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run that a search begins with.

    Attributes:
        name: of its folder or packed file.
        run: its record.
        settings: its settings, as a resume would have them.
        trials: its finished trials.
        best: the best of those that fit the new space at least in part.
    """

    name: str
    run: RunRecord
    settings: Settings
    trials: tuple[TrialRecord, ...]
    best: TrialRecord


def warm_runs(value: str | None) -> tuple[str, ...]:
    """The names or folders of `search.warm_start`, each once."""
    return tuple(dict.fromkeys(part.strip() for part in (value or "").split(",") if part.strip()))


def read_earlier(space: Space, settings: Settings) -> list[EarlierRun]:
    """The runs that `search.warm_start` names; empty where it names none.

    Raises:
        RecordError: there is no such run.
        SettingsError: the configurations of this search are listed, or a run has no finished trial that fits.
    """
    names = warm_runs(settings.search.warm_start)
    if names and listed_plans(space, settings) is not None:
        given = "a space of rows" if space.rows else f"search.searcher={settings.search.searcher}"
        raise SettingsError(
            f"search.warm_start is for searches whose trials are sampled. Received: {given}. "
            "Leave it out, or use tpe or random."
        )
    return [_read_run(name, space, settings) for name in names]


def _read_run(name: str, space: Space, settings: Settings) -> EarlierRun:
    folder = stored_run(name, settings.run.storage)
    earlier, wanted = resumed_settings(folder), backbones_of(space)
    trials = folder.read_trials().values()  # all of them: a confirmation that diverged counts too
    ranked = [group[0] for group in rank_configurations(trials, earlier.search.metric, earlier.evaluate.weights)]
    fitting = [trial for trial in ranked if _fitting(space, _values(trial.parameters, earlier.train))]
    if not fitting:
        had = dict.fromkeys(trial.parameters["backbone"] for trial in ranked)
        here = f"space {space.name} has {', '.join(wanted)}"
        if had.keys() & set(wanted):
            here = f"no value is one that space {space.name} searches"
        what = f"of {', '.join(had)}; {here}" if ranked else "where none has finished"
        raise SettingsError(
            "search.warm_start takes runs with a finished trial that fits this space at least in part. "
            f"Received: {folder.url}, {what}. Leave it out, or name another run."
        )
    finished = tuple(trial for trial in trials if trial.status == FINISHED)
    return EarlierRun(folder.name, folder.read_run(), earlier, finished, fitting[0])


def warm_start(
    earlier: Sequence[EarlierRun], space: Space, settings: Settings, manifest: Manifest
) -> tuple[WarmStart, list[str]]:
    """What a search takes from earlier runs, and lines that say so.

    Args:
        earlier: as `read_earlier` gives them.
        space: of the search.
        settings: of the search, its lengths resolved.
        manifest: its images.
    """
    guesses: list[EarlierTrial] = []
    history: list[EarlierTrial] = []
    lines: list[str] = []
    for run in earlier:
        taken, line = _history(run, space, settings, manifest)
        history += taken
        lines += [line, _add_guess(guesses, run, space, settings)]
    return WarmStart(tuple(guesses), tuple(history)), lines


def _add_guess(guesses: list[EarlierTrial], run: EarlierRun, space: Space, settings: Settings) -> str:
    """Add a run's best configuration unless it is there already; what is missing comes from the guess, or by seed."""
    own, seed = own_guess(space, settings), settings.search.seed
    number = len(own) + len(guesses)
    fitting = _fitting(space, _values(run.best.parameters, run.settings.train))
    known = {**(own[0] if own else {}), **fitting}
    parameters = complete(space, known, random.Random(f"{seed}/{number}"))
    first = [complete(space, guess, random.Random(f"{seed}/0")) for guess in own]
    there = [*first, *(guess.parameters for guess in guesses)]
    what = f"the best of {run.name}, its trial {run.best.name}"
    if parameters in there:
        return f"trial {there.index(parameters)} is also {what}"
    guesses.append(EarlierTrial(run.name, run.best.number, parameters))
    if number >= settings.search.num_trials:
        return f"{what}, is tried only with more trials (search.num_trials={number + 1})"
    varying = [parameter.name for parameter in space.parameters if not parameter.is_constant]
    other = [name for name in varying if name in parameters and name not in fitting]
    source = "the guess" if other and set(other) <= set(known) else "the guess or chance" if own else "chance"
    return f"trial {number} is {what}" + (f"; {', '.join(other)} from {source}" if other else "")


def _history(run: EarlierRun, space: Space, settings: Settings, manifest: Manifest) -> tuple[list[EarlierTrial], str]:
    """The finished trials of a run whose values count for this search, and a line that says which."""
    name, metric = run.name, settings.search.metric
    differing = _differing(run, space, settings, manifest)
    if differing:
        return [], f"{name} gives its best configuration alone; its values are of {', '.join(differing)}"
    if settings.search.searcher != "tpe":
        return [], f"{name} gives its best configuration alone; search.searcher={settings.search.searcher} has no model"
    taken, outside = [], dict[str, None]()
    for trial in rank(run.trials, metric):
        parameters, misfits = _in_space(space, _values(trial.parameters, run.settings.train), settings.train)
        if trial.max_epochs != settings.search.max_epochs:
            misfits.append("max_epochs")
        outside |= dict.fromkeys(misfits)
        best = trial.best_epoch(metric)
        if best is not None and not misfits:
            taken.append(EarlierTrial(name, trial.number, parameters, getattr(best, metric)))
    line = f"{len(taken)} of {len(run.trials)} finished trials of {name} fit this space and count for TPE"
    left = len(run.trials) - len(taken)
    has = "has" if left == 1 else "have"
    why = f"{has} {', '.join(outside)} outside" if outside else f"{has} no value"
    return sorted(taken, key=lambda entry: entry.trial), f"{line}; {left} {why}" if left else line


def _differing(run: EarlierRun, space: Space, settings: Settings, manifest: Manifest) -> list[str]:
    """What keeps the values of a run's trials from being compared with those of this search."""
    then, now = run.settings, settings
    differing = [] if then.search.metric == now.search.metric else [f"metric {then.search.metric}"]
    if run.run.classes != manifest.classes:
        return [*differing, f"classes {', '.join(run.run.classes)}"]
    differing += [f"another data.{name}" for name in _DATA if getattr(then.data, name) != getattr(now.data, name)]
    if run.run.data.get("fingerprint") != manifest.fingerprint:
        differing.append("other images")
    images = max(1, run.run.images("train"))
    parts = {epochs_of_pass(images, each.train.epoch_images) for each in (then, now)}
    differing += ["another train.epoch_images"] if len(parts) > 1 else []
    if any(FAMILIES[backbone].pretrained for backbone in backbones_of(space)):
        differing += ["other weights"] if then.weights != now.weights else []
        differing += ["other views of an image"] if _views(then) != _views(now) else []
    return differing


def _views(settings: Settings) -> int | None:
    """How many fixed draws of an image train a head on features; None where every epoch draws anew."""
    return None if settings.features == "off" else settings.views


def _values(parameters: Mapping[str, Any], defaults: TrainSettings) -> dict[str, Any]:
    """All that a trial's model and its training have, whether its configuration gives it or a default."""
    training = asdict(train_settings(defaults, parameters))
    return {**model_values(model_settings(parameters)), **{name: training[name] for name in TRAINING_PARAMETERS}}


def _fitting(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial's values, those that hyperparameters of this space can have; empty where the backbone is another."""
    if values["backbone"] not in backbones_of(space):
        return {}
    return {
        parameter.name: own_value(parameter.domain, values[parameter.name])
        for parameter in space.parameters
        if not parameter.is_constant and parameter.name in values and values[parameter.name] in parameter.domain
    }


def _in_space(space: Space, values: Mapping[str, Any], defaults: TrainSettings) -> tuple[dict[str, Any], list[str]]:
    """A trial's configuration as one of this space, and the names of the values that no trial of this space has."""
    misfits: list[str] = []

    def choose(parameter: Parameter) -> Any:
        value = values.get(parameter.name)
        if parameter.name in values and value in parameter.domain:
            return own_value(parameter.domain, value)
        misfits.append(parameter.name)
        return value

    parameters = resolve(space, choose)
    if "backbone" in misfits:
        return parameters, ["backbone"]
    if not misfits:
        here = _values(parameters, defaults)
        misfits = [name for name, value in here.items() if values[name] != value]
    return parameters, misfits
