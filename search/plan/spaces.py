"""Reads a space file's parameters as typed domains, and lists the configurations that they allow.

A space file gives each hyperparameter its domain:

```yaml
backbone: {choice: [cnn, vgg16]}
learning_rate: {log_uniform: [1.0e-5, 1.0e-2]}
layers: {integer: [1, 3], when: {backbone: cnn}}
dense: {choice: [[], [16], [16, 8]]}
pooling: average
```

A bare value is a constant. `when` makes a parameter conditional on earlier ones. `resolve` walks the
parameters in order and asks a function for each value, so that a sampler, a grid and a size estimate
share the same conditional space. `space.guess` may name the value of each parameter that is thought best, as
`{learning_rate: 0.003, layers: 2}`: `search.plan.priors` says what a search makes of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from models.checks import nearest
from models.registry import FAMILIES, PUBLISHED, ModelConfig, model_config, model_parameters, model_values
from search.plan.domains import (
    Choice,
    Domain,
    Integer,
    Parameter,
    Uniform,
    count_combinations,
    expand,
    is_number,
    representatives,
)
from search.plan.settings import UNLIMITED, Settings, SettingsError, SpaceSettings, TrainSettings, check_train

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


def read_space(settings: Settings) -> Space:
    """The space of the settings, every name, domain and condition checked.

    Raises:
        SettingsError: an unknown parameter, domain, backbone or row; a condition that cannot hold; a guess outside the
            space.
    """
    choice = settings.space
    if bool(choice.parameters) == bool(choice.rows):
        raise SettingsError(
            f"A space has either parameters or rows. Received: space {choice.name!r} with "
            f"{'both' if choice.rows else 'neither'}. See search/conf/space/cnn2.yaml for an example."
        )
    if choice.rows:
        _check_guess(choice, [])
        return Space(choice.name, rows=_read_rows(choice.rows))
    parameters = [_read_parameter(name, entry) for name, entry in choice.parameters.items()]
    _check_names(parameters)
    for parameter in parameters:
        if parameter.name in TRAINING_PARAMETERS:
            _check_training(parameter, settings.train)
    _check_guess(choice, parameters)
    return Space(choice.name, parameters=tuple(parameters), guess=dict(choice.guess))


def check_unused(space: Space, settings: Settings) -> None:
    """Refuse settings that the space's own values would silently replace.

    Raises:
        SettingsError: a training default is set for which every trial of the space has its own value.
    """
    default = TrainSettings()
    sampled = [name for row in space.rows for name in _row_parameters(row)]
    for name in dict.fromkeys([*sampled, *(parameter.name for parameter in space.parameters if not parameter.when)]):
        if name in TRAINING_PARAMETERS and getattr(settings.train, name) != getattr(default, name):
            instead = "Published rows are trained as the report says"
            if space.parameters:
                instead = f"Use space.parameters.{name}={getattr(settings.train, name)}"
            raise SettingsError(
                f"train.{name} is for spaces that do not set {name}, and space {space.name!r} does. "
                f"Received: train.{name}={getattr(settings.train, name)}. {instead}."
            )


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
        yield from (_row_parameters(row) for row in space.rows)
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
        configurations = [(_row_parameters(row), row, PUBLISHED[row].epochs) for row in space.rows]
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
    sizes = [_row_parameters(row).get("batch_size", settings.train.batch_size) for row in space.rows]
    for parameter in space.parameters:
        if parameter.name == "batch_size":
            domain = parameter.domain
            sizes += domain.values if isinstance(domain, Choice) else [int(domain.high)]
    return max(sizes, default=settings.train.batch_size)


def augmentations_of(space: Space, settings: Settings) -> set[str]:
    """The augmentations that a trial of the space may have, "none" left out."""
    names = {_row_parameters(row).get("augment", settings.train.augment) for row in space.rows}
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


def _row_parameters(row_id: str) -> dict[str, Any]:
    row = PUBLISHED[row_id]
    return {
        **model_values(row.config),
        "learning_rate": row.learning_rate,
        "batch_size": row.batch_size,
        "augment": row.augment,
        "class_weights": row.class_weights,
    }


def _read_rows(wanted: list[str]) -> tuple[str, ...]:
    """Row ids; a table's name stands for all its rows."""
    rows: list[str] = []
    for name in wanted:
        found = [row for row in PUBLISHED if row == name or row.startswith(f"{name}/")]
        if not found:
            raise SettingsError(f"Unknown published row. Received: {name!r}. {nearest(name, tuple(PUBLISHED))}")
        rows += found
    return tuple(rows)


_DOMAINS = ("choice", "uniform", "log_uniform", "integer", "log_integer", "value")


def _read_parameter(name: str, entry: Any) -> Parameter:
    if not isinstance(entry, Mapping):
        return Parameter(name, Choice((entry,)))
    when = tuple(
        (key, tuple(values) if isinstance(values, list) else (values,))
        for key, values in dict(entry.get("when", {})).items()
    )
    kinds = [key for key in entry if key != "when"]
    if len(kinds) != 1 or kinds[0] not in _DOMAINS:
        given = ", ".join(map(str, kinds)) or "nothing"
        hint = nearest(str(kinds[0]), _DOMAINS) if kinds else f"Valid are: {', '.join(_DOMAINS)}."
        raise SettingsError(f"space.parameters.{name} needs one domain. Received: {given}. {hint}")
    return Parameter(name, _read_domain(name, kinds[0], entry[kinds[0]]), when)


