"""Shares pretrained backbones between the trials of a run: their weights, and a store for the features of frozen ones.

This is the driver's side. Trials read what is shared through `search.trial.features.Backbones`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.registry import ModelConfig, load_backbone_weights, weights_hash
from search.plan.settings import Settings
from search.plan.spaces import Space, backbone_weights, model_settings, model_variants
from search.trial.feature_store import FeatureStore
from search.trial.features import Backbones, BackboneWeights, has_frozen_part


def share_backbones(settings: Settings, space: Space) -> Backbones:
    """The weights of every backbone of the space in the object store, and a feature store if trials can use one.

    A process on the driver's node reads the weights, because their file is there; the driver never imports TensorFlow.

    Raises:
        models.registry.WeightsError: weights can be neither read nor downloaded.
        SettingsError: the settings do not give each backbone its weights.
    """
    import ray

    weights: dict[str, BackboneWeights] = {}
    load = ray.remote(num_returns=2, num_cpus=0, scheduling_strategy=_beside_driver())(_load_weights)
    for backbone, source in backbone_weights(space, settings).items():
        if source != "none":
            arrays, digest = load.remote(backbone, source)
            try:
                weights[backbone] = BackboneWeights(arrays, ray.get(digest))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
    if not models_with_features(settings, space):
        return Backbones(weights)
    return Backbones(weights, _start_store(settings), settings.features, settings.views)


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
        completed: Sequence[str]
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


def _start_store(settings: Settings) -> Any:
    """A `FeatureStore` in a process on the driver's node; it ends with the run."""
    import ray

    folder = Path(settings.data.cache).expanduser() / "features"
    room = min(each["Resources"].get("object_store_memory", 0) for each in ray.nodes() if each["Alive"])
    actor = ray.remote(num_cpus=0, scheduling_strategy=_beside_driver())(FeatureStore)
    return actor.remote(str(folder), settings.data.cache_gb * 1e9, room / 2)
