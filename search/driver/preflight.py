"""Checks what a search needs of its machine and its storage before it starts: folders, limits, rights."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from search.plan.settings import SettingsError
from search.record import Storage

_LEAST_BYTES = 200e6  # of logs and of Ray's own files
_FULL = 0.95  # share of a disk from which on Ray puts no more objects on it
_SOCKET_LIMIT = 107  # bytes of a socket's path, by Linux
# Below Ray's folder: a session of a process with seven digits, and the longest name of a socket.
_SOCKET = "/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"
_LEAST_LIMITS = (
    ("RLIMIT_AS", 16 * 2**30, "bytes of address space (ulimit -v); Ray and TensorFlow reserve far more than they use"),
    ("RLIMIT_NPROC", 1_000, "processes and threads (ulimit -u); every trial has dozens"),
    ("RLIMIT_NOFILE", 256, "open files (ulimit -n)"),
)


def check_machine(say: Callable[[str], None]) -> None:
    """Raise SettingsError unless this machine lets a search run.

    Args:
        say: Gets a line about what will hinder it.

    Raises:
        SettingsError: The temporary folder, Ray's folder or a limit of this process cannot work.
    """
    try:
        temporary = tempfile.gettempdir()
    except OSError as error:
        raise SettingsError(
            f"Temporary files need a folder that can be written. Received: {error}. Name one with TMPDIR=FOLDER."
        ) from error
    _check_limits()
    ray = use_ray_folder()
    for folder in dict.fromkeys((temporary, _nearest(ray))):
        usage = shutil.disk_usage(folder)
        if usage.free < _LEAST_BYTES:
            raise SettingsError(
                f"A search needs {_LEAST_BYTES / 1e6:.0f} MB for temporary files. Received: {folder}, where "
                f"{usage.free / 1e6:.0f} MB are free. Free some space, or choose another folder with TMPDIR=FOLDER."
            )
        if usage.used > _FULL * usage.total:
            say(
                f"The disk of {folder} is {usage.used / usage.total:.0%} full. Ray puts nothing on a disk from "
                f"{_FULL:.0%} on; RAY_TMPDIR=FOLDER chooses another."
            )


def _check_limits() -> None:
    import resource

    for name, least, words in _LEAST_LIMITS:
        limit = resource.getrlimit(getattr(resource, name))[0]
        if limit != resource.RLIM_INFINITY and limit < least:
            raise SettingsError(
                f"A search needs {least:,} {words}. Received: a limit of {limit:,}. Raise the limit in this shell."
            )


def use_ray_folder() -> str:
    """The folder that Ray will use on this machine, made this account's own where the usual one is another's.

    Raises:
        SettingsError: Its path is too long for Ray's sockets, or it cannot be written.
    """
    parent = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    folder = f"{parent.rstrip('/')}/ray"
    if Path(folder).exists() and not os.access(folder, os.W_OK | os.X_OK) and "RAY_TMPDIR" not in os.environ:
        os.environ["RAY_TMPDIR"] = parent = f"{parent.rstrip('/')}/ray-{os.getuid()}"
        folder = f"{parent}/ray"
    if os.environ.get("RAY_ADDRESS"):  # Ray does not start here
        return folder
    if len(os.fsencode(folder + _SOCKET)) > _SOCKET_LIMIT:
        most = _SOCKET_LIMIT - len(_SOCKET)
        raise SettingsError(
            f"Ray's sockets lie in its temporary folder, whose path has at most {most} bytes. "
            f"Received: {folder}. Set RAY_TMPDIR to a short one: RAY_TMPDIR=/tmp."
        )
    if not os.access(_nearest(folder), os.W_OK | os.X_OK):
        raise SettingsError(
            f"Ray needs a temporary folder that can be written. Received: {folder}. Set RAY_TMPDIR=FOLDER."
        )
    return folder


def ray_address_file() -> Path:
    """Where `ray start` leaves the address of the cluster that it starts on this machine; it need not be there.

    Raises:
        SettingsError: As `use_ray_folder`.
    """
    return Path(use_ray_folder(), "ray_current_cluster")


def is_anothers_ray() -> bool:
    """Whether the Ray that would be found on this machine was started by another account, other than root's."""
    if os.environ.get("RAY_ADDRESS"):
        return False
    try:
        owner = ray_address_file().stat().st_uid
    except OSError:
        return False
    return owner not in (os.getuid(), 0)


def check_storage(storage: Storage) -> None:
    """Raise SettingsError unless files can be written to the folder that holds runs; nothing stays there.

    Args:
        storage: The parent of runs; a local one need not exist.

    Raises:
        SettingsError: The folder or bucket cannot be written.
    """
    try:
        probe(_nearest_folder(storage) if storage.is_local else storage)
    except OSError as error:
        raise SettingsError(
            f"Runs are written to run.storage. Received: {storage.url} ({error.strerror or error}). "
            "Check its name and your rights there, or choose another with run.storage=FOLDER."
        ) from error


def _nearest_folder(storage: Storage) -> Storage:
    """The folder itself, or the nearest above it: where it can be made. Rights alone do not tell that.

    Raises:
        NotADirectoryError: a file stands there.
    """
    nearest = _nearest(str(storage.path))
    if not os.path.isdir(nearest):
        raise NotADirectoryError(f"{nearest} is no folder")
    return Storage(nearest)


def probe(folder: Storage) -> None:
    """Write a file of 1 MiB to a folder and remove it.

    Raises:
        OSError: the folder cannot be written.
    """
    name = f".probe-{uuid.uuid4().hex}"
    folder.write(bytes(2**20), name)
    folder.remove(name)


def _nearest(folder: str) -> str:
    """The folder itself, or the nearest one above it that exists."""
    path = Path(folder).absolute()
    return str(next(each for each in (path, *path.parents) if each.exists()))