def _read_domain(name: str, kind: str, given: Any) -> Domain:
    if kind == "value":
        return Choice((given,))
    if kind == "choice":
        if not isinstance(given, list) or not given:
            raise SettingsError(
                f"space.parameters.{name}: choice takes a list of values. Received: {given!r}. Try [1, 2]."
            )
        return Choice(tuple(given))
    if not isinstance(given, list) or len(given) != 2 or not all(is_number(bound) for bound in given):
        raise SettingsError(
            f"space.parameters.{name}: {kind} takes [low, high]. Received: {given!r}. Give two numbers."
        )
    low, high = given
    log = kind.startswith("log")
    if low > high or (log and low <= 0):
        rule = "0 < low <= high" if log else "low <= high"
        raise SettingsError(f"space.parameters.{name}: {kind} needs {rule}. Received: {given!r}. Change its ends.")
    if kind.endswith("integer"):
        if not all(isinstance(bound, int) for bound in given):
            raise SettingsError(
                f"space.parameters.{name}: {kind} takes whole numbers. Received: {given!r}. Round its ends."
            )
        return Integer(low, high, log)
    return Uniform(float(low), float(high), log)


def _check_names(parameters: list[Parameter]) -> None:
    """Refuse a parameter that belongs neither to training nor to every backbone that it is active for."""
    by_name = {parameter.name: parameter for parameter in parameters}
    if "backbone" not in by_name or not isinstance(by_name["backbone"].domain, Choice):
        given = "a range" if "backbone" in by_name else "none"
        raise SettingsError(
            f"A space lists its backbones. Received: {given}. Give 'backbone: cnn' or 'backbone: {{choice: [...]}}'."
        )
    backbones = by_name["backbone"].domain.values
    for backbone in backbones:
        if backbone not in FAMILIES:
            raise SettingsError(f"Unknown backbone. Received: {backbone!r}. {nearest(str(backbone), FAMILIES)}")
    seen: dict[str, Parameter] = {}
    for parameter in parameters:
        _check_conditions(parameter, seen)
        seen[parameter.name] = parameter
        if parameter.name != "backbone" and parameter.name not in TRAINING_PARAMETERS:
            _check_owners(parameter, backbones)


def _check_conditions(parameter: Parameter, earlier: Mapping[str, Parameter]) -> None:
    """Refuse a condition on a parameter that does not stand before, or on a value that it cannot have."""
    for name, values in parameter.when:
        if name not in earlier:
            raise SettingsError(
                f"space.parameters.{parameter.name}: 'when' names parameters that stand before it. "
                f"Received: {name!r}. Move {name!r} up, or correct its name."
            )
        domain = earlier[name].domain
        if isinstance(domain, Uniform):
            continue
        never = [each for each in values if each not in domain.values]
        if never:
            is_range = isinstance(domain, Integer)
            valid = f"Valid: {domain.values[0]} to {domain.values[-1]}." if is_range else None
            raise SettingsError(
                f"space.parameters.{parameter.name}: 'when' needs values that {name} can have. "
                f"Received: {name}={never[0]!r}. {valid or nearest(never[0], map(str, domain.values))}"
            )


def _check_owners(parameter: Parameter, backbones: tuple[Any, ...]) -> None:
    """Refuse a parameter of the model that a backbone it is active for does not have."""
    condition = dict(parameter.when).get("backbone", backbones)
    for backbone in (backbone for backbone in backbones if backbone in condition):
        valid = tuple(name for name in model_parameters(backbone) if name != "backbone")
        if parameter.name not in valid:
            raise SettingsError(
                f"A parameter belongs to training or to its backbone. Received: {parameter.name!r}, which is no "
                f"parameter of {backbone} or of training. "
                f"{nearest(parameter.name, valid + TRAINING_PARAMETERS)} "
                "A parameter of only some backbones needs 'when: {backbone: [...]}'."
            )


def _check_training(parameter: Parameter, defaults: TrainSettings) -> None:
    """Refuse values of a training parameter, or ends of its domain, outside the setting's type and range."""
    domain = parameter.domain
    default = getattr(defaults, parameter.name)
    kind = "text" if isinstance(default, str) else "a number" if isinstance(default, float) else "a whole number"
    for value in domain.values if isinstance(domain, Choice) else (domain.low, domain.high):
        number = int | float if isinstance(default, float) else type(default)
        if isinstance(value, bool) or not isinstance(value, number):
            raise SettingsError(
                f"space.parameters.{parameter.name} takes {kind}. Received: {value!r}. Its default is {default!r}."
            )
        check_train(train_settings(defaults, {parameter.name: value}), "space.parameters")


def _check_guess(choice: SpaceSettings, parameters: list[Parameter]) -> None:
    """Refuse a guess of what is no parameter, or outside its parameter's domain."""
    domains = {parameter.name: parameter.domain for parameter in parameters}
    for name, value in choice.guess.items():
        if name not in domains:
            hint = nearest(str(name), domains) if domains else "A space of rows takes no guess."
            raise SettingsError(f"space.guess names parameters of the space. Received: {name!r}. {hint}")
        if value not in domains[name]:
            raise SettingsError(
                f"space.guess.{name} must lie in the parameter's domain. Received: {value!r}; "
                f"space.parameters.{name} is {choice.parameters[name]}. Change one of them, or leave {name} out of "
                "space.guess."
            )


def combinations_of(space: Space) -> str:
    """The size of the space in words, for a dry run."""
    count = count_configurations(space)
    if count is not None:
        return f"{count:,} configuration{'s' if count > 1 else ''}"
    continuous = [p.name for p in space.parameters if isinstance(p.domain, Uniform)]
    discrete = [p for p in space.parameters if p.name not in continuous]
    return (
        f"{count_combinations(discrete):,} combinations of listed values, times the continuous {', '.join(continuous)}"
    )
