"""Opens features that are too large for the object store: from their file, or from a copy on this host's own disk."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from data_pipeline.array_files import ArrayFiles, own_folder
from search.trial.feature_store import BLOCK, FeatureKey


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
    files = ArrayFiles(own_folder(folder), limit, BLOCK)
    try:
        return files.copy(key, count, read)
    except OSError as error:
        raise OSError(
            "Features that are too large for the object store are copied to the disk of each host. "
            f"Received: {error}, on a host with {files.free / 1e9:.1f} GB free in {files.path(key).parent}. Free some, "
            "set data.cache to a folder with more room or one that all hosts share, or set features=float16, or "
            'features="off".'
        ) from error
