"""Opens what a search or an evaluation needs once its data is ready: Ray, shared backbones, resources."""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from data_pipeline.array_files import room_bytes
from data_pipeline.dataset import Dataset
from data_pipeline.limits import Limits, find_limits
from data_pipeline.shards import HostDisks
from data_pipeline.split import Split, repeat_splits
from models import ONEDNN
from models.registry import PUBLISHED, Classes, ModelConfig, count_parameters, told_apart
from search.driver.coming import planned_hosts
from search.driver.feature_plan import STORE_SHARE as FEATURE_SHARE
from search.driver.feature_plan import FeatureSize, place_features
from search.driver.image_plan import ImagePlan, image_sizes, place_images, plan_images
from search.driver.machine import (
    STORE_SHARE,
    Host,
    count_gpus,
    find_hosts,
    is_number,
    on_each_host,
    store_bytes,
    this_host,
    this_store,
    with_coming,
)
from search.driver.preflight import is_anothers_ray, ray_address_file, use_ray_folder
from search.driver.resources import TrialResources, plan_resources
from search.driver.share import feature_folder, share_backbones
from search.driver.signals import sigterm_as_ctrl_c
from search.plan.settings import SHARDS, ClusterSettings, Settings, SettingsError
from search.plan.spaces import Space, model_settings, model_variants
from search.plan.words import conf_folder
from search.trial.features import Backbones

_ANSWER_SECONDS = 5.0  # within which a running cluster accepts a connection
_STARTS = 3  # of a Ray of our own
_TOO_SLOW = "timed out during startup"  # in Ray's words
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Trials write nothing to the working directory, and relative paths must keep their meaning.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Our log is the record; Tune's CSV, JSON and TensorBoard files of every trial cost 8 ms a trial.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The same holds for its snapshots, whose size grows with the number of trials.
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",
    # Ray would start a process for each CPU before it knows our variables, and end them all unused.
    "RAY_prestart_worker_first_driver": "false",
    # Without a GPU request a trial must not see other trials' GPUs.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # A job's own variables reach the workers too: Ray otherwise refuses a driver that names one of them again.
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
}


@dataclass(frozen=True)
class Session:
    """What the trials of a search share.

    Attributes:
        settings: of the run, with the precision that was chosen for the machine.
        dataset: prepared images; trials get only the pool.
        backbones: pretrained weights and features.
        resources: of every trial.
        disks: of the hosts, where the images do not fit the object store; None: they do.
    """

    settings: Settings
    space: Space
    dataset: Dataset
    backbones: Backbones
    resources: TrialResources
    disks: HostDisks | None = None

    @property
    def repeats(self) -> tuple[Split, ...]:
        """The split of every repeat of a configuration where each repeat has its own; else empty."""
        split = self.settings.data.split
        if not split.by_repeat:
            return ()
        return repeat_splits(self.dataset.manifest, split, self.settings.search.repeats)


@contextlib.contextmanager
def open_session(
    settings: Settings, space: Space, dataset: Dataset, say: Callable[[str], None] = lambda line: None
) -> Iterator[Session]:
    """A running Ray with the backbones shared; ends with the block.

    Args:
        settings: of the run.
        space: of the run.
        dataset: prepared images.
        say: tells the user what the search waits for.

    Raises:
        SettingsError: a trial asks for more than the machine has, or a host has no room for images.
        models.registry.WeightsError: pretrained weights can be neither read nor downloaded.
    """
    classes = told_apart(dataset.manifest.classes, dataset.manifest.is_multilabel)
    images = len(dataset.split.train) + len(dataset.split.validation)
    _, (_, largest) = check_models(space, settings, classes)
    with ray_session(settings.cluster.mode, say) as joined:
        plan, disks = place_images(settings, dataset)
        if plan.on_disk:
            say(plan.reason)
        backbones = share_backbones(settings, space, images, say, plan.copies)
        shape = settings.data.image.shape
        resources = plan_resources(settings, space, largest, shape, classes, say, joined)
        shuffle = plan.shuffle if settings.train.shuffle == "auto" else settings.train.shuffle
        chosen = replace(settings, train=replace(settings.train, precision=resources.precision, shuffle=shuffle))
        disks = replace(disks, whole_shards=shuffle == SHARDS)
        yield Session(chosen, space, dataset, backbones, resources, disks if plan.on_disk else None)


