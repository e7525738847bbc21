"""Images that do not fit the object store: read from each host's own disk, in shards.

A shard is a few MB of consecutive images of the prepared array. It is what a host fetches at a time, what is read from
the disk at a time, and what a pass over the training images begins one after the other.

Source: Xu et al. 2022, 'In-Database Machine Learning with CorgiPile: Stochastic Gradient Descent without Full Data
Shuffle': blocks in random order, and images in random order within a window of blocks, train as a full shuffle does.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_pipeline.array_files import ArrayFiles, count_blocks, own_folder
from data_pipeline.preprocess import PreparedImages

# A disk reads so much at a time nearly as fast as a whole file. Files are sorted by class: larger shards would leave
# too few of them in a window for every class to be in it.
SHARD_BYTES = 4_000_000
WINDOW = 128  # shards that images are mixed over: about 500 MB


class ArraySource(Protocol):
    """An array that is read by its rows, wherever it lies; numpy's own arrays are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """A copy of these rows, int64 (n,): (n, ...)."""


def images_of_shard(shape: tuple[int, ...]) -> int:
    """How many images a shard has.

    Args:
        shape: of an array of uint8 images, (N, H, W, C).
    """
    return max(1, SHARD_BYTES // int(np.prod(shape[1:])))


def shuffled_shards(rows: NDArray[np.int64], shard: int, draws: np.random.Generator) -> NDArray[np.int64]:
    """The order of a pass over some images: int64 (n,), places in `rows`, each once.

    The shards begin in random order, one at a time. Each image of a shard follows at random while the next WINDOW
    shards begin. What is read at any time therefore lies in WINDOW shards.

    Args:
        rows: of the prepared array, int64 (n,).
        shard: images of a shard.
        draws: decide the order; equal ones give the same.
    """
    shards = rows // shard
    begins = draws.permutation(int(shards.max(initial=0)) + 1)[shards]
    return np.argsort(begins + WINDOW * draws.random(len(rows)), kind="stable")


@dataclass(frozen=True)
class HostDisks:
    """Where each host keeps images that do not fit the object store.

    Attributes:
        node: Ray's id of the driver's host, which prepared them.
        folder: of copies, on hosts that do not see the driver's cache.
        limit: bytes that the copies of a host may take together.
        whole_shards: whether a shard is read at once when its first image is asked for, which suits an order by shards.
    """

    node: str
    folder: str
    limit: float
    whole_shards: bool = True


@dataclass(frozen=True)
class ImageKey:
    """The key of a copy: the fingerprint of the prepared images."""

    name: str


@dataclass(frozen=True)
class DiskImages:
    """Prepared images, read by their rows from this host's own disk: an `ArraySource`.

    Only what is written here travels between processes. The images are opened where they are first read, from the
    driver's cache where the host sees it, else from a copy, which the host fetches once for all of its processes.

    Attributes:
        file: of the driver's cache.
        fingerprint: of the images.
        shape: (N, H, W, C).
        disks: of the hosts.
    """

    file: str
    fingerprint: str
    shape: tuple[int, ...]
    disks: HostDisks

    @classmethod
    def of(cls, prepared: PreparedImages, shape: tuple[int, ...], disks: HostDisks) -> "DiskImages":
        """Prepared images of the driver's host, each of that shape, (H, W, C)."""
        file = prepared.path.absolute() / "images.npy"
        return cls(str(file), prepared.fingerprint, (prepared.count, *shape), disks)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """These images, uint8 (n, H, W, C).

        Raises:
            OSError: they can be neither read nor copied to this host.
        """
        return self._reader.take(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return DiskImages, tuple(getattr(self, each.name) for each in fields(self))

    @property
    def missing(self) -> float:
        """Bytes that this host has still to fetch."""
        if Path(self.file).exists():
            return 0.0
        files, shard = self._copies, images_of_shard(self.shape)
        if files.open(self._key, len(self)) is not None:
            return 0.0
        shards = len(files.missing(self._key, len(self))) / count_blocks(len(self), shard)
        return shards * float(np.prod(self.shape))

    @cached_property
    def _reader(self) -> "_ShardReader":
        path = Path(self.file)
        if not path.exists():
            path = self._copies.path(self._key)
            self._fetch()
        return _ShardReader(path, images_of_shard(self.shape), self.disks.whole_shards)

    def _fetch(self) -> None:
        """Copy the images to this host's disk unless they are there."""
        files = self._copies
        try:
            files.copy(self._key, len(self), self._shards_of_driver())
        except OSError as error:
            raise OSError(
                "Images that are too large for the object store are copied to the disk of each host. "
                f"Received: {error}, on a host with {files.free / 1e9:.1f} GB free in {files.path(self._key).parent}. "
                "Free some, or set data.cache to a folder with more room or one that all hosts share."
            ) from error

    def _shards_of_driver(self) -> Callable[[int], NDArray[np.uint8]]:
        """Reads one shard on the driver's host, through Ray."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(self.disks.node, soft=False)
        read = ray.remote(num_cpus=0, scheduling_strategy=there)(read_shard)

        def fetch(shard: int) -> NDArray[np.uint8]:
            images: NDArray[np.uint8] = ray.get(read.remote(self.file, shard))
            return images

        return fetch

    @property
    def _key(self) -> ImageKey:
        return ImageKey(self.fingerprint)

    @property
    def _copies(self) -> ArrayFiles:
        return ArrayFiles(own_folder(self.disks.folder), self.disks.limit, images_of_shard(self.shape))


def open_images(prepared: PreparedImages, disks: HostDisks | None = None) -> ArraySource:
    """Prepared images, uint8 (N, H, W, C), as a run shares them with its processes.

    Args:
        prepared: The images.
        disks: Of the hosts, where the images do not fit the object store; None: a memory map, which Ray copies into
            the object store.
    """
    # a plain array: numpy copies a memmap, which is a subclass, when it pickles it
    images = np.asarray(prepared.open())
    return images if disks is None else DiskImages.of(prepared, images.shape[1:], disks)


def read_shard(file: str, shard: int) -> NDArray[np.uint8]:
    """One shard of an .npy file of images, uint8 (n, H, W, C)."""
    images = np.load(file, mmap_mode="r")
    count = images_of_shard(images.shape)
    return np.array(images[shard * count : (shard + 1) * count])


class _ShardReader:
    """Reads images of a file by their rows.

    A disk gives single images at a fraction of the speed of whole shards. A shard is therefore read at once when its
    first image is asked for. It stays in the system's cache, which all processes of the host share, for its others.
    """

    def __init__(self, path: Path, shard: int, whole_shards: bool) -> None:
        mapped = np.load(path, mmap_mode="r")
        self._images: NDArray[np.uint8] = np.asarray(mapped)
        self._path, self._first, self._whole_shards = path, mapped.offset, whole_shards
        self._shard, self._bytes = shard, shard * int(np.prod(mapped.shape[1:]))
        self._read: deque[int] = deque(maxlen=2 * WINDOW)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        for shard in np.unique(rows // self._shard).tolist():
            if self._whole_shards and shard not in self._read:
                self._read_ahead(shard)
                self._read.append(shard)
        return self._images[rows]

    def _read_ahead(self, shard: int) -> None:
        # not through the map: faults read a few pages at a time, several times as slowly
        with contextlib.suppress(FileNotFoundError), self._path.open("rb", buffering=0) as file:
            os.pread(file.fileno(), self._bytes, self._first + shard * self._bytes)
