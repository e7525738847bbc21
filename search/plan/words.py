"""The command line, parsed once: from `key=value` words to the settings of a run.

New runs, resume, refit, evaluate, export and submit read their words here, in one grammar: Hydra's.
`search.plan.values` reads what stands behind the `=`.
"""

import copy
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import BooleanNode, DictConfig, FloatNode, IntegerNode, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from data_pipeline.manifest import MULTILABEL
from models.checks import nearest
from search.plan.settings import (
    ALL,
    FINDING_METRIC,
    KERAS_NORM_MOMENTUM,
    UNLIMITED,
    ClusterSettings,
    Settings,
    SettingsError,
    check_settings,
)
from search.plan.values import GROUPS, kinds, read_value

# Dictionaries whose names are the user's own.
_OPEN = (
    "space.parameters",
    "space.guess",
    "data.extra_tests",
    "data.classes",
    "data.columns",
    "evaluate.operating_point",
)
# What a resumed run may change, beside resources.*, evaluate.* and run.*. Classes and columns read other outside sets;
# `search.driver.runs.check_same_data` holds the run's own labels to those that it began with.
_MAY_CHANGE = (
    "search.num_trials",
    "search.time_budget",
    "search.repeats",
    "search.confirm",
    "search.max_failures",
    "data.root",
    "data.cache",
    "data.cache_gb",
    "data.extra_tests",
    "data.classes",
    "data.columns",
)
_MAY_CHANGE_GROUPS = ("resources", "evaluate", "run")
# What a setting takes, by OmegaConf's node for its type; any other node takes text.
_TAKES: dict[type, str] = {
    IntegerNode: "a whole number",
    FloatNode: "a number",
    BooleanNode: "true or false",
    ListConfig: "a list [a, b]",
    DictConfig: "a dictionary {name: value}",
}


@dataclass(frozen=True)
class Word:
    """One word of a command line.

    Attributes:
        key: the setting, its groups joined by dots.
        value: what the word gives it.
        text: the word as it was typed.
    """

    key: str
    value: Any
    text: str


def parse_words(words: Sequence[str | Word]) -> tuple[Word, ...]:
    """The words of a command line; those that are parsed already stay as they are.

    Raises:
        SettingsError: a word is no `key=value`, names no setting, or has a value that cannot be read.
    """
    return tuple(word if isinstance(word, Word) else _parse_word(word) for word in words)


def value_of(words: Iterable[Word], key: str) -> Any:
    """The last value that the words give a setting; None where they give none."""
    return next((word.value for word in reversed(list(words)) if word.key == key), None)


def without(words: Iterable[Word], *keys: str) -> tuple[Word, ...]:
    """The words but for those of some settings."""
    return tuple(word for word in words if word.key not in keys)


def load_settings(words: Sequence[str | Word]) -> Settings:
    """The settings that `search/conf/config.yaml`, a space, a data source and the words add up to.

    A word that replaces a parameter of the space takes away the space file's guess of it: that was for another domain.

    Raises:
        SettingsError: an unknown key, space or data source, a wrong type, or an impossible value.
        DataError: an impossible value of `data.*`.
    """
    parsed = parse_words(words)
    config = _compose({word.key: str(word.value) for word in parsed if word.key in GROUPS})
    for word in parsed:
        group, _, name = word.key.rpartition(".")
        if group == "space.parameters":
            config["space"].get("guess", {}).pop(name, None)
        elif word.key == "space.parameters":
            config["space"].pop("guess", None)
    given = [word for word in parsed if word.key not in GROUPS]
    if value_of(given, "search.time_budget") is not None and value_of(given, "search.num_trials") is None:
        given.append(Word("search.num_trials", UNLIMITED, ""))
    if value_of(given, "data.task") == MULTILABEL and value_of(given, "search.metric") is None:
        given.append(Word("search.metric", FINDING_METRIC, ""))
    labels, space = config["data"]["labels"], config["space"]
    replaced = _replaced(config, given)
    if replaced["data"]["labels"] != labels and value_of(given, "space.question") is None:
        # the space file speaks of the classes of its own labels
        replaced["space"]["question"] = f"Which configuration of the space {space['name']} is best for these images?"
    return _settings(_with_repeats(replaced, given))


