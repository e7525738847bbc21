"""Says before the first trial where its images are read from: Ray's object store, or the disk of each host.

The object store is the best place: every process of a host reads one copy. What does not fit is read from the driver's
cache, or from a copy of it on the disk of each host that does not see that cache (`data_pipeline.shards`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data_pipeline.array_files import free_bytes
from data_pipeline.dataset import Dataset
from data_pipeline.shards import DiskImages, HostDisks
from search.driver.machine import on_each_host, store_bytes
from search.plan.settings import ALL, SHARDS, Settings, SettingsError

STORE_SHARE = 0.5  # of an object store for images; weights, features and the evaluation's test images need some
_MB, _GB = 1e6, 1e9


@dataclass(frozen=True)
class ImageSizes:
    """The prepared images of a search.

    Attributes:
        images: of the pool.
        pool: its bytes, and those of the shifted copy of validation if there is one.
        files: bytes of the pool and of all test sets, which a host that copies them needs.
    """

    images: int
    pool: int
    files: int


@dataclass(frozen=True)
class DiskRoom:
    """The disk of one host.

    Attributes:
        free: bytes.
        missing: bytes of images that the host would copy to it.
    """

    free: float
    missing: float = 0.0


@dataclass(frozen=True)
class ImagePlan:
    """Where trials read their images from.

    Attributes:
        on_disk: whether from the disk of each host, and not from the object store.
        reason: a line for the user.
        copies: bytes that each host will copy to its disk, by name; without those that copy none.
    """

    on_disk: bool
    reason: str
    copies: Mapping[str, float] = field(default_factory=dict)

    @property
    def shuffle(self) -> str:
        """The order of a pass that suits the place, where the settings leave it open."""
        return SHARDS if self.on_disk else ALL


def fits_store(sizes: ImageSizes, store: float) -> bool:
    """Whether an object store of so many bytes has room for the images."""
    return sizes.pool <= STORE_SHARE * store


def plan_images(sizes: ImageSizes, store: float, disks: Mapping[str, DiskRoom]) -> ImagePlan:
    """The place of the images.

    Args:
        sizes: of the images.
        store: bytes of the smallest object store of a host.
        disks: of the hosts that are there, by name.

    Raises:
        SettingsError: the images fit neither the object store nor the disk of each host.
    """
    room = STORE_SHARE * store
    size = f"{sizes.images:,} images, {sizes.pool / _MB:,.0f} MB"
    if fits_store(sizes, store):
        return ImagePlan(False, f"{size}: in the object store, which has room for {room / _MB:,.0f} MB")
    full = [f"{host} ({disk.free / _GB:.1f} GB free)" for host, disk in disks.items() if disk.free < disk.missing]
    if full:
        raise SettingsError(
            "Images must fit into the object store, or onto the disk of each host. Received: "
            f"{size}, with room for {room / _MB:,.0f} MB in the object store, and too little on the disk of "
            f"{', '.join(full)} for {sizes.files / _GB:.1f} GB with the test images. Set data.cache to a folder with "
            "more room or one that all hosts share, or lower data.size."
        )
    copying = {host: disk.missing for host, disk in disks.items() if disk.missing}
    needs = ", ".join(f"{missing / _GB:.1f} GB on {host}" for host, missing in copying.items())
    place = f"the object store has room for {room / _MB:,.0f} MB, so trials read them from disk, in shards"
    where = f"copied to hosts that do not see data.cache: {needs}" if copying else "from data.cache, without a copy"
    return ImagePlan(True, f"{size}: {place}, {where}", copying)


def place_images(settings: Settings, dataset: Dataset) -> tuple[ImagePlan, HostDisks]:
    """The place of a search's images in the running Ray, and where each host keeps them if that is its disk.

    Raises:
        SettingsError: a host has no room for them.
    """
    import ray

    sizes, store, rooms = image_sizes(settings, dataset), store_bytes(), dict[str, DiskRoom]()
    folder, limit = settings.data.cache_dir.absolute() / "copies", settings.data.cache_gb * _GB
    # At least what this run needs: else the copy of its test images would push out that of its pool.
    disks = HostDisks(ray.get_runtime_context().get_node_id(), str(folder), max(limit, float(sizes.files)))
    if not fits_store(sizes, store):
        shape = settings.data.image.shape
        files = [DiskImages.of(prepared, shape, disks) for prepared in dataset.all_images]
        rooms = on_each_host(disk_room, files)
    return plan_images(sizes, store, rooms), disks


def image_sizes(settings: Settings, dataset: Dataset) -> ImageSizes:
    """How large the prepared images of a search are."""
    image = math.prod(settings.data.image.shape)
    shifted = len(dataset.split.validation) if settings.search.judges_by_shifted else 0
    files = sum(prepared.count for prepared in dataset.all_images)
    return ImageSizes(dataset.pool.count, (dataset.pool.count + shifted) * image, files * image)


def disk_room(images: Sequence[DiskImages]) -> DiskRoom:
    """The room for copies of these images on this host."""
    return DiskRoom(free_bytes(images[0].disks.folder), sum(each.missing for each in images))
