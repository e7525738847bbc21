"""A folder's files, on a disk, in a bucket or packed into one file: read, written whole, and listed."""

import contextlib
import os
import posixpath
import uuid
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import fsspec

from search.record.names import inside, is_inside
from search.record.patience import patiently
from search.record.schema import RecordError

T = TypeVar("T")

PACKED = ".zip"
_CLIENTS = {"s3": {"config_kwargs": {"max_pool_connections": 64}}}  # it has 10, which are what is read at a time


class Storage:
    """A folder on a disk or in a bucket (any URL that fsspec opens), or a packed one.

    Args:
        url: the folder itself, or the file that it is packed into.
        patience: how many seconds to wait for a storage that fails.
        say: called with a line when the wait begins and when it ends well.

    Raises:
        RecordError: the packed run or the storage cannot be opened.
    """

    def __init__(self, url: str, patience: float = 0.0, say: Callable[[str], None] = print) -> None:
        self.url = url.rstrip("/")
        # What is packed (search.pack) is read inside its file.
        try:
            url = f"zip://::{self.url}" if self.is_packed else self.url
            options = _CLIENTS.get(self.url.split(":")[0], {})
            self.fs, self.path = fsspec.core.url_to_fs(url, **options)
        except (FileNotFoundError, zipfile.BadZipFile) as error:
            raise RecordError(
                f"A packed run is a file that search.pack wrote. Received: {self.url} ({error}). "
                "Check the path, or pack the run again."
            ) from error
        except (ImportError, ValueError) as error:  # no library for its kind of storage, or no such kind
            raise RecordError(
                f"A run lies on a disk or in a storage that fsspec opens. Received: {self.url} ({error}). "
                "Check the URL, and install the library for its kind of storage."
            ) from error
        self.is_local = "file" in _protocols(self.fs)
        self._patience, self._say = patience, say

    @property
    def is_packed(self) -> bool:
        """Whether it is a file that `search.pack` wrote; such a run can only be read."""
        return self.url.endswith(PACKED)

    def reach(self, work: Callable[[], T]) -> T:
        """What `work` on the storage returns; after a failure it is tried again until the folder's patience ends.

        Raises:
            OSError: the storage still fails then.
        """
        return patiently(work if self.is_local else lambda: _with_os_errors(work), self._patience, self._say)

    @property
    def name(self) -> str:
        """The folder's last part, the name of a run."""
        return posixpath.basename(self.url).removesuffix(PACKED) if self.is_packed else posixpath.basename(self.path)

    @property
    def absolute_url(self) -> str:
        """The folder's name for every process, independent of the working directory."""
        return os.path.realpath(self.path) if self.is_local else self.url

    def patient(self, seconds: float, say: Callable[[str], None] = print) -> Self:
        """The same folder, with this patience."""
        return type(self)(self.url, seconds, say)

    def child(self, *parts: str) -> str:
        """The path of something inside the folder, in the file system's own terms; without parts, the folder's.

        Raises:
            RecordError: the parts lead out of the folder.
        """
        return posixpath.join(str(self.path), inside(*parts)) if parts else str(self.path)

    def own(self, *parts: str) -> str:
        """As `child`, of something to be written or removed: no link may lead it out of the folder.

        Raises:
            RecordError: the parts lead out of the folder.
            OSError: a link in the folder does.
        """
        target = self.child(*parts)
        place = os.path.dirname(target)
        if self.is_local and self.leads_out(place):
            raise OSError(
                f"What belongs to a run is written and removed in the run's own folder. Received: {place}, which leads "
                f"to {os.path.realpath(place)}. Put the folder itself in the link's place, or do not trust who put it "
                "there."
            )
        return target

    def leads_out(self, path: str) -> bool:
        """Whether a path on a disk, its links followed, lies outside the folder."""
        folder, real = os.path.realpath(str(self.path)), os.path.realpath(path)
        return real != folder and not real.startswith(f"{folder.rstrip(os.sep)}{os.sep}")

    def exists(self, *parts: str) -> bool:
        """Whether something of that name is in the folder."""
        target = self.child(*parts)
        return self.reach(lambda: bool(self.fs.exists(target)))

    def read(self, *parts: str) -> bytes:
        """The content of a file in the folder.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if self.is_packed and not self.exists(*parts):  # a ZIP file system raises KeyError
            raise FileNotFoundError(f"{self.url} holds no {'/'.join(parts)}")
        target = self.child(*parts)
        content: bytes = self.reach(lambda: self.fs.cat_file(target))
        return content

    def read_own(self, *parts: str) -> bytes:
        """As `read`, of what goes on to others (a pack, a page, an export): no link may lead to a private file.

        Raises:
            FileNotFoundError: there is no such file.
            RecordError: it is a link out of the folder, as a stranger's run may have one to a file of this user.
        """
        target = self.child(*parts)
        if self.is_local and self.leads_out(target):
            raise RecordError(
                f"What is packed, shown or exported lies in the run's own folder. Received: {target}, a link to "
                f"{os.path.realpath(target)}. Put the file itself in its place, or remove the link."
            )
        return self.read(*parts)

    def read_many(self, folder: str, begins: Mapping[str, int]) -> dict[str, bytes]:
        """Files of a sub-folder from these bytes on, by name; an object store reads them side by side.

        Raises:
            FileNotFoundError: one of them is missing.
        """
        paths, starts = [self.child(folder, name) for name in begins], [each or None for each in begins.values()]
        read = self.reach(lambda: self.fs.cat_ranges(paths, starts, [None] * len(paths), on_error="raise"))
        return dict(zip(begins, read, strict=True))

    def sizes(self, *parts: str) -> dict[str, int]:
        """The bytes of each file in a sub-folder, by name in order, from one listing; empty where there is none."""
        folder = self.child(*parts)
        self.fs.invalidate_cache(folder)
        try:
            entries = self.reach(lambda: self.fs.ls(folder, detail=True))
        except FileNotFoundError:
            return {}
        found = {posixpath.basename(entry["name"]): entry["size"] for entry in entries if entry["type"] == "file"}
        return {name: found[name] for name in sorted(found) if is_inside(name)}

    def write(self, content: bytes, *parts: str) -> None:
        """Write a whole file or nothing: a reader never sees a part of it."""
        target = self.own(*parts)
        if self.is_local:
            self.reach(lambda: _write_whole(target, content))
        else:
            self.reach(lambda: self.fs.pipe_file(target, content))  # an object store shows complete objects only

    def create(self, content: bytes, *parts: str) -> bool:
        """Write a whole file unless there is one; returns whether it was written.

        Disks and S3 decide that themselves, so that of two writers one wins; other storages as far as fsspec can.
        """
        target = self.own(*parts)
        try:
            if self.is_local:
                self.reach(lambda: _write_new(target, content))
            else:
                self.reach(lambda: self.fs.pipe_file(target, content, mode="create"))
        except FileExistsError:
            return False
        return True

    def changed(self, *parts: str) -> float:
        """When a file was last written, in seconds of the storage's own clock.

        Raises:
            FileNotFoundError: there is no such file.
        """
        target = self.child(*parts)
        self.fs.invalidate_cache(posixpath.dirname(target))
        return float(self.reach(lambda: self.fs.modified(target)).timestamp())

    def remove(self, *parts: str) -> None:
        """Remove a file of the folder, if it is there."""
        target = self.own(*parts)
        with contextlib.suppress(FileNotFoundError):
            self.reach(lambda: self.fs.rm_file(target))

    def names(self, *parts: str) -> list[str]:
        """The sorted names of what is in a sub-folder; empty where there is none.

        A bucket may hold keys such as `log/../x`, which no run writes: `..` and its like are left out.
        """
        folder = self.child(*parts)
        self.fs.invalidate_cache(folder)
        try:
            paths = self.reach(lambda: self.fs.ls(folder, detail=False))
        except FileNotFoundError:
            return []
        names = (posixpath.basename(str(path).rstrip("/")) for path in paths)
        return sorted(name for name in names if is_inside(name))

    def files(self, *parts: str) -> list[str]:
        """The sorted names of all files in a sub-folder and below it, each relative to the run's folder.

        Raises:
            RecordError: the storage holds a name that leads out of the folder.
        """
        folder = self.child(*parts)
        self.fs.invalidate_cache(folder)
        paths = map(str, self.reach(lambda: self.fs.find(folder)))
        # a name that ends in / is an empty object that some consoles write for a folder
        return sorted(inside(path.removeprefix(f"{self.path}/")) for path in paths if not path.endswith("/"))


def _write_whole(target: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, target)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def _write_new(target: str, content: bytes) -> None:
    """As `_write_whole`, but never over a file that is there.

    Raises:
        FileExistsError: there is one.
    """
    partial = f"{target}.{uuid.uuid4().hex[:8]}.new"
    _write_whole(partial, content)
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(target, "xb") as file:
            file.write(content)
    finally:
        os.remove(partial)


def _with_os_errors(work: Callable[[], T]) -> T:
    """What `work` returns; an error of an object store's own client is raised as an `OSError`."""
    try:
        return work()
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _protocols(fs: Any) -> tuple[str, ...]:
    protocol = fs.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