def _with_repeats(config: dict[str, Any], words: Iterable[Word]) -> dict[str, Any]:
    """The configuration with a repeat for each fold, unless the words give a number of repeats."""
    folds = _value_at(config, "data.split.folds")
    if folds is None or value_of(words, "search.repeats") is not None:
        return config
    return _replaced(config, [Word("search.repeats", folds, "")])


# Settings that older records do not have, as they were then: older runs are resumed as they began.
_BEFORE: Mapping[str, Mapping[str, Any]] = {
    "data": {"patient": None, "positive": None, "keep_aspect": False},
    "train": {"norm_momentum": KERAS_NORM_MOMENTUM, "epoch_images": None, "flip": True, "shuffle": ALL},
    "search": {"prior_share": 0.0, "confirm": 0, "time_budget": None},
}


def resume_settings(stored: Mapping[str, Any], words: Sequence[str | Word], began: Sequence[str] = ()) -> Settings:
    """A stored run's settings, with those words that may change when a run is resumed.

    Args:
        stored: the run's recorded configuration.
        words: of the command that resumes it. A word that repeats what the run has is accepted.
        began: the words of the command that began the run.

    Raises:
        SettingsError: a word would change what the finished trials were trained with.
    """
    parsed = parse_words(words)
    changes = [word for word in parsed if _may_change(word.key)]
    config = {**stored, **{group: {**before, **stored[group]} for group, before in _BEFORE.items()}}
    config["evaluate"] = {**stored.get("evaluate", {}), "replace_winner": False}  # each command asks for it anew
    had = _settings(config).to_dict()
    for word in parsed:
        if word not in changes and word.text not in began:
            _refuse_change(word, had)
    settings = _settings(_replaced(config, changes))
    if settings.search.repeats < had["search"]["repeats"]:
        raise SettingsError(
            f"A resumed run may get more repeats, not fewer. Received: search.repeats={settings.search.repeats}; "
            f"the run has {had['search']['repeats']}."
        )
    return settings


def changed_settings(settings: Settings, words: Sequence[str | Word]) -> Settings:
    """The settings with single ones of them replaced.

    Raises:
        SettingsError: as `load_settings`, or a word names a whole group.
    """
    parsed = parse_words(words)
    for word in parsed:
        if word.key in GROUPS:
            raise SettingsError(
                f"Here settings are replaced one by one. Received: {word.text!r}. Use {word.key}.NAME=VALUE."
            )
    return _settings(_with_repeats(_replaced(settings.to_dict(), parsed), parsed))


def cluster_settings(words: Sequence[str | Word]) -> tuple[ClusterSettings, tuple[Word, ...]]:
    """Where the command runs, and the words that say what it does: a resumed run may run elsewhere.

    Raises:
        SettingsError: as `load_settings`.
    """
    parsed = parse_words(words)
    where = [word for word in parsed if word.key.partition(".")[0] == "cluster"]
    return load_settings(where).cluster, tuple(word for word in parsed if word not in where)


def space_names() -> list[str]:
    """The names of the spaces that ship with the project."""
    return sorted(path.stem for path in (conf_folder() / "space").glob("*.yaml"))


def conf_folder() -> Path:
    """The folder of the configuration files."""
    return Path(__file__).parents[1] / "conf"


def _parse_word(text: str) -> Word:
    name, equals, value = text.partition("=")
    if not equals or name.startswith("~"):
        raise SettingsError(
            f"A setting is given one value, key=value. Received: {text!r}. See python -m search.run --help."
        )
    key = name.lstrip("+")
    _check_key(key)
    read = read_value(key, value)
    if read == "???":
        raise SettingsError(
            f"{key} takes any value but ???, with which OmegaConf marks a missing one. Received: {text!r}. "
            "A file of that name is ./???."
        )
    return Word(key, read, text)


def _may_change(key: str) -> bool:
    group = key.partition(".")[0]
    is_of_one = any(key.startswith(f"{name}.") for name in _MAY_CHANGE if name in _OPEN)
    return group in _MAY_CHANGE_GROUPS or key in _MAY_CHANGE or is_of_one or key == "resume"