def known_image_plan(settings: Settings, dataset: Dataset) -> ImagePlan:
    """Where a search would read its images from, on the running cluster, else on this machine.

    Raises:
        SettingsError: a host has no room for them.
    """
    if not _joins(settings.cluster.mode):
        return plan_images(image_sizes(settings, dataset), this_store(), {})
    with ray_session(settings.cluster.mode):
        return place_images(settings, dataset)[0]


def known_feature_places(settings: Settings, sizes: Sequence[FeatureSize]) -> list[str]:
    """What a search would say of features that are too large for the object store, on the running cluster or here.

    Raises:
        SettingsError: a host has no room for them.
    """
    folder, mode = feature_folder(settings), settings.cluster.mode
    if not _joins(mode):
        return place_features(sizes, FEATURE_SHARE * this_store(), {socket.gethostname(): room_bytes(folder)})
    with ray_session(mode):
        return place_features(sizes, FEATURE_SHARE * store_bytes(), on_each_host(room_bytes, folder))


@contextlib.contextmanager
def ray_session(mode: str = "auto", say: Callable[[str], None] = lambda line: None) -> Iterator[bool]:
    """A running Ray; ends with the block. Yields whether it is a cluster that was there before.

    Args:
        mode: "auto" for the cluster that RAY_ADDRESS names or that runs here, else this machine alone; or "local".
        say: tells the user which Ray is left alone.

    Raises:
        SettingsError: Ray can be neither reached nor started.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    use_ray_folder()  # before Ray reads where it is
    joined = _joins(mode, say)
    import ray

    try:
        _init_ray(joined)
    except Exception as error:  # of many kinds, Exception itself among them
        raise SettingsError(
            f"A search runs on Ray. Received, as Ray was {'reached' if joined else 'started'}: "
            f"{type(error).__name__}: {error}. Check RAY_ADDRESS and that the cluster runs, or start one on this "
            "machine alone with cluster=local; Ray's own log is in its temporary folder (RAY_TMPDIR, else /tmp/ray)."
        ) from error
    try:
        with sigterm_as_ctrl_c():  # not before: Ray sets a handler of its own
            yield joined
    finally:
        ray.shutdown()


def _init_ray(joined: bool) -> None:
    """Reach the cluster, or start a Ray of this machine's own.

    On a machine under load a start may take longer than the 30 s that Ray gives it; it is then tried again.
    """
    import ray

    for starts_left in reversed(range(1 if joined else _STARTS)):
        try:
            with _own_packages_first():
                ray.init(
                    address=None if joined else "local",
                    include_dashboard=False,
                    log_to_driver=True,
                    runtime_env={"env_vars": {key: os.environ[key] for key in (*_ENVIRONMENT, ONEDNN)}},
                    **({} if joined else _local_options(find_limits())),
                )
        except Exception as error:
            if not starts_left or _TOO_SLOW not in str(error):
                raise
            ray.shutdown()
        else:
            return


def _own_packages_first() -> contextlib.AbstractContextManager[None]:
    """What Ray is started in, so that its processes import our packages where this one does.

    They look into the driver's working directory first, even where PYTHONSAFEPATH=1 asks Python not to: packages of the
    user's there, of the names of ours, would be imported in their place. The project's folder takes its place.
    """
    return contextlib.chdir(conf_folder().parents[1]) if sys.flags.safe_path else contextlib.nullcontext()


def known_hosts(cluster: ClusterSettings) -> tuple[Host, ...]:
    """The hosts that a search would have now: those of the running cluster and to come, else this machine."""
    if not _joins(cluster.mode):
        return (this_host(),)
    with ray_session(cluster.mode):
        return with_coming(find_hosts(seconds=0), planned_hosts(cluster.workers))


def _joins(mode: str, say: Callable[[str], None] = lambda line: None) -> bool:
    """Whether a search of this mode runs on a cluster that is there already, and not on a Ray of its own."""
    if mode == "local":
        return False
    if is_anothers_ray():
        say("The Ray that runs on this machine is another account's and is left alone; RAY_ADDRESS=auto would use it.")
        return False
    return _cluster_runs()


def _cluster_runs() -> bool:
    """Whether there is a cluster to join: of RAY_ADDRESS, or started on this machine and still there.

    A cluster that was killed leaves its address, and Ray would wait for it for minutes. Ray is imported only where
    there are signs of a cluster.

    Raises:
        SettingsError: nothing answers at the RAY_ADDRESS that the user names.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if not named and not ray_address_file().exists():
        return False
    if "://" in named:  # of Ray's client, which looks itself
        return True
    from ray._private.services import canonicalize_bootstrap_address

    try:
        address = canonicalize_bootstrap_address(None)
    except (OSError, ValueError) as error:  # no such host, no address, or no cluster for "auto"
        raise _no_cluster(named, str(error)) from error
    if address is None or _answers(address):
        return address is not None
    if named:
        raise _no_cluster(named, f"no answer at {address}")
    return False


