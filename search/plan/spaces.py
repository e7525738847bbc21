"""A search space, and the configurations that it allows.

`resolve` walks the parameters in order and asks a function for each value, so that a sampler, a grid and a size
estimate share the same conditional space.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from models.checks import nearest
from models.registry import FAMILIES, PUBLISHED, ModelConfig, model_config, model_values
from search.plan.domains import (
    Choice,
    Parameter,
    Uniform,
    count_combinations,
    expand,
    representatives,
)
from search.plan.settings import UNLIMITED, Settings, SettingsError, TrainSettings
from search.record import counted

_OF_A_RUN = ("epoch_images", "shuffle", "precision", "deterministic")  # trials are compared at equal epochs
TRAINING_PARAMETERS = tuple(entry.name for entry in fields(TrainSettings) if entry.name not in _OF_A_RUN)


@dataclass(frozen=True)
class Space:
    """A search space: parameters, or published rows to replay.

    Attributes:
        guess: the value of each parameter that is thought best; parameters may be missing.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    rows: tuple[str, ...] = ()
    guess: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One trial to run: its hyperparameters, its epochs and its origin."""

    parameters: dict[str, Any]
    max_epochs: int
    row: str = ""
    repeat: int = 0
    listed: bool = False  # a row or a configuration of a grid, not one that a sampler chose


def resolve(space: Space, choose: Callable[[Parameter], Any]) -> dict[str, Any]:
    """One configuration: the value that `choose` gives for every parameter that is active."""
    chosen: dict[str, Any] = {}
    for parameter in space.parameters:
        if parameter.is_active(chosen):
            chosen[parameter.name] = choose(parameter)
    return chosen


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every configuration of a space without continuous parameters.

    Raises:
        SettingsError: a parameter is continuous.
    """
    for parameter in space.parameters:
        if isinstance(parameter.domain, Uniform):
            raise SettingsError(
                "search.searcher=grid needs parameters with listed values. "
                f"Received: {parameter.name} with a continuous domain. Give a list: "
                f"'space.parameters.{parameter.name}={{choice: [...]}}', or use tpe or random."
            )
    yield from expand(space.parameters, _listed_values)


def backbones_of(space: Space) -> tuple[str, ...]:
    """Every backbone that a trial of the space may have, in the order of the space."""
    return tuple(dict.fromkeys(variant["backbone"] for variant in model_variants(space)))


def backbone_weights(space: Space, settings: Settings) -> dict[str, str]:
    """Of each backbone of the space that takes pretrained weights: "imagenet", "none" or a file.

    Raises:
        SettingsError: one file is given to several backbones, or a backbone is left out or unknown.
    """
    weights = settings.weights
    pretrained = [backbone for backbone in backbones_of(space) if FAMILIES[backbone].pretrained]
    if not isinstance(weights, Mapping):
        if len(pretrained) > 1 and weights not in ("imagenet", "none"):
            entries = ", ".join(f"{backbone}: FILE" for backbone in pretrained)
            raise SettingsError(
                f"A file of weights fits one backbone. Received: weights={weights}, and space {space.name!r} has "
                f"{len(pretrained)} backbones. Write 'weights={{{entries}}}', or search one backbone."
            )
        return dict.fromkeys(pretrained, str(weights))
    for backbone in weights:
        if backbone not in FAMILIES or not FAMILIES[backbone].pretrained:
            known = [name for name, family in FAMILIES.items() if family.pretrained]
            raise SettingsError(
                f"weights names pretrained backbones. Received: {backbone!r}. {nearest(str(backbone), known)}"
            )
    for backbone in pretrained:
        if backbone not in weights:
            raise SettingsError(
                f"weights must name every backbone of the space. Received: no weights of {backbone}. "
                f"Add '{backbone}: FILE', imagenet or none."
            )
    return {backbone: weights[backbone] for backbone in pretrained}


def count_configurations(space: Space) -> int | None:
    """How many configurations the space has; `None` when a parameter is continuous."""
    if space.rows:
        return len(space.rows)
    if any(isinstance(parameter.domain, Uniform) for parameter in space.parameters):
        return None
    return count_combinations(space.parameters)


def model_variants(space: Space) -> Iterator[dict[str, Any]]:
    """The combinations of the parameters that shape the model, each with its backbone.

    A range of numbers is represented by its ends: see `search.plan.domains.representatives`.
    """
    if space.rows:
        yield from (row_parameters(row) for row in space.rows)
        return
    shaping = [parameter for parameter in space.parameters if parameter.name not in TRAINING_PARAMETERS]
    yield from expand(shaping, representatives(shaping))


