"""Every setting of a search, typed and checked before anything heavy starts.

The values come from `search/conf/*.yaml` and the command line (Hydra); the classes here give them
types, and `load_settings` turns whatever is wrong into one clear line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_pipeline.augment import POLICIES
from data_pipeline.class_weights import CLASS_WEIGHTS
from models.checks import nearest

METRICS = tuple(
    f"{images}_{score}" for images in ("val", "shifted") for score in ("loss", "accuracy", "balanced_accuracy", "auc")
)
SEARCHERS = ("tpe", "random", "grid")
SCHEDULERS = ("asha", "none")
OPTIMIZERS = ("adam", "adamw")
MODES = ("auto", "local", "submit")
FEATURES = ("float32", "float16", "off")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SettingsError(ValueError):
    """A setting that is unknown, of the wrong type, or impossible."""


@dataclass
class SpaceSettings:
    """What is searched: parameters to sample, or published rows to replay."""

    name: str = ""
    question: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


@dataclass
class SplitChoice:
    """How validation is drawn from the pool."""

    method: str = "patient"
    fraction: float | None = None
    seed: int = 0
    redraw: bool = False


@dataclass
class DataChoice:
    """Which images, how they are labelled, read and divided."""

    source: str = "sample"
    root: str | None = None
    labels: str = "two_class"
    patient: str | None = None
    size: int = 224
    channels: int = 1
    interpolation: str = "area"
    split: SplitChoice = field(default_factory=SplitChoice)
    max_bad_fraction: float = 0.01
    cache: str = "~/.cache/xray-search"
    cache_gb: float = 50.0
    extra_tests: dict[str, str] = field(default_factory=dict)


@dataclass
class AshaSettings:
    """Asynchronous successive halving: first rung, and the share 1/factor that goes on."""

    grace_period: int = 1
    reduction_factor: float = 4.0


@dataclass
class SearchSettings:
    """How trials are chosen, stopped and ranked."""

    num_trials: int = 16
    max_epochs: int = 10
    searcher: str = "tpe"
    scheduler: str = "asha"
    metric: str = "val_loss"
    seed: int = 0
    repeats: int = 1
    max_failures: int = 2
    asha: AshaSettings = field(default_factory=AshaSettings)

    @property
    def judges_by_shifted(self) -> bool:
        """Whether trials are judged by a copy of validation as another hospital might have made it."""
        return self.metric.startswith("shifted_")


@dataclass
class TrainSettings:
    """Defaults of every training parameter that the space does not sample."""

    learning_rate: float = 1e-3
    batch_size: int = 32
    augment: str = "none"
    class_weights: str = "none"
    label_smoothing: float = 0.0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    weight_average: float = 0.0
    early_stopping: int = 0
    plateau: int = 0
    plateau_factor: float = 0.3
    precision: str = "auto"


@dataclass
class ResourceSettings:
    """What one trial owns, and how many run at a time; None: chosen from the machine."""

    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None


@dataclass
class ClusterSettings:
    """Where the search runs: `MODES`, the dashboard that jobs are sent to, and where their runs are fetched to."""

    mode: str = "auto"
    address: str = "http://127.0.0.1:8265"
    fetch: str | None = "runs"


@dataclass
class EvaluateSettings:
    """Which weights are scored after the search, and what the winner is made of."""

    enabled: bool = True
    weights: str = "best"
    ensemble: int = 1
    calibrate: bool = False


@dataclass
class RunSettings:
    """Where the run's folder is, and how long a storage that fails is waited for (seconds)."""

    name: str | None = None
    storage: str = "runs"
    patience: float = 60.0


