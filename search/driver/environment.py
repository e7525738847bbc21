"""Describes what a run was made with: versions, git commit, hardware, oneDNN; no other variable, hence no secret."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data_pipeline.limits import cpu_count
from models import ONEDNN, USERS_ONEDNN

_PACKAGES = ("xray-search", "ray", "tensorflow", "keras", "optuna", "numpy", "opencv-python-headless", "hydra-core")


def describe_environment() -> dict[str, Any]:
    """Versions, git commit, hardware and oneDNN of this process, for a run's record."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "commit": _commit(),
        "platform": platform.platform(),
        "processor": _processor(),
        "variables": {ONEDNN: os.environ[ONEDNN]},
        "cpus": cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def set_onednn(recorded: str | None = None, users: str | None = USERS_ONEDNN) -> str:
    """Set oneDNN for this process and its children, before TensorFlow is imported.

    Args:
        recorded: the value that the resumed run began with; None for a new run, and for a run that recorded none.
        users: the value that the user has set; it takes precedence.

    Returns:
        A sentence for the user; empty when there is nothing to report.
    """
    os.environ[ONEDNN] = value = users or recorded or "1"
    if recorded not in (None, value):
        return (
            f"The run began with {ONEDNN}={recorded}; {value}, which is set in the environment, is used from here on. "
            "Later epochs may differ in their last digits."
        )
    if value.lower() not in ("1", "true"):  # what TensorFlow reads as on
        return (
            f"{ONEDNN}={value} is set and kept. With 1, small CNNs train three to seven times faster on CPUs without "
            "AVX-512."
        )
    return ""


def recorded_onednn(environment: Mapping[str, Any]) -> str | None:
    """The value in a run's recorded environment; None for runs from before it was recorded."""
    value: str | None = environment.get("variables", {}).get(ONEDNN)
    return value


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of this source tree, marked if files differ from it; empty outside a git checkout."""
    folder = Path(__file__).parents[2]
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
