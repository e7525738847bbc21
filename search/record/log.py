"""Appends a session's events to a run's log, on a disk or in an object store."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import IO, Any

from search.record.events import seal
from search.record.folder import RunFolder
from search.record.schema import to_json

_FLUSH_SECONDS = 5.0  # between the uploads of a log to an object store
_PART_BYTES = 2**17  # of a log in an object store: of more, the next part begins
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # of file systems that cannot confirm a write
_AT_ONCE = 8  # requests of `after` side by side


class EventLog:
    """Appends events to a run's log; one file a session, so that no session touches another's file.

    On a disk, each event is appended as a line and written at once; `flush` and `after` also wait until the disk keeps
    it, so that a host that loses power forgets neither a suggested trial nor an ended one. An object store cannot
    append: there, the events of this session are objects of some 100 KB. The last one is written anew with what was
    added, every few seconds and at each `flush`; a search of 10,000 trials leaves a few hundred objects. That happens
    in a thread, so that nobody waits for the store, and in order: what is stored is always a log up to some event.
    Epochs that a killed driver had not stored yet are found again in the trials' checkpoints.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        # Names sort in time order: sessions of one run follow each other, they never overlap.
        self._session = f"{time.time_ns():020d}"
        self._file: IO[bytes] | None = None
        self._uploads = None if folder.is_local else _Uploads(folder, self._session)

    def append(self, event: str, trial: int | None = None, **content: Any) -> dict[str, Any]:
        """Write one event; returns it as a reader of the log will see it.

        Raises:
            OSError: the storage fails, or an object store failed since the last call; no part of the line stays on a
                disk.
        """
        entry: dict[str, Any] = {"event": event, "time": time.time()}
        if trial is not None:
            entry["trial"] = trial
        line = seal(to_json({**entry, **content}))
        if self._uploads is None:
            self.folder.reach(lambda: self._append_line(line))
        else:
            self._uploads.add(line)
        read_back: dict[str, Any] = json.loads(line)
        return read_back

    def _append_line(self, line: str) -> None:
        if self._file is None:
            path = self.folder.own("log", f"{self._session}.jsonl")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        content, begin = line.encode() + b"\n", os.fstat(self._file.fileno()).st_size
        if self._file.write(content) < len(content):  # a disk that becomes full takes a part and reports no error
            self._file.truncate(begin)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)

    def flush(self, wait: bool = True) -> None:
        """Store the events that an object store still lacks; a disk is made to keep those that it has.

        Args:
            wait: until an object store has them; else they are stored soon.

        Raises:
            OSError: the storage fails.
        """
        if self._uploads is not None:
            self._uploads.store(wait)
        elif self._file is not None:
            self.folder.reach(partial(_sync, self._file))

    def after(self, work: Callable[[], None]) -> None:
        """Do what is safe once all events so far are stored: on a disk at once, else in a thread, soon.

        Args:
            work: does no harm if it never happens, because the driver is killed before.

        Raises:
            OSError: of the work, on a disk; of an object store, a later call raises it.
        """
        if self._uploads is None:
            self.flush()
            work()
        else:
            self._uploads.after(work)

    def close(self) -> None:
        """Store all events, wait for what `after` was given, and close."""
        if self._uploads is not None:
            self._uploads.close()
        if self._file is not None:
            self._file.close()
            self._file = None


def _sync(file: IO[bytes]) -> None:
    """Wait until a disk keeps what was written, where its file system can say so."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


class _Uploads:
    """A session's log in an object store: lines are added here and stored by a thread."""

    def __init__(self, folder: RunFolder, session: str) -> None:
        self._folder, self._session = folder, session
        self._lock = threading.Lock()
        self._lines: list[str] = []  # of the part that still grows
        self._stored = 0  # of these lines
        self._part = 0
        self._is_queued = False
        self._started = time.monotonic()  # the last upload
        self._failure: OSError | None = None
        self._in_order = ThreadPoolExecutor(1, "log")
        self._side_by_side = ThreadPoolExecutor(_AT_ONCE, "after-log")

    def add(self, line: str) -> None:
        """Take one more line; it is stored in some seconds.

        Raises:
            OSError: the store failed since the last call; the lines are kept for the next try.
        """
        failure, self._failure = self._failure, None
        with self._lock:
            self._lines.append(line)
        if time.monotonic() - self._started > _FLUSH_SECONDS:
            self.store(wait=False)
        if failure is not None:
            raise failure

    def store(self, wait: bool) -> None:
        with self._lock:
            if self._stored == len(self._lines) or (self._is_queued and not wait):
                return
            self._is_queued, self._started = True, time.monotonic()
        done = self._in_order.submit(self._upload)
        if wait:
            done.result()
        else:
            done.add_done_callback(self._note_failure)

    def after(self, work: Callable[[], None]) -> None:
        def then() -> None:
            self._upload()
            self._side_by_side.submit(work).add_done_callback(self._note_failure)

        self._in_order.submit(then).add_done_callback(self._note_failure)

    def close(self) -> None:
        try:
            self.store(wait=True)
        finally:
            self._in_order.shutdown()
            self._side_by_side.shutdown()

    def _upload(self) -> None:
        with self._lock:
            self._is_queued = False
            lines = tuple(self._lines)
            if self._stored == len(lines):
                return
        content = ("\n".join(lines) + "\n").encode()
        self._folder.write(content, "log", f"{self._session}-{self._part:06d}.jsonl")
        with self._lock:
            self._stored = len(lines)
            if len(content) >= _PART_BYTES:
                del self._lines[: len(lines)]
                self._stored, self._part = 0, self._part + 1

    def _note_failure(self, done: "Future[Any]") -> None:
        error = done.exception()
        if error is not None:
            self._failure = error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}")