def _no_cluster(named: str, reason: str) -> SettingsError:
    return SettingsError(
        f"A search joins the cluster that RAY_ADDRESS names. Received: RAY_ADDRESS={named} ({reason}). Check it and "
        "that the cluster runs, or search on this machine alone with cluster=local."
    )


def _answers(address: str) -> bool:
    """Whether anything listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
        return True
    return False


def _local_options(limits: Limits) -> dict[str, Any]:
    """What Ray is told of this machine because it does not find out: affinity, limits of inner cgroups, GPU slices."""
    options: dict[str, Any] = {"num_cpus": limits.cpus}
    if limits.memory_is_limited:
        store = int(limits.memory_mb * STORE_SHARE * 2**20)
        options |= {"object_store_memory": store, "_memory": int(limits.memory_mb * 2**20) - store}
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if all(name.strip().startswith("MIG-") for name in named):
        options["num_gpus"] = len(named)  # Ray counts whole GPUs
    elif all(map(is_number, named)):
        options["num_gpus"] = count_gpus()  # Ray counts numbers, -1 among them, which hides all GPUs
    return options


def check_models(space: Space, settings: Settings, classes: Classes) -> tuple[tuple[int, ModelConfig], ...]:
    """The smallest and the largest model of the space by parameters, each with its number of parameters.

    Raises:
        SettingsError: a model of the space cannot be built for these images.
    """
    for row in space.rows:
        if PUBLISHED[row].classes != classes:
            raise SettingsError(
                f"Published row {row} has {PUBLISHED[row].classes} classes. Received: "
                f"data.labels={settings.data.labels}, which gives {classes}. Leave data.labels to the space."
            )
    counted: list[tuple[int, int, ModelConfig]] = []
    shape = settings.data.image.shape
    for variant in model_variants(space):
        try:
            model = model_settings(variant)
            count = count_parameters(model, shape, classes)
            # Of models of one size, the one with more trainable parameters needs more memory; half, where not known.
            counted.append((count.total, count.total // 2 if count.trainable is None else count.trainable, model))
        except ValueError as error:
            raise SettingsError(f"Space {space.name!r} has a model that cannot be built: {error}") from error
    by_size = [(total, model) for total, _, model in sorted(counted, key=itemgetter(0, 1))]
    return by_size[0], by_size[-1]
