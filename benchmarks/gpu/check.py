"""The findings of a GPU check, and the file of them that a user sends: it names no host, no user and no home folder."""

import getpass
import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.measurement import Quantity

PASSED, FAILED, NOT_RUN = OUTCOMES = ("passed", "failed", "not run")


@dataclass(frozen=True)
class Check:
    """One claim, and what came of trying it.

    Attributes:
        name: what was tried, in words.
        claim: what the README or docs say of it.
        source: where they say it.
        outcome: one of `OUTCOMES`.
        result: what was seen, or why it was not run, in a sentence or two.
        quantities: what was measured.
        seconds: that it took.
    """

    name: str
    claim: str
    source: str
    outcome: str
    result: str
    quantities: tuple[Quantity, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Facts:
    """The machine and its software.

    Attributes:
        gpu: name of the GPU; empty where there is none.
        gpu_memory_mb: in MiB.
        capability: its compute capability, such as "8.6".
        driver: version of NVIDIA's driver.
        cuda, cudnn: versions that TensorFlow was built with.
        memory_gib: main memory.
    """

    gpu: str
    gpu_memory_mb: float
    capability: str
    driver: str
    cuda: str
    cudnn: str
    processor: str
    cpus: int
    memory_gib: float
    platform: str
    python: str
    packages: Mapping[str, str]
    commit: str


@dataclass(frozen=True)
class Report:
    """All checks of a machine.

    Attributes:
        pretended: whether there was no GPU, so that only the logic around one was run.
        finished: seconds since 1970.
        seconds: that all checks took.
    """

    pretended: bool
    facts: Facts
    checks: tuple[Check, ...]
    finished: float
    seconds: float

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks whose claim does not hold."""
        return tuple(check for check in self.checks if check.outcome == FAILED)

    @property
    def summary(self) -> str:
        """How many checks had which outcome: `7 passed, 1 not run`."""
        counts = {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in OUTCOMES}
        return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def hidden(report: Report) -> Report:
    """The report without what names its user or the host."""
    hide = _own_names_hider()
    checks = tuple(replace(check, result=hide(check.result)) for check in report.checks)
    return replace(report, checks=checks, facts=replace(report.facts, platform=hide(report.facts.platform)))


def to_json(report: Report) -> str:
    """The report as a small JSON text, without what names its user or the host."""
    return json.dumps(asdict(hidden(report)), indent=1) + "\n"


def hide_names(text: str, home: str, user: str, host: str) -> str:
    """The text without a home folder, a user's name and a host's name, each as a word of its own."""
    hidden = text.replace(home, "~") if len(home) > 1 else text
    for name, place in ((user, "USER"), (host, "HOST")):
        if name:
            hidden = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", place, hidden)
    return hidden


def _own_names_hider() -> Callable[[str], str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        user = ""
    return partial(hide_names, home=str(Path.home()), user=user, host=socket.gethostname())
