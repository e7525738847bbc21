"""Gives a trial its inputs: the images, or the features of its frozen backbone, which are computed once for all trials.

The output of a backbone that is frozen, wholly or up to a layer, depends on backbone, weights, image and augmentation
alone (`FeatureKey`). An augmentation is drawn as a few fixed views of every image; pass p trains on view p modulo
their number.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.augment import Policy, augment, find_policy, policy_name
from data_pipeline.shards import ArraySource
from data_pipeline.share import TrainingData
from data_pipeline.shift import shifted_fingerprint
from models.registry import ModelConfig, build_model, feature_cut, frozen_part
from search.trial.feature_copy import open_features
from search.trial.feature_store import BLOCK, FeatureCost, FeatureKey
from search.trial.feed import Inputs, image_inputs
from search.trial.training import TrialConfig

_BATCH = 16  # images that a backbone takes at once: VGG16's first maps of 16 images are 205 MB
_ASK_SECONDS = 0.2


@dataclass(frozen=True)
class BackboneWeights:
    """A backbone's pretrained weights in the object store.

    Attributes:
        arrays: reference of what `load_backbone_weights` gives.
        hash: of these arrays.
    """

    arrays: Any
    hash: str


@dataclass(frozen=True)
class Backbones:
    """Pretrained backbones that the processes of a run share: their weights, and the features of frozen ones.

    Attributes:
        weights: of every backbone of the space; empty if they are random.
        store: handle of the `FeatureStore` actor; None if every model trains on images.
        dtype: of the features, "float32" or "float16".
        views: fixed draws of an augmentation policy.
        folder: of feature files on the driver's host.
        disk: bytes that the files of a host may take together.
    """

    weights: Mapping[str, BackboneWeights]
    store: Any = None
    dtype: str = "float32"
    views: int = 1
    folder: str = ""
    disk: float = 0.0

    def arrays(self, model: ModelConfig) -> tuple[NDArray[Any], ...] | None:
        """The pretrained arrays of a model's backbone, views of shared memory; None for random weights and for CNNs."""
        import ray

        known = self.weights.get(model.backbone)
        return None if known is None else ray.get(known.arrays)

    def has_features(self, model: ModelConfig) -> bool:
        """Whether a model's frozen part runs once for all trials that share it."""
        return self.store is not None and has_frozen_part(model)

    def costs(self) -> list[FeatureCost]:
        """What features cost this run so far, by backbone."""
        import ray

        found: list[FeatureCost] = [] if self.store is None else ray.get(self.store.costs.remote())
        return found

    def plain(self, config: TrialConfig, images: ArraySource, fingerprint: str) -> NDArray[Any]:
        """The features of all `images` without augmentation, float (N, ...)."""
        return self._get(config, images, np.arange(len(images)), self._key(config, fingerprint))

    def view(self, config: TrialConfig, data: TrainingData, view: int) -> NDArray[Any]:
        """A view of the training images, float (n, ...), in the order of `data.train`."""
        rows = rows_fingerprint(data.train)
        policy = policy_name(config.train.augment, config.train.flip, data.classes)
        key = self._key(config, data.fingerprint, policy=policy, view=view, rows=rows)
        return self._get(config, data.images, data.train, key)

    def _key(self, config: TrialConfig, images: str, **view: Any) -> FeatureKey:
        model = config.model
        cut, known = feature_cut(model), self.weights.get(model.backbone)
        if cut is None:
            raise ValueError(f"Features need a frozen part. Received: {model}, which has none. Train it on images.")
        weights = f"random, seed {config.seed}" if known is None else known.hash
        return FeatureKey(model.backbone, weights, cut, images, config.train.precision, self.dtype, **view)

    def _get(self, config: TrialConfig, images: ArraySource, rows: NDArray[np.int64], key: FeatureKey) -> NDArray[Any]:
        """The features of some images from the store; this process computes the blocks that it receives.

        Raises:
            OSError: the features can be neither written nor read.
        """
        import ray

        compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
        while True:
            claim = ray.get(self.store.claim.remote(key, len(rows)))
            if claim.reference is not None:
                with contextlib.suppress(ray.exceptions.OwnerDiedError):  # the store, which was started again
                    features: NDArray[Any] = ray.get(claim.reference)
                    return features
                continue
            if claim.file:
                return open_features(key, len(rows), self.folder, self.disk, partial(self._block, key, len(rows)))
            if claim.block is None:
                time.sleep(_ASK_SECONDS)
                continue
            if compute is None:
                compute = build_extractor(config, images.shape[1:], self.arrays(config.model))
            block = images[rows[claim.block * BLOCK : (claim.block + 1) * BLOCK]]
            if key.policy != "none":
                block = augment(block, find_policy(key.policy), np.random.default_rng([key.view, claim.block]))
            ray.get(self.store.add.remote(key, claim.block, compute(block).astype(key.dtype)))

    def _block(self, key: FeatureKey, count: int, block: int) -> NDArray[Any]:
        import ray

        features: NDArray[Any] = ray.get(self.store.read.remote(key, count, block))
        return features


class Views(Sequence[NDArray[Any]]):
    """The views of an augmentation, each requested at the first epoch that trains on it: many trials end before."""

    def __init__(self, get: Callable[[int], NDArray[Any]], number: int) -> None:
        self._get = get
        self._views: list[NDArray[Any] | None] = [None] * number

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, place: Any) -> Any:
        if self._views[place] is None:
            self._views[place] = self._get(place)
        return self._views[place]


def trial_inputs(backbones: Backbones, config: TrialConfig, data: TrainingData) -> Inputs:
    """The inputs that a trial trains and validates on: features of its model's frozen part, or the images."""
    if not backbones.has_features(config.model):
        return image_inputs(data)
    plain = backbones.plain(config, data.images, data.fingerprint)
    shifted = None
    if data.shifted is not None:
        shifted = backbones.plain(config, data.shifted, shifted_fingerprint(data.fingerprint, data.validation))
    if find_policy(config.train.augment) == Policy():
        return Inputs((plain,), data.train, plain, shifted)
    views = Views(lambda view: backbones.view(config, data, view), backbones.views)
    return Inputs(views, np.arange(len(data.train)), plain, shifted)


def has_frozen_part(model: ModelConfig) -> bool:
    """Whether a model has a part that training does not change."""
    return feature_cut(model) is not None


def build_extractor(
    config: TrialConfig, shape: tuple[int, ...], weights: Sequence[NDArray[Any]] | None
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from images, uint8 (n, H, W, C), to the output of the frozen part of a trial's model, (n, ...)."""
    import keras

    keras.config.set_dtype_policy(config.train.precision)
    height, width, channels = shape
    frozen = frozen_part(build_model(config.model, (height, width, channels), 2, weights, config.seed))
    if frozen is None:
        raise ValueError(f"Features need a frozen part. Received: {config.model}, which has none. Train it on images.")

    def extract(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        return np.concatenate([frozen.predict_on_batch(batch.astype(np.float32) / 255) for batch in batches])

    return extract


def rows_fingerprint(rows: NDArray[np.int64]) -> str:
    """A hash of rows and their order: 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(rows, np.int64).data).hexdigest()[:16]
