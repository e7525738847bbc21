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
    """What the user should know of features that are too large for the object store or for a disk, a line each.

    Args:
        sizes: of all features, largest first.
        room: bytes in the object store of the host that has the least.
        disks: bytes that features may take on disk, by host; the driver's first, which keeps all features.

    Raises:
        SettingsError: a host has no room on its disk for the largest that it needs; its trials would fail.
    """
    large = [size for size in sizes if size.array_bytes > room]
    kept = {host: large if place else sizes for place, host in enumerate(disks)}
    full = [each for each in kept if kept[each] and disks[each] < kept[each][0].array_bytes]
    halved = "" if not sizes or sizes[0].itemsize == 2 else "features=float16 halves them, "
    if full:
        raise SettingsError(
            "Features must fit onto the disk of the driver's host, and those without room in the object store onto "
            f"that of each host. Received: {kept[full[0]][0]}, with room for {room / _MB:,.0f} MB in the object store, "
            f"and too little on the disk of {', '.join(f'{each} ({disks[each] / _GB:.1f} GB free)' for each in full)}. "
            "Set data.cache to a folder with more room or one that all hosts share; "
            f'{halved}features="off" needs none; or take the model out of the space.'
        )
    together = {host: sum(size.array_bytes * size.arrays for size in sizes) for host, sizes in kept.items()}
    tight = [
        f"all features together may take {needed / _GB:.1f} GB, and the disk of {host} has {disks[host] / _GB:.1f} GB "
        "free: trials that find it full fail; set data.cache to a folder with more room"
        for host, needed in together.items()
        if disks[host] < needed
    ]
    if not large:
        return tight
    where = "the disk of each host" if len(disks) > 1 else "the disk"
    place = f"the object store has room for {room / _MB:,.0f} MB, so {where} keeps them"
    note = f"; {halved.rstrip(', ')}" if halved else ""
    return [*(f"{size}: {place}{note}" for size in large), *tight]
