"""Holds a run to one driver: a file in the run's folder names the driver, which renews it as long as it drives.

The storage decides who creates a lease: a file is created only where there is none. A lease that is not renewed for a
minute is not overwritten, but followed by one of the next number (`driver.json`, `driver-2.json`, ...), so that of two
drivers that find it, one alone takes over. Its age is the time between two writes as the storage dates them: no clock
of a host plays a part.
"""

import contextlib
import json
import math
import os
import re
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from search.record import RecordError, RunFolder

FILE = "driver.json"
_NUMBERED = re.compile(r"driver(?:-(\d+))?\.json")
_RENEW_SECONDS = 10.0
_LOST_SECONDS = 60.0  # without a renewal, the driver or its host counts as lost


@contextlib.contextmanager
def drive(folder: RunFolder) -> Iterator[None]:
    """Be the run's only driver for the block. A driver that loses its lease receives SIGTERM.

    It loses the lease if another driver takes over after a minute without a renewal.

    Raises:
        RecordError: another process drives the run.
    """
    token, ended = uuid.uuid4().hex, threading.Event()
    number = _take(folder, token)
    thread = threading.Thread(target=_keep, args=(folder, number, token, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            if _is_own(folder, number, token):
                folder.remove(_name(number))


def _take(folder: RunFolder, token: str) -> int:
    """Create the next lease of a run that nobody drives; returns its number.

    Raises:
        RecordError: another process drives the run, or began to at the same moment.
    """
    earlier = _numbers(folder)
    number = max(earlier, default=0) + 1
    if earlier:
        _refuse_if_driven(folder, number - 1)
    if not folder.create(_content(token), _name(number)) and not _is_own(folder, number, token):
        _refuse(folder, _read(folder, number), 0.0)
    for old in earlier:
        folder.remove(_name(old))
    return number


def _refuse_if_driven(folder: RunFolder, number: int) -> None:
    holder = _read(folder, number)
    if not holder or _is_dead(holder):
        return
    silent = _silence(folder, number)
    if silent <= _LOST_SECONDS:
        _refuse(folder, holder, silent)


def _refuse(folder: RunFolder, holder: dict[str, object], silent: float) -> None:
    raise RecordError(
        f"A run has one driver. Received: {folder.url}, driven by process {holder.get('process')} on "
        f"{holder.get('host')}, whose lease is {silent:.0f} s old. Wait for it or stop it; the lease of a lost driver "
        f"ends after {_LOST_SECONDS:.0f} s."
    )


def _silence(folder: RunFolder, number: int) -> float:
    """Seconds since a lease was written, both moments by the storage; infinite where it is gone."""
    probe = f".probe-{uuid.uuid4().hex}"
    folder.write(b"", probe)
    try:
        return folder.changed(probe) - folder.changed(_name(number))
    except FileNotFoundError:
        return math.inf
    finally:
        folder.remove(probe)


def _is_dead(holder: dict[str, object]) -> bool:
    """Whether the holder was a process that this process would see, and no longer exists."""
    if any(holder.get(name) != value for name, value in _machine().items()):
        return False
    try:
        os.kill(int(str(holder["process"])), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> dict[str, str]:
    """Where a process number means the same process: the host, its boot and its PID namespace.

    Containers may share a host's name, and a host may have started again; what a system does not tell is empty.
    """
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


def _name(number: int) -> str:
    return FILE if number == 1 else f"driver-{number}.json"


def _numbers(folder: RunFolder) -> list[int]:
    """The numbers of the leases in a run's folder."""
    found = map(_NUMBERED.fullmatch, folder.names())
    return [int(match[1] or 1) for match in found if match]


def _content(token: str) -> bytes:
    return json.dumps({**_machine(), "process": os.getpid(), "token": token}).encode()


def _read(folder: RunFolder, number: int) -> dict[str, object]:
    try:
        content = json.loads(folder.read(_name(number)))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_own(folder: RunFolder, number: int, token: str) -> bool:
    return _read(folder, number).get("token") == token


def _keep(folder: RunFolder, number: int, token: str, ended: threading.Event) -> None:
    while not ended.wait(_RENEW_SECONDS):
        # The search itself notices and reports a storage that fails.
        with contextlib.suppress(OSError):
            if not _is_own(folder, number, token) or max(_numbers(folder)) > number:
                os.kill(os.getpid(), signal.SIGTERM)  # this process slept, or its host was cut off
                return
            folder.write(_content(token), _name(number))
