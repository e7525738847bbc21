"""Holds a run to one driver: a file in the run's folder names the driver, which renews it as long as it drives."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from search.record import RecordError, RunFolder

FILE = "driver.json"
_RENEW_SECONDS = 10.0
_LOST_SECONDS = 60.0  # without a renewal, the driver or its host counts as lost


@contextlib.contextmanager
def drive(folder: RunFolder) -> Iterator[None]:
    """Be the run's only driver for the block. A driver that loses its lease receives SIGTERM.

    It loses the lease if another driver takes over after a minute without a renewal.

    Raises:
        RecordError: another process drives the run.
    """
    _refuse_if_driven(folder)
    token, ended = uuid.uuid4().hex, threading.Event()
    _renew(folder, token)
    if _read(folder).get("token") != token:  # another began at the same moment
        _refuse_if_driven(folder)
    thread = threading.Thread(target=_keep, args=(folder, token, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            if _read(folder).get("token") == token:
                folder.remove(FILE)


def _refuse_if_driven(folder: RunFolder) -> None:
    holder = _read(folder)
    silent = time.time() - float(str(holder.get("time", 0.0)))
    if silent > _LOST_SECONDS or _is_dead(holder):
        return
    raise RecordError(
        f"A run has one driver. Received: {folder.url}, driven by process {holder['process']} on {holder['host']}, "
        f"whose lease is {silent:.0f} s old. Wait for it or stop it; the lease of a lost driver ends after "
        f"{_LOST_SECONDS:.0f} s."
    )


def _is_dead(holder: dict[str, object]) -> bool:
    """Whether the holder was a process of this host that no longer exists."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(str(holder["process"])), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _read(folder: RunFolder) -> dict[str, object]:
    try:
        content = json.loads(folder.read(FILE))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _renew(folder: RunFolder, token: str) -> None:
    holder = {"host": socket.gethostname(), "process": os.getpid(), "token": token, "time": time.time()}
    folder.write(json.dumps(holder).encode(), FILE)


def _keep(folder: RunFolder, token: str, ended: threading.Event) -> None:
    while not ended.wait(_RENEW_SECONDS):
        # The search itself notices and reports a storage that fails.
        with contextlib.suppress(OSError):
            if _read(folder).get("token") != token:  # this process slept, or its host was cut off
                os.kill(os.getpid(), signal.SIGTERM)
                return
            _renew(folder, token)
