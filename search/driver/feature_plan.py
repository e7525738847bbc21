"""Says before the first trial how large the features of frozen backbones are, and where they will live.

Ray's object store is the best place: every process of a host reads one copy. What does not fit is read from a file,
which each host copies to its own disk once (`search.trial.feature_copy`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.registry import ModelConfig, feature_cut
from search.plan.settings import SettingsError

STORE_SHARE = 0.5  # of an object store for features; images and weights need some
_MB, _GB = 1e6, 1e9


@dataclass(frozen=True)
class FeatureSize:
    """The features of one frozen part of a backbone.

    Attributes:
        name: backbone and cut.
        numbers: of an image.
        images: of the largest array: all of the pool.
        arrays: how many arrays of about that size there may be: a plain one, and the views of each augmentation.
        itemsize: bytes of a number.
    """

    name: str
    numbers: int
    images: int
    arrays: int
    itemsize: int

    @property
    def array_bytes(self) -> int:
        """Of the largest array."""
        return self.numbers * self.images * self.itemsize

    def __str__(self) -> str:
        size = f"{self.array_bytes / _MB:,.0f} MB for {self.images:,} images"
        more = f", up to {self.arrays} times for the views of augmentations" if self.arrays > 1 else ""
        return f"features of {self.name}: {size}{more}"


def feature_sizes(
    numbers: Mapping[ModelConfig, int], images: int, policies: int, views: int, dtype: str
) -> list[FeatureSize]:
    """The features of all models of a space, largest first; models with the same frozen part share theirs.

    Args:
        numbers: of an image, for each model with a frozen part.
        images: of the pool.
        policies: how many augmentations the space has.
        views: fixed draws of each.
        dtype: "float32" or "float16".
    """
    cuts = {f"{model.backbone} ({feature_cut(model)})": number for model, number in numbers.items()}
    itemsize = 2 if dtype == "float16" else 4
    sizes = [FeatureSize(name, number, images, 1 + policies * views, itemsize) for name, number in cuts.items()]
    return sorted(sizes, key=lambda size: -size.array_bytes)


def place_features(sizes: Sequence[FeatureSize], room: float, disks: Mapping[str, float]) -> list[str]:
    """What the user should know of features that are too large for the object store, a line each.

    Args:
        sizes: of all features, largest first.
        room: bytes in the object store of the host that has the least.
        disks: bytes that are free for files, by host; the driver's first.

    Raises:
        SettingsError: a host has no room on its disk for the largest either; its trials would fail.
    """
    large = [size for size in sizes if size.array_bytes > room]
    if not large:
        return []
    full = [f"{host} ({free / _GB:.1f} GB free)" for host, free in disks.items() if free < large[0].array_bytes]
    halved = "" if large[0].itemsize == 2 else "features=float16 halves them, "
    if full:
        raise SettingsError(
            "Features must fit into the object store, or onto the disk of each host. Received: "
            f"{large[0]}, with room for {room / _MB:,.0f} MB in the object store, and too little on the disk of "
            f"{', '.join(full)}. Set data.cache to a folder with more room or one that all hosts share; "
            f'{halved}features="off" needs none; or take the model out of the space.'
        )
    where = "the disk of each host" if len(disks) > 1 else "the disk"
    place = f"the object store has room for {room / _MB:,.0f} MB, so {where} keeps them"
    note = f"; {halved.rstrip(', ')}" if halved else ""
    return [f"{size}: {place}{note}" for size in large]
