"""Appends a session's events to a run's log, on a disk or in an object store."""

import errno
import json
import os
import time
from typing import IO, Any

from search.record.events import seal
from search.record.folder import RunFolder
from search.record.schema import to_json

_FLUSH_SECONDS = 5.0  # between the parts of a log in an object store


class EventLog:
    """Appends events to a run's log; one file a session, so that no session touches another's file.

    On a disk, each event is appended as a line and written at once. An object store cannot append: there, the events
    of this session are written as numbered objects, every few seconds and at each `flush`. Epochs that a killed driver
    had not written yet are found again in the trials' checkpoints.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        # Names sort in time order: sessions of one run follow each other, they never overlap.
        self._session = f"{time.time_ns():020d}"
        self._file: IO[bytes] | None = None
        self._buffer: list[str] = []
        self._part = 0
        self._flushed = time.monotonic()

    def append(self, event: str, trial: int | None = None, **content: Any) -> dict[str, Any]:
        """Write one event; returns it as a reader of the log will see it.

        Raises:
            OSError: the storage fails; no part of the line stays on a disk.
        """
        entry: dict[str, Any] = {"event": event, "time": time.time()}
        if trial is not None:
            entry["trial"] = trial
        line = seal(to_json({**entry, **content}))
        if self.folder.is_local:
            self.folder.reach(lambda: self._append_line(line))
        else:
            self._buffer.append(line)
            if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                self.flush()
        read_back: dict[str, Any] = json.loads(line)
        return read_back

    def _append_line(self, line: str) -> None:
        if self._file is None:
            path = self.folder.child("log", f"{self._session}.jsonl")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        content, begin = line.encode() + b"\n", os.fstat(self._file.fileno()).st_size
        if self._file.write(content) < len(content):  # a disk that becomes full takes a part and reports no error
            self._file.truncate(begin)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)

    def flush(self) -> None:
        """Write the events that an object store still lacks; a disk has them already."""
        if self._buffer:
            name = f"{self._session}-{self._part:06d}.jsonl"
            self.folder.write(("\n".join(self._buffer) + "\n").encode(), "log", name)
            self._buffer.clear()
            self._part += 1
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
