"""Opens features that are too large for the object store: from their file, or from a copy on this host's own disk."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from search.trial.feature_store import FeatureFiles, FeatureKey


def open_features(
    key: FeatureKey, count: int, folder: str, limit: float, read: Callable[[int], NDArray[Any]]
) -> NDArray[Any]:
    """The features of `count` images as a read-only memory map (count, ...).

    A host that does not see the driver's folder copies them, block by block and once for all of its processes. The copy
    stays for later runs, as the driver's own file does.

    Args:
        key: of the features.
        count: number of images.
        folder: of feature files on the driver's host; this host may have one of its own there.
        limit: bytes that the files in it may take together.
        read: one block of them, from the driver's host.

    Raises:
        OSError: this host has no room for the copy.
    """
    files = FeatureFiles(_writable(Path(folder)), limit)
    features = files.open(key, count)
    if features is not None:
        return features
    try:
        with _alone(files.path(key).with_suffix(".lock")):
            files.finish(key, count)
            missing = set() if files.open(key, count) is not None else files.missing(key, count)
            for block in sorted(missing):
                files.write(key, block, read(block), count)
        features = files.open(key, count)
    except OSError as error:
        raise OSError(
            "Features that are too large for the object store are copied to the disk of each host. "
            f"Received: {error}, on a host with {files.free / 1e9:.1f} GB free in {files.path(key).parent}. Free some, "
            "set data.cache to a folder with more room or one that all hosts share, or set features=float16, or "
            'features="off".'
        ) from error
    if features is None:
        raise OSError(f"The copy of the features of {key} is not complete, though all of its blocks were written.")
    return features


def free_for_features(folder: str) -> float:
    """Bytes that this host has free for files of features."""
    return float(FeatureFiles(_writable(Path(folder)), 0).free)


def _writable(folder: Path) -> Path:
    """The folder, or where this host cannot make it, one of its own."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK) or any(folder.glob("*.npy")):
            return folder
    return Path(tempfile.gettempdir(), f"xray-search-{os.getuid()}", "features")


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process of this host at a time; the lock of one that dies is free."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
