"""The code that a benchmark measures: its folder, its commit, and the packages below it."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("search", "models", "data_pipeline", "analysis", "benchmarks")
RESULTS = ("benchmarks/race_laps.json", "benchmarks/curves/*.parquet")  # stored among the code
PACKAGES = (
    "ray",
    "tensorflow",
    "keras",
    "optuna",
    "optuna-integration",
    "keras-tuner",
    "autokeras",
    "syne-tune",
    "smac",
    "dehb",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "plotly",
    "dash",
)


def package_versions() -> dict[str, str]:
    """Python and the packages that matter here, those that are installed."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_commit(code: Sequence[str] = CODE) -> str:
    """The last commit that touched code, marked when code differs from it; empty outside a git checkout.

    Stored results do not change it, so that a session of benchmarks stays at one commit.

    Args:
        code: files and folders.
    """
    code = (*code, *(f":(exclude){path}" for path in RESULTS))
    commit = _git(["log", "-1", "--format=%h", "--abbrev=12", "--", *code])
    return f"{commit}-dirty" if commit and _git(["status", "--porcelain", "--", *code]) else commit


def _git(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