def _refuse_change(word: Word, had: Mapping[str, Any]) -> None:
    """Refuse a word that makes another value of what the run has, both of the setting's type."""
    place = {"space": "space.name", "data": "data.source"}.get(word.key, word.key)
    value = _value_at(had, place)
    asked = word.value if word.key in GROUPS else _value_at(_settings(_replaced(had, [word])).to_dict(), place)
    if asked == value:
        return
    raise SettingsError(
        f"A resumed run keeps the settings that it started with. Received: {word.text}; the run has "
        f"{word.key}={value}. Leave the word out, or start a new run. Only "
        f"{', '.join(f'{group}.*' for group in _MAY_CHANGE_GROUPS)}, {', '.join(_MAY_CHANGE)} may change."
    )


def _value_at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in _parts(key):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _parts(key: str) -> list[str]:
    """The groups and the name of a setting; an outside test set's name is the user's own and may hold dots."""
    prefix = "data.extra_tests."
    return [*prefix.split(".")[:-1], key.removeprefix(prefix)] if key.startswith(prefix) else key.split(".")


def _compose(choices: Mapping[str, str]) -> dict[str, Any]:
    """The configuration files, with the chosen one of each group; a copy of the caller's own."""
    return copy.deepcopy(_composed(tuple(sorted(choices.items()))))


@functools.cache
def _composed(choices: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What is composed once: a command reads its words several times, and Hydra takes a tenth of a second each time."""
    GlobalHydra.instance().clear()
    for group, name in choices:
        valid = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
        if name not in valid:
            raise SettingsError(f"There is no such {group}. Received: {name!r}. {nearest(name, valid)}")
    try:
        with initialize_config_module("search.conf", version_base="1.3"):
            found = compose("config", overrides=[f"{group}={name}" for group, name in choices])
        config = cast(dict[str, Any], OmegaConf.to_container(found, resolve=True))
    except (MissingConfigException, HydraException, OmegaConfBaseException) as error:
        raise SettingsError(_first_line(error)) from error
    own = [key for key, kind in kinds().items() if kind in ("length", "duration")]
    texts = {key: value for key in own if isinstance(value := _value_at(config, key), str)}
    return _replaced(config, [Word(key, read_value(key, value), "") for key, value in texts.items()])


def _replaced(config: Mapping[str, Any], words: Iterable[Word]) -> dict[str, Any]:
    """The configuration with each word's value in place of what was there, dictionaries as a whole."""
    replaced = copy.deepcopy(dict(config))
    for word in words:
        *groups, name = _parts(word.key)
        inner = replaced
        for group in groups:
            if not isinstance(inner.get(group), dict):
                inner[group] = {}
            inner = inner[group]
        inner[name] = word.value
    return replaced


def _escaped(value: Any) -> Any:
    """The value with every `${`, however deep, escaped: OmegaConf would take it for a reference."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # backslashes before a `${` count half
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _settings(config: Mapping[str, Any]) -> Settings:
    """The typed and checked settings of a configuration."""
    try:
        merged = OmegaConf.merge(_schema(), OmegaConf.create(_escaped(config)))
        return check_settings(cast(Settings, OmegaConf.to_object(merged)))
    except ValidationError as error:
        takes, given = _TAKES.get(type(error.child_node), "text"), "null" if error.value is None else repr(error.value)
        raise SettingsError(f"{error.full_key} takes {takes}. Received: {given}.") from error
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise SettingsError(f"{key}: {_first_line(error)}" if key else _first_line(error)) from error


def _check_key(key: str) -> None:
    valid = _setting_names()
    if any(key.startswith(f"{name}.") and key != f"{name}." for name in _OPEN):
        return
    if key not in valid:
        raise SettingsError(f"There is no such setting. Received: {key!r}. {nearest(key, valid)}")
    members = [name for name in valid if name.startswith(f"{key}.")]
    if members and key not in GROUPS:
        raise SettingsError(f"A group of settings has no value of its own. Received: {key}=... Set {members[0]}=VALUE.")


@functools.cache
def _setting_names() -> list[str]:
    """All dotted keys of the settings, groups included."""
    return _keys(_schema())


@functools.cache
def _schema() -> DictConfig:
    """The settings with their types, in OmegaConf's form, which takes a while to make; `merge` copies it."""
    return cast(DictConfig, OmegaConf.structured(Settings))


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    """All dotted keys of a configuration, groups included."""
    keys: list[str] = []
    for key in map(str, config):
        keys.append(f"{prefix}{key}")
        if OmegaConf.is_dict(config[key]):
            keys += _keys(config[key], f"{prefix}{key}.")
    return keys


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
