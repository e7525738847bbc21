"""Every setting of a search, typed and checked before anything heavy starts.

The defaults stand in `search/conf/*.yaml`; `search.plan.words` turns a command line into these classes.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from data_pipeline.augment import POLICIES
from data_pipeline.class_weights import CLASS_WEIGHTS
from data_pipeline.settings import DataSettings
from data_pipeline.split import SplitSettings
from models.checks import nearest
from search.record import PACKED

SCORES = ("loss", "accuracy", "balanced_accuracy", "auc", "calibrated_loss")
METRICS = tuple(f"{images}_{score}" for images in ("val", "shifted") for score in SCORES)
FINDING_METRICS = tuple(f"{images}_{score}" for images in ("val", "shifted") for score in ("loss", "auc"))
FINDING_METRIC = "shifted_auc"  # where several findings an image are told and none is named
SEARCHERS = ("tpe", "random", "grid")
SCHEDULERS = ("asha", "none")
OPTIMIZERS = ("adam", "adamw")
MODES = ("auto", "local", "submit")
FEATURES = ("float32", "float16", "off")
KERAS_NORM_MOMENTUM = 0.99  # of batch norm's running statistics
SCHEDULES = ("constant", "cosine")
SHUFFLES = ALL, SHARDS = ("all", "shards")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
# How `search.plan.words` reads a setting that is no plain word or number of Hydra's grammar.
TEXT, PATH, RUNS, WEIGHTS, LENGTH, DURATION = (
    {"reads": kind} for kind in ("text", "path", "runs", "weights", "length", "duration")
)
UNLIMITED = 100_000  # trials: as many as the time budget allows
POINTS = ("sensitivity", "specificity")  # rates that an operating point is chosen for
AUTO = 0  # of a length in epochs or images: chosen once the images are known (search.plan.lengths)
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SettingsError(ValueError):
    """A setting that is unknown, of the wrong type, or impossible."""


@dataclass
class SpaceSettings:
    """What is searched: parameters to sample, with a best guess of their values, or published rows to replay."""

    name: str = ""
    question: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    guess: dict[str, Any] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


@dataclass
class AshaSettings:
    """Asynchronous successive halving: first rung, and the share 1/factor that goes on."""

    grace_period: int = field(default=AUTO, metadata=LENGTH)
    reduction_factor: float = 2.0


@dataclass
class SearchSettings:
    """How trials are chosen, stopped and ranked."""

    num_trials: int = 16
    time_budget: float | None = field(default=None, metadata=DURATION)  # in seconds
    max_epochs: int = field(default=AUTO, metadata=LENGTH)
    searcher: str = "tpe"
    prior_share: float = 0.5
    warm_start: str | None = field(default=None, metadata=RUNS)
    scheduler: str = "asha"
    metric: str = "shifted_calibrated_loss"
    seed: int = 0
    repeats: int = 1
    confirm: int = 0
    max_failures: int = 2
    asha: AshaSettings = field(default_factory=AshaSettings)

    @property
    def judges_by_shifted(self) -> bool:
        """Whether trials are judged by a copy of validation as another hospital might have made it."""
        return self.metric.startswith("shifted_")


@dataclass
class TrainSettings:
    """Defaults of every training parameter that the space does not sample.

    `epoch_images`, `shuffle`, `precision` and `deterministic` are the same for all trials of a run. With None an epoch
    is a pass.
    """

    learning_rate: float = 1e-3
    batch_size: int = 32
    epoch_images: int | None = field(default=AUTO, metadata=LENGTH)
    shuffle: str = "auto"
    augment: str = "none"
    flip: bool | None = None  # None: unless a class names a side
    class_weights: str = "none"
    label_smoothing: float = 0.0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    weight_average: float = 0.0
    early_stopping: int = 0
    plateau: int = 0
    plateau_factor: float = 0.3
    schedule: str = "constant"
    norm_momentum: float | None = None
    precision: str = "auto"
    deterministic: bool = False


@dataclass
class ResourceSettings:
    """What one trial owns, and how many run at a time; None: chosen from the machine."""

    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None


@dataclass
class ClusterSettings:
    """Where the search runs: `MODES`, the dashboard that jobs are sent to, and where their runs are fetched to.

    `workers` are the hosts that an autoscaler may start, where Ray cannot tell: count, cpus, gpus and memory_gb (all of
    a host's) of each kind.
    """

    mode: str = "auto"
    address: str = field(default="http://127.0.0.1:8265", metadata=TEXT)
    fetch: str | None = field(default="runs", metadata=PATH)
    workers: list[Any] = field(default_factory=list)


@dataclass
class EvaluateSettings:
    """Which weights are scored after the search, what the winner is made of, and where it divides two classes."""

    enabled: bool = True
    weights: str = "best"
    ensemble: int = 5
    calibrate: bool = True
    operating_point: dict[str, float] | None = None  # None: the more probable class
    prevalence: float | None = None
    replace_winner: bool = False  # of one command: a resumed run does not keep it


@dataclass
class RunSettings:
    """Where the run's folder is, and how long a storage that fails is waited for (seconds)."""

    name: str | None = field(default=None, metadata=TEXT)
    storage: str = field(default="runs", metadata=PATH)
    patience: float = 60.0


@dataclass
class Settings:
    """All settings of a search."""

    space: SpaceSettings = field(default_factory=SpaceSettings)
    data: DataSettings = field(default_factory=DataSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    run: RunSettings = field(default_factory=RunSettings)
    # Of every backbone, or by backbone: {mobilenetv2: FILE, vgg16: imagenet}.
    weights: Any = field(default="imagenet", metadata=WEIGHTS)
    features: str = "float32"
    views: int = 4
    resume: str | None = field(default=None, metadata=PATH)
    refit: str | None = field(default=None, metadata=PATH)
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested plain dictionaries, for records and YAML."""
        return asdict(self)

    def to_yaml(self) -> str:
        """The settings as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


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
    _check_findings(settings)
    _one_of("cluster.mode", settings.cluster.mode, MODES)
    _one_of("features", settings.features, FEATURES)
    _check_weights(settings.weights)
    _check_workers(settings.cluster.workers)
    _one_of("evaluate.weights", settings.evaluate.weights, ("best", "last"))
    _check_decisions(settings.evaluate)
    for key, value, least in (
        ("search.num_trials", search.num_trials, 1),
        ("search.max_epochs", search.max_epochs, AUTO),
        ("search.repeats", search.repeats, 1),
        ("search.confirm", search.confirm, 0),
        ("search.seed", search.seed, 0),
        ("search.max_failures", search.max_failures, 0),
        ("evaluate.ensemble", settings.evaluate.ensemble, 1),
        ("search.asha.grace_period", search.asha.grace_period, AUTO),
        ("run.patience", settings.run.patience, 0),
        ("views", settings.views, 1),
        ("data.cache_gb", settings.data.cache_gb, 0),
        ("train.epoch_images", settings.train.epoch_images or AUTO, AUTO),
        ("resources.gpus_per_trial", resources.gpus_per_trial or 0, 0),
        ("resources.max_concurrent", 1 if resources.max_concurrent is None else resources.max_concurrent, 1),
    ):
        if not value >= least:  # nan is not either
            raise SettingsError(f"{key} must be at least {least}. Received: {value}.")
    if search.time_budget is not None and not search.time_budget > 0:
        raise SettingsError(
            f"search.time_budget must be longer than 0. Received: {search.time_budget} s. Write search.time_budget=30m."
        )
    if not 0 <= search.prior_share <= 1:
        raise SettingsError(f"search.prior_share must lie between 0 and 1. Received: {search.prior_share}.")
    if resources.cpus_per_trial is not None and not resources.cpus_per_trial > 0:
        raise SettingsError(f"resources.cpus_per_trial must be greater than 0. Received: {resources.cpus_per_trial}.")
    if search.asha.reduction_factor <= 1:
        raise SettingsError(
            f"search.asha.reduction_factor must be greater than 1. Received: {search.asha.reduction_factor}."
        )
    if search.scheduler == "asha" and search.asha.grace_period > search.max_epochs != AUTO:
        raise SettingsError(
            f"search.asha.grace_period must not exceed search.max_epochs ({search.max_epochs}). "
            f"Received: {search.asha.grace_period}."
        )
    _check_splits(settings.data.split, search)
    for name in {"validation", "shifted", "test"} & set(settings.data.extra_tests):
        raise SettingsError(
            f"An outside test set needs a name of its own. Received: {name!r}, which every run has. Choose another."
        )
    run = settings.run.name
    if run is not None and (not _RUN_NAME.fullmatch(run) or run.endswith(PACKED)):
        raise SettingsError(
            "run.name is one folder name of letters, digits, dots, dashes and underscores, "
            f"beginning with a letter or digit and not ending in {PACKED}. Received: {run!r}. Choose another."
        )
    return settings


def _check_findings(settings: Settings) -> None:
    """Raise SettingsError where a setting does not go with several findings an image."""
    if not settings.data.is_multilabel:
        return
    if settings.search.metric not in FINDING_METRICS:
        raise SettingsError(
            "With data.task=multilabel trials are judged by a mean over findings: search.metric is "
            f"{', '.join(FINDING_METRICS)}. Received: {settings.search.metric!r}. Choose one, or leave it out for "
            f"{FINDING_METRIC}."
        )
    if settings.space.rows:
        raise SettingsError(
            "Published rows tell classes apart, one an image. Received: data.task=multilabel with a space of rows. "
            "Choose a space of parameters, such as space=cnn2."
        )
    if settings.evaluate.prevalence is not None:
        raise SettingsError(
            "evaluate.prevalence is of the positive one of two classes. Received: "
            f"{settings.evaluate.prevalence:g} with data.task=multilabel. Leave it out."
        )


def _check_splits(split: SplitSettings, search: SearchSettings) -> None:
    """Raise SettingsError unless each repeat gets a split where each has its own."""
    if split.redraw and search.repeats < 2:
        raise SettingsError(
            "data.split.redraw draws validation anew for each repeat of a configuration, of which there are 2 or more. "
            f"Received: search.repeats={search.repeats}. Set search.repeats, with a grid or a space of rows."
        )
    if split.folds is not None and search.repeats != split.folds:
        raise SettingsError(
            "With data.split.folds one repeat of a configuration validates on each fold. Received: "
            f"search.repeats={search.repeats} with data.split.folds={split.folds}. Leave search.repeats out."
        )
    if split.by_repeat and search.confirm:
        given = "data.split.redraw=true" if split.redraw else f"data.split.folds={split.folds}"
        raise SettingsError(
            "search.confirm trains configurations again on the same validation images, not where each repeat has its "
            f"own. Received: search.confirm={search.confirm} with {given}. Leave search.confirm out: the repeats take "
            "its place."
        )


def _check_decisions(evaluate: EvaluateSettings) -> None:
    """Raise SettingsError unless one rate is wanted, and rate and prevalence lie between 0 and 1."""
    point, prevalence = evaluate.operating_point, evaluate.prevalence
    if point is not None and (len(point) != 1 or not point.keys() <= set(POINTS)):
        raise SettingsError(
            f"evaluate.operating_point wants one rate, {' or '.join(POINTS)}. Received: {point}. "
            "Write 'evaluate.operating_point={sensitivity: 0.95}', or null for a threshold of 0.5."
        )
    wanted = {f"evaluate.operating_point.{name}": value for name, value in (point or {}).items()}
    for key, value in {**wanted, "evaluate.prevalence": prevalence}.items():
        if value is not None and not 0 < value < 1:
            raise SettingsError(
                f"{key} must lie between 0 and 1, both excluded. Received: {value:g}. Write 0.02 for 2 %."
            )


def _check_workers(workers: Sequence[Any]) -> None:
    """Raise SettingsError unless these are hosts that an autoscaler may start."""
    for each in workers:
        if not _is_host(each):
            raise SettingsError(
                "cluster.workers takes kinds of hosts with cpus, and with count, gpus and memory_gb where they matter. "
                f"Received: {each}. Write cluster.workers=[{{count: 8, cpus: 8, gpus: 1, memory_gb: 24}}]."
            )


def _is_host(given: Any) -> bool:
    if not isinstance(given, dict) or not given.keys() <= {"count", "cpus", "gpus", "memory_gb"}:
        return False
    if not all(isinstance(value, int | float) and value >= 0 for value in given.values()):
        return False
    return given.get("cpus", 0) >= 1 and all(given.get(key, 1) % 1 == 0 for key in ("count", "cpus", "gpus"))


def _check_weights(weights: Any) -> None:
    """Raise SettingsError unless these are weights for every backbone, or weights by backbone."""
    given = weights.values() if isinstance(weights, dict) else [weights]
    if not given or not all(isinstance(each, str) and each for each in given):
        raise SettingsError(
            "weights takes imagenet, none, a file, or one of them for each backbone. "
            f"Received: {weights!r}. Write weights=FILE or weights={{BACKBONE: FILE}}."
        )


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
        ("shuffle", ("auto", *SHUFFLES)),
        ("augment", tuple(POLICIES)),
        ("schedule", SCHEDULES),
        ("class_weights", CLASS_WEIGHTS),
    ):
        _one_of(f"{group}.{name}", getattr(train, name), valid)
    for name, least in (("batch_size", 1), ("early_stopping", 0), ("plateau", 0), ("weight_decay", 0)):
        if not getattr(train, name) >= least:
            raise SettingsError(f"{group}.{name} must be at least {least}. Received: {getattr(train, name)}.")
    for name in ("learning_rate", "plateau_factor"):
        if not getattr(train, name) > 0:
            raise SettingsError(f"{group}.{name} must be greater than 0. Received: {getattr(train, name)}.")
    for name in ("label_smoothing", "weight_average"):
        if not 0 <= getattr(train, name) < 1:
            raise SettingsError(
                f"{group}.{name} must lie between 0 and 1, 1 excluded. Received: {getattr(train, name)}."
            )
    return train


def _one_of(key: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise SettingsError(f"{key} must be one of {', '.join(valid)}. Received: {value!r}. {nearest(value, valid)}")