@dataclass
class Settings:
    """All settings of a search."""

    space: SpaceSettings = field(default_factory=SpaceSettings)
    data: DataChoice = field(default_factory=DataChoice)
    search: SearchSettings = field(default_factory=SearchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    run: RunSettings = field(default_factory=RunSettings)
    weights: str = "imagenet"
    features: str = "float32"
    views: int = 4
    resume: str | None = None
    refit: str | None = None
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested plain dictionaries, for records and YAML."""
        return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(self), resolve=True))

    def to_yaml(self) -> str:
        """The settings as YAML."""
        return OmegaConf.to_yaml(OmegaConf.structured(self))


def load_settings(overrides: Sequence[str]) -> Settings:
    """The settings that `search/conf/config.yaml`, a space, a data source and the overrides add up to.

    Args:
        overrides: `key=value` words as on the command line, in Hydra's grammar.

    Raises:
        SettingsError: an unknown key, space or data source, a wrong type, or an impossible value.
    """
    composed = _compose(overrides)
    return check_settings(_typed(composed))


def resume_settings(stored: dict[str, Any], overrides: Sequence[str]) -> Settings:
    """A stored run's settings, with those overrides that may change when a run goes on.

    Raises:
        SettingsError: an override would change what the finished trials were trained with.
    """
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        group = key.partition(".")[0]
        if key == "space" and override.partition("=")[2] == stored["space"]["name"]:
            continue
        may_change = key in _MAY_CHANGE or key.startswith("data.extra_tests.")
        if key == "resume" or group in ("resources", "evaluate", "run") or may_change:
            continue
        raise SettingsError(
            f"A resumed run keeps the settings that it started with; {override!r} would change them. "
            f"Only resources.*, evaluate.*, {', '.join(_MAY_CHANGE)} may change; start a new run for the rest."
        )
    words = [word for word in overrides if not word.startswith("space=")]
    changes = OmegaConf.from_dotlist(words)
    config = OmegaConf.create(stored)
    if any(word.startswith("data.extra_tests=") for word in words):
        config.data.extra_tests = {}  # a merge would keep those that are no longer wanted
    settings = check_settings(_typed(OmegaConf.merge(config, changes)))
    if settings.search.repeats < stored["search"]["repeats"]:
        raise SettingsError(
            f"A resumed run may get more repeats, not fewer: it has {stored['search']['repeats']}; "
            f"got search.repeats={settings.search.repeats}."
        )
    return settings


def changed_settings(settings: Settings, overrides: Sequence[str]) -> Settings:
    """The settings with single ones of them set anew, by `key=value` words as on the command line.

    Raises:
        SettingsError: as `load_settings`, or a word names a whole group.
    """
    config = OmegaConf.create(settings.to_dict())
    for override in overrides:
        key = _key_of(override)
        if OmegaConf.is_dict(OmegaConf.select(config, key)) and key != "data.extra_tests":
            raise SettingsError(f"Single settings are set anew here; got {override!r}. Use {key}.NAME=VALUE.")
    return check_settings(_typed(_replace(config, overrides)))


_FREE = ("space.parameters.", "data.extra_tests.")
_MAY_CHANGE = (
    "search.num_trials",
    "search.repeats",
    "search.max_failures",
    "data.root",
    "data.cache",
    "data.cache_gb",
    "data.extra_tests",
)


def cluster_settings(overrides: Sequence[str]) -> tuple[ClusterSettings, list[str]]:
    """Where the command is to run, and the words that say what: a resumed run may run elsewhere.

    Raises:
        SettingsError: as `load_settings`.
    """
    where = [word for word in overrides if word.partition("=")[0].partition(".")[0] == "cluster"]
    return load_settings(where).cluster, [word for word in overrides if word not in where]


def space_names() -> list[str]:
    """The names of the spaces that ship with the project."""
    return sorted(path.stem for path in (conf_folder() / "space").glob("*.yaml"))


def conf_folder() -> Path:
    """The folder of the configuration files."""
    return Path(__file__).parents[1] / "conf"


def check_settings(settings: Settings) -> Settings:
    """The same settings, after every rule that types alone cannot say.

    Raises:
        SettingsError: names the first rule that is broken, what was given and what is allowed.
    """
    search, resources = settings.search, settings.resources
    check_train(settings.train)
    _one_of("search.searcher", search.searcher, SEARCHERS)
    _one_of("search.scheduler", search.scheduler, SCHEDULERS)
    _one_of("search.metric", search.metric, METRICS)
    _one_of("cluster.mode", settings.cluster.mode, MODES)
    _one_of("features", settings.features, FEATURES)
    _one_of("evaluate.weights", settings.evaluate.weights, ("best", "last"))
    for key, value, least in (
        ("search.num_trials", search.num_trials, 1),
        ("search.max_epochs", search.max_epochs, 1),
        ("search.repeats", search.repeats, 1),
        ("search.seed", search.seed, 0),
        ("search.max_failures", search.max_failures, 0),
        ("evaluate.ensemble", settings.evaluate.ensemble, 1),
        ("search.asha.grace_period", search.asha.grace_period, 1),
        ("run.patience", settings.run.patience, 0),
        ("views", settings.views, 1),
        ("data.cache_gb", settings.data.cache_gb, 0),
        ("resources.gpus_per_trial", resources.gpus_per_trial or 0, 0),
        ("resources.max_concurrent", 1 if resources.max_concurrent is None else resources.max_concurrent, 1),
    ):
        if value < least:
            raise SettingsError(f"{key} must be at least {least}; got {value}.")
    if resources.cpus_per_trial is not None and not resources.cpus_per_trial > 0:
        raise SettingsError(f"resources.cpus_per_trial must be greater than 0; got {resources.cpus_per_trial}.")
    if search.asha.reduction_factor <= 1:
        raise SettingsError(f"search.asha.reduction_factor must be greater than 1; got {search.asha.reduction_factor}.")
    if search.scheduler == "asha" and search.asha.grace_period > search.max_epochs:
        raise SettingsError(
            f"search.asha.grace_period must not exceed search.max_epochs ({search.max_epochs}); "
            f"got {search.asha.grace_period}."
        )
    if settings.data.split.redraw and search.repeats < 2:
        raise SettingsError(
            "data.split.redraw draws validation anew for each repeat of a configuration, of which there are 2 or more; "
            f"got search.repeats={search.repeats}. Set search.repeats, with a grid or a space of rows."
        )
    for name in {"validation", "shifted", "test"} & set(settings.data.extra_tests):
        raise SettingsError(f"data.extra_tests: {name!r} is the name of a set that every run has. Choose another.")
    if settings.run.name is not None and not _RUN_NAME.fullmatch(settings.run.name):
        raise SettingsError(
            "run.name is one folder name of letters, digits, dots, dashes and underscores, "
            f"beginning with a letter or digit; got {settings.run.name!r}."
        )
    return settings


def check_train(train: TrainSettings, group: str = "train") -> TrainSettings:
    """The same training settings, after every rule that types alone cannot say; of the defaults or of a space.

    Args:
        train: all of them.
        group: where they were set, for the message: "train" or "space.parameters".

    Raises:
        SettingsError: names the first rule that is broken, what was given and what is allowed.
    """
    for name, valid in (
        ("optimizer", OPTIMIZERS),
        ("precision", PRECISIONS),
        ("augment", tuple(POLICIES)),
        ("class_weights", CLASS_WEIGHTS),
    ):
        _one_of(f"{group}.{name}", getattr(train, name), valid)
    for name, least in (("batch_size", 1), ("early_stopping", 0), ("plateau", 0), ("weight_decay", 0)):
        if getattr(train, name) < least:
            raise SettingsError(f"{group}.{name} must be at least {least}; got {getattr(train, name)}.")
    for name in ("learning_rate", "plateau_factor"):
        if not getattr(train, name) > 0:
            raise SettingsError(f"{group}.{name} must be greater than 0; got {getattr(train, name)}.")
    for name in ("label_smoothing", "weight_average"):
        if not 0 <= getattr(train, name) < 1:
            raise SettingsError(f"{group}.{name} must lie between 0 and 1, 1 excluded; got {getattr(train, name)}.")
    return train


def _one_of(key: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise SettingsError(f"{key} must be one of {', '.join(valid)}; got {value!r}. {nearest(value, valid)}")


def _compose(overrides: Sequence[str]) -> DictConfig:
    for override in overrides:
        _key_of(override)
    GlobalHydra.instance().clear()
    # Hydra would merge a new domain into the old one, and refuse names that the files do not have.
    replaced = [override for override in overrides if _names_entry(override)]
    try:
        with initialize_config_module("search.conf", version_base="1.3"):
            config = compose("config", overrides=[word for word in overrides if word not in replaced])
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file or "").partition("/")
        valid = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
        raise SettingsError(f"There is no {group} called {name!r}. {nearest(name, valid)}") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(_first_line(error)) from error
    return _replace(config, replaced)


def _replace(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration with each override's value in place of what was there, dictionaries as a whole."""
    try:
        for entry in OverridesParser.create().parse_overrides(list(overrides)):
            if entry.is_delete() or entry.is_sweep_override():
                raise SettingsError(f"A setting is given one value, key=value; got {entry.input_line!r}.")
            OmegaConf.update(config, entry.key_or_group, entry.value(), merge=False, force_add=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(_first_line(error)) from error
    return config


def _names_entry(override: str) -> bool:
    """Whether an override sets an entry of a dictionary whose names are the user's own."""
    key = override.partition("=")[0].lstrip("+")
    return key.startswith(_FREE) or key == "data.extra_tests"


def _key_of(override: str) -> str:
    """The setting that an override names, which there must be."""
    key, equals, _ = override.partition("=")
    if not equals:
        raise SettingsError(f"Settings are given as key=value; got {override!r}. See python -m search.run --help.")
    _check_key(key.lstrip("+~"))
    return key.lstrip("+~")


def _check_key(key: str) -> None:
    valid = _keys(OmegaConf.structured(Settings))
    if key in valid or key.startswith(_FREE):
        _check_is_one(key, valid)
        return
    raise SettingsError(f"There is no setting called {key!r}. {nearest(key, valid)}")


def _check_is_one(key: str, valid: Sequence[str]) -> None:
    members = [name for name in valid if name.startswith(f"{key}.")]
    if members and key not in ("space", "data", "resources", "cluster"):  # these choose a file
        raise SettingsError(f"{key!r} is a group of settings; set one of them, such as {members[0]}=VALUE.")


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    """All dotted keys of a configuration, groups included."""
    keys: list[str] = []
    for key in map(str, config):
        keys.append(f"{prefix}{key}")
        if OmegaConf.is_dict(config[key]):
            keys += _keys(config[key], f"{prefix}{key}.")
    return keys


def _typed(config: Any) -> Settings:
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Settings), config)
        return cast(Settings, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise SettingsError(f"{key}: {_first_line(error)}" if key else _first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
