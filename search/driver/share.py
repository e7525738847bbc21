"""Shares pretrained backbones between the trials of a run: their weights, and a store for the features of frozen ones.

This is the driver's side. Trials read what is shared through `search.trial.features.Backbones`.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from data_pipeline.array_files import room_bytes
from models.registry import (
    ModelConfig,
    built_feature_numbers,
    check_weights,
    feature_cut,
    feature_numbers,
    load_backbone_weights,
    weights_hash,
)
from search.driver.feature_plan import STORE_SHARE, FeatureSize, feature_sizes, place_features
from search.driver.machine import on_each_host, store_bytes
from search.plan.settings import Settings
from search.plan.spaces import Space, augmentations_of, backbone_weights, model_settings, model_variants
from search.trial.feature_store import FeatureStore
from search.trial.features import Backbones, BackboneWeights, has_frozen_part

_RESTARTS = 10  # of the feature store in a session


def share_backbones(
    settings: Settings,
    space: Space,
    images: int = 0,
    say: Callable[[str], None] = lambda line: None,
    copies: Mapping[str, float] = MappingProxyType({}),
) -> Backbones:
    """The weights of every backbone of the space in the object store, and a feature store if trials can use one.

    A process on the driver's node reads the weights, because their file is there; the driver never imports TensorFlow.

    Args:
        settings: of the search.
        space: of the search.
        images: of the pool, whose features trials share.
        say: tells the user of features that are too large for the object store.
        copies: bytes of images that hosts will copy to their disks, by name.

    Raises:
        models.registry.WeightsError: weights can be neither read nor downloaded.
        SettingsError: the settings do not give each backbone its weights, or a host has no room for features.
    """
    import ray

    weights: dict[str, BackboneWeights] = {}
    load = ray.remote(num_returns=2, num_cpus=0, scheduling_strategy=_beside_driver())(_load_weights)
    for backbone, source in backbone_weights(space, settings).items():
        if source != "none":
            file = source if source == "imagenet" else os.path.abspath(source)  # a process may run in another folder
            arrays, digest = load.remote(backbone, file)
            try:
                weights[backbone] = BackboneWeights(arrays, ray.get(digest))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
    models = models_with_features(settings, space)
    if not models:
        return Backbones(weights)
    room, folder = STORE_SHARE * store_bytes(), feature_folder(settings)
    sizes = sizes_of_features(settings, space, _numbers(models, settings), images)
    is_large = sizes[0].array_bytes > room  # hosts need disks for these alone
    free = on_each_host(room_bytes, folder) if is_large else {socket.gethostname(): room_bytes(folder)}
    left = {host: bytes_free - copies.get(host, 0.0) for host, bytes_free in free.items()}
    for line in place_features(sizes, room, left):
        say(line)
    disk = settings.data.cache_gb * 1e9
    store = start_store(folder, disk, room)
    return Backbones(weights, store, settings.features, settings.views, folder, disk)


def feature_folder(settings: Settings) -> str:
    """Where each host keeps features on its disk."""
    return str(settings.data.cache_dir.absolute() / "features")


def check_backbones(settings: Settings, space: Space) -> None:
    """Raise WeightsError unless the files of pretrained weights are there; ImageNet's may still be downloaded.

    Raises:
        models.registry.WeightsError: one is not.
        SettingsError: the settings do not give each backbone its weights.
    """
    for weights in backbone_weights(space, settings).values():
        check_weights(weights)


def start_store(folder: str, disk: float, memory: float) -> Any:
    """The handle of a feature store beside the driver.

    It holds nothing that is not on the disk: after a crash Ray starts it again, and asks it again what was asked.
    """
    import ray

    kept = {"max_restarts": _RESTARTS, "max_task_retries": -1}
    actor = ray.remote(num_cpus=0, scheduling_strategy=_beside_driver(), **kept)(FeatureStore)
    return actor.remote(folder, disk, memory)


def sizes_of_features(
    settings: Settings, space: Space, numbers: Mapping[ModelConfig, int], images: int
) -> list[FeatureSize]:
    """The features of a search, largest first.

    Args:
        settings: of the search.
        space: of the search.
        numbers: of an image, for each model with a frozen part.
        images: of the pool.
    """
    policies = len(augmentations_of(space, settings))
    return feature_sizes(numbers, images, policies, settings.views, settings.features)


def _numbers(models: Sequence[ModelConfig], settings: Settings) -> dict[ModelConfig, int]:
    """How many numbers leave the frozen part of each model; a process builds those that cannot be calculated."""
    import ray

    shape = settings.data.image.shape
    by_cut: dict[tuple[str, str | None], Any] = {}
    build = ray.remote(num_cpus=0, scheduling_strategy=_beside_driver())(built_feature_numbers)
    for model in models:
        cut = model.backbone, feature_cut(model)
        if cut not in by_cut:
            known = feature_numbers(model, shape)
            by_cut[cut] = ray.put(known) if known is not None else build.remote(model, shape)
    found = dict(zip(by_cut, ray.get(list(by_cut.values())), strict=True))
    return {model: found[model.backbone, feature_cut(model)] for model in models}


def models_with_features(settings: Settings, space: Space) -> list[ModelConfig]:
    """The models of the space whose frozen part runs once for all trials."""
    if settings.features == "off":
        return []
    return [model for model in map(model_settings, model_variants(space)) if has_frozen_part(model)]


class FeatureNews:
    """The progress of a run's feature store, asked for without ever waiting for the answer.

    Attributes:
        computing: the features that are being computed, a line each.
    """

    def __init__(self, store: Any) -> None:
        self.computing: Sequence[str] = ()
        self._store = store
        self._asked: Any = None
        self._next = 0.0

    def poll(self) -> Sequence[str]:
        """The features completed since the last call, a line each; asks the store again once a second."""
        import ray

        if self._asked is None and time.monotonic() >= self._next:
            self._asked = self._store.news.remote()
            self._next = time.monotonic() + 1.0
        if self._asked is None or not ray.wait([self._asked], timeout=0)[0]:
            return ()
        completed: Sequence[str] = ()
        with contextlib.suppress(ray.exceptions.RayActorError):  # the trials that need it will say so
            completed, self.computing = ray.get(self._asked)
        self._asked = None
        return completed


def _load_weights(backbone: str, weights: str) -> tuple[tuple[NDArray[Any], ...], str]:
    arrays = load_backbone_weights(backbone, weights) or ()
    return arrays, weights_hash(arrays)


def _beside_driver() -> Any:
    """The scheduling strategy of what must run on the driver's node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
