"""Reads a space file's parameters as typed domains.

A space file gives each hyperparameter its domain:

```yaml
backbone: {choice: [cnn, vgg16]}
learning_rate: {log_uniform: [1.0e-5, 1.0e-2]}
layers: {integer: [1, 3], when: {backbone: cnn}}
dense: {choice: [[], [16], [16, 8]]}
pooling: average
```

A bare value is a constant. `when` makes a parameter conditional on earlier ones. `space.guess` may name the value of
each parameter that is thought best, as `{learning_rate: 0.003, layers: 2}`: `search.plan.priors` says what a search
makes of it.
"""

from collections.abc import Mapping
from typing import Any

from models.checks import nearest
from models.registry import FAMILIES, PUBLISHED, model_parameters
from search.plan.domains import Choice, Domain, Integer, Parameter, Uniform, is_number
from search.plan.settings import Settings, SettingsError, SpaceSettings, TrainSettings, check_train
from search.plan.spaces import TRAINING_PARAMETERS, Space, row_parameters, train_settings

_DOMAINS = ("choice", "uniform", "log_uniform", "integer", "log_integer", "value")


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
    sampled = [name for row in space.rows for name in row_parameters(row)]
    for name in dict.fromkeys([*sampled, *(parameter.name for parameter in space.parameters if not parameter.when)]):
        if name in TRAINING_PARAMETERS and getattr(settings.train, name) != getattr(default, name):
            instead = "Published rows are trained as the report says"
            if space.parameters:
                instead = f"Use space.parameters.{name}={getattr(settings.train, name)}"
            raise SettingsError(
                f"train.{name} is for spaces that do not set {name}, and space {space.name!r} does. "
                f"Received: train.{name}={getattr(settings.train, name)}. {instead}."
            )


def _read_rows(wanted: list[str]) -> tuple[str, ...]:
    """Row ids; a table's name stands for all its rows."""
    rows: list[str] = []
    for name in wanted:
        found = [row for row in PUBLISHED if row == name or row.startswith(f"{name}/")]
        if not found:
            raise SettingsError(f"Unknown published row. Received: {name!r}. {nearest(name, tuple(PUBLISHED))}")
        rows += found
    return tuple(rows)


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
