"""Keeps large arrays as files on a host's disk, written block by block and read as memory maps.

Features are computed block by block (`search.trial.feature_store`). Arrays that do not fit the object store are copied
so, from the driver's host to the disk of each host that does not see its folder.
"""

import contextlib
import fcntl
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

_NAME = re.compile("[0-9a-f]{32}")  # of an `ArrayKey`


class ArrayKey(Protocol):
    """A data class with everything that an array depends on: equal keys have equal arrays."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """A name for files: 32 hexadecimal digits."""


def count_blocks(count: int, block: int) -> int:
    """The number of blocks of `block` rows that `count` rows make."""
    return math.ceil(count / block)


class ArrayFiles:
    """Keeps arrays on disk: `NAME.npy` when complete; until then `NAME.partial` and `NAME.done`, its blocks.

    Blocks are written in place and listed afterwards, so that a resumed run continues after the last block. Two runs
    at the same time write the same bytes to the same places.

    Args:
        folder: created if it is missing.
        limit: bytes that all files may take together; arrays needed now are written even beyond it.
        block: rows of a block; the last one of an array may have fewer.
    """

    def __init__(self, folder: str | Path, limit: float, block: int) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._limit = limit
        self._block = block
        self._used: set[str] = set()

    def path(self, key: ArrayKey) -> Path:
        """Where the complete array is, or will be."""
        return self._folder / f"{key.name}.npy"

    def open(self, key: ArrayKey, count: int) -> NDArray[Any] | None:
        """The complete array as a read-only memory map (count, ...), or None."""
        self._used.add(key.name)
        path = self.path(key)
        try:
            array = np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            return None
        if len(array) != count:
            return None
        with contextlib.suppress(OSError):  # on a share that this host may only read
            os.utime(path)  # files used longest ago are removed first
        return np.asarray(array)

    def done(self, key: ArrayKey) -> set[int]:
        """The blocks already written, by this run or another."""
        try:
            return {int(line) for line in self._done(key).read_text().split()}
        except FileNotFoundError:
            return set()

    def missing(self, key: ArrayKey, count: int) -> set[int]:
        """The blocks that are still to be written."""
        return set(range(count_blocks(count, self._block))) - self.done(key)

    @property
    def free(self) -> int:
        """Bytes that the disk has left."""
        return shutil.disk_usage(self._folder).free

    def write(self, key: ArrayKey, block: int, rows: NDArray[Any], count: int) -> None:
        """Write one block (n, ...) of an array of `count` rows; the last one completes it.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if self.path(key).exists():
            return  # another run has written it
        shape = (count, *rows.shape[1:])
        size = math.prod(shape) * rows.itemsize
        if not self._partial(key).exists():
            self._make_room(size)
            self._done(key).unlink(missing_ok=True)
            self._folder.joinpath(f"{key.name}.json").write_text(json.dumps(asdict(key), indent=2))
            self._partial(key).touch()
        with self._partial(key).open("r+b") as file:
            header = {"descr": rows.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            file.seek(file.tell() + block * self._block * (size // count))
            file.write(np.ascontiguousarray(rows).data)
            file.flush()
            os.fsync(file.fileno())
        with self._done(key).open("a") as journal:
            journal.write(f"{block}\n")
        self.finish(key, count)

    def finish(self, key: ArrayKey, count: int) -> None:
        """Give the array its final name if all blocks are written."""
        if len(self.done(key)) < count_blocks(count, self._block):
            return
        with contextlib.suppress(FileNotFoundError):  # another run has just done it
            self._partial(key).replace(self.path(key))
            self._done(key).unlink()

    def copy(self, key: ArrayKey, count: int, read: Callable[[int], NDArray[Any]]) -> NDArray[Any]:
        """The array as a read-only memory map (count, ...), copied once for all processes of this host.

        The copy stays for later runs. One that was interrupted goes on.

        Args:
            key: of the array.
            count: its rows.
            read: one block of it, from the driver's host.

        Raises:
            OSError: this host has no room for the copy, or a block cannot be read.
        """
        array = self.open(key, count)
        if array is not None:
            return array
        with _alone(self.path(key).with_suffix(".lock")):
            self.finish(key, count)
            missing = set() if self.open(key, count) is not None else self.missing(key, count)
            for block in sorted(missing):
                self.write(key, block, read(block), count)
        array = self.open(key, count)
        if array is None:
            raise OSError(f"The copy of {key} is not complete, though all of its blocks were written")
        return array

    def _partial(self, key: ArrayKey) -> Path:
        return self._folder / f"{key.name}.partial"

    def _done(self, key: ArrayKey) -> Path:
        return self._folder / f"{key.name}.done"

    def _make_room(self, size: int) -> None:
        """Remove arrays until there is room within the limit and on the disk, those used longest ago first.

        Never those of this run or other files.
        """
        files = sorted(_arrays_in(self._folder), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        most = min(self._limit, total + self.free)
        for file in (file for file in files if file.stem not in self._used):
            if total + size <= most:
                return
            total -= file.stat().st_size
            file.unlink()
            file.with_suffix(".json").unlink(missing_ok=True)


def own_folder(folder: str | Path) -> Path:
    """The folder, made if it is missing; or where this host can neither write nor read it, one of the host's own.

    Raises:
        OSError: the latter, which lies in the temporary folder, is another account's or a link: what it holds would be
            trained on, and what is written to it could go anywhere.
    """
    wanted = Path(folder)
    with contextlib.suppress(OSError):
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK) or any(wanted.glob("*.npy")):
            return wanted
    own = Path(tempfile.gettempdir(), f"xray-search-{os.getuid()}")
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        raise OSError(
            f"Copies lie in a folder of this account alone. Received: {own}, which is a link or another account's. "
            "Remove it, or choose another temporary folder with TMPDIR=FOLDER."
        )
    return own / wanted.name


def _arrays_in(folder: Path) -> Iterator[Path]:
    """The complete arrays in a folder, whichever run wrote them."""
    return (file for file in folder.glob("*.npy") if _NAME.fullmatch(file.stem))


def room_bytes(folder: str | Path) -> float:
    """Bytes that arrays may take in this host's folder of that name: free ones, and those of the arrays in it.

    The latter are either needed themselves or make room.
    """
    held = 0
    for file in _arrays_in(own_folder(folder)):
        with contextlib.suppress(FileNotFoundError):  # another run has just removed it
            held += file.stat().st_size
    return free_bytes(folder) + held


def free_bytes(folder: str | Path) -> float:
    """Bytes that this host has free for arrays in its folder of that name."""
    own = own_folder(folder)
    own.mkdir(parents=True, exist_ok=True)
    return float(shutil.disk_usage(own).free)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process of this host at a time; the lock of one that dies is free."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