def listed_plans(space: Space, settings: Settings) -> list[Plan] | None:
    """The trials of a space of rows or a grid; `None` where a sampler chooses.

    All configurations come once before any is repeated: an interrupted search then has complete repeats, and a resumed
    one may add more.

    Raises:
        SettingsError: a sampler was given repeats.
    """
    search = settings.search
    if space.rows:
        configurations = [(row_parameters(row), row, PUBLISHED[row].epochs) for row in space.rows]
    elif search.searcher == "grid":
        _check_grid(space)
        configurations = [(parameters, "", search.max_epochs) for parameters in grid(space)]
    elif search.repeats > 1:
        folds = settings.data.split.folds
        given, once = ("search.repeats", "1") if folds is None else ("data.split.folds", "null")
        raise SettingsError(
            f"{given} needs listed configurations (searcher grid, or a space of rows). Received: searcher "
            f"{search.searcher!r} with {given}={search.repeats}. Use {given}={once}."
        )
    else:
        return None
    return [
        Plan(parameters, min(epochs, search.max_epochs), row, repeat, listed=True)
        for repeat in range(search.repeats)
        for parameters, row, epochs in configurations
    ]


def largest_batch(space: Space, settings: Settings) -> int:
    """The largest batch size of a trial of the space."""
    sizes = [row_parameters(row).get("batch_size", settings.train.batch_size) for row in space.rows]
    for parameter in space.parameters:
        if parameter.name == "batch_size":
            domain = parameter.domain
            sizes += domain.values if isinstance(domain, Choice) else [int(domain.high)]
    return max(sizes, default=settings.train.batch_size)


def augmentations_of(space: Space, settings: Settings) -> set[str]:
    """The augmentations that a trial of the space may have, "none" left out."""
    names = {row_parameters(row).get("augment", settings.train.augment) for row in space.rows}
    sampled = [each.domain for each in space.parameters if each.name == "augment" and isinstance(each.domain, Choice)]
    names |= {name for domain in sampled for name in domain.values} or {settings.train.augment}
    return names - {"none"}


def last_epochs(space: Space, settings: Settings) -> list[int]:
    """Of every trial of a search, the epoch after which it ends if it is not stopped."""
    plans = listed_plans(space, settings)
    if plans is None:
        return [settings.search.max_epochs] * settings.search.num_trials
    return [plan.max_epochs for plan in plans]


def count_trials(space: Space, settings: Settings) -> int:
    """How many trials a search of the space has."""
    return len(last_epochs(space, settings))


def train_settings(defaults: TrainSettings, parameters: Mapping[str, Any]) -> TrainSettings:
    """The training settings of one trial: the defaults, replaced by the values that the space chose."""
    values = {entry.name: getattr(defaults, entry.name) for entry in fields(TrainSettings)}
    return TrainSettings(**{**values, **{key: parameters[key] for key in values if key in parameters}})


def model_settings(parameters: Mapping[str, Any]) -> ModelConfig:
    """The model configuration of one trial."""
    shaping = {key: value for key, value in parameters.items() if key not in TRAINING_PARAMETERS}
    return model_config(shaping.pop("backbone"), shaping)


def _listed_values(parameter: Parameter) -> Sequence[Any]:
    domain = parameter.domain
    return () if isinstance(domain, Uniform) else domain.values


def _check_grid(space: Space) -> None:
    """Refuse a grid of more configurations than a search may have trials."""
    count = count_configurations(space)
    if count is not None and count > UNLIMITED:
        raise SettingsError(
            f"search.searcher=grid trains every configuration of a space, of which there may be {UNLIMITED:,}. "
            f"Received: space {space.name!r} with {count:,}. Give fewer values, or use tpe or random."
        )


def row_parameters(row_id: str) -> dict[str, Any]:
    """The hyperparameters of a published row, by name.

    Raises:
        KeyError: there is no such row.
    """
    row = PUBLISHED[row_id]
    return {
        **model_values(row.config),
        "learning_rate": row.learning_rate,
        "batch_size": row.batch_size,
        "augment": row.augment,
        "class_weights": row.class_weights,
    }


def combinations_of(space: Space) -> str:
    """The size of the space in words, for a dry run."""
    count = count_configurations(space)
    if count is not None:
        return counted(count, "configuration")
    continuous = [p.name for p in space.parameters if isinstance(p.domain, Uniform)]
    discrete = [p for p in space.parameters if p.name not in continuous]
    return (
        f"{count_combinations(discrete):,} combinations of listed values, times the continuous {', '.join(continuous)}"
    )
