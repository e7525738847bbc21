"""Commands that are run in a folder with packages of the user's own, of the same names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, module: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command as it is installed: without the path on which pytest finds the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    return subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("module", "own"),
    [
        ("search.run", "models"),
        ("search.run", "data_pipeline"),
        ("analysis.report", "search"),
        ("benchmarks", "models"),
    ],
)
def test_a_package_that_stands_before_ours_is_named(tmp_path: Path, module: str, own: str) -> None:
    (tmp_path / own).mkdir()
    (tmp_path / own / "__init__.py").touch()
    done = run(tmp_path, module)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: This project has a package called {own}, and so has the folder")
    assert str(tmp_path) in line or own == "search"
    assert run(tmp_path, module, PYTHONSAFEPATH="1").returncode == 0


@pytest.mark.parametrize("module", ["search.run", "analysis.report"])
def test_folders_without_a_package_are_no_hindrance(tmp_path: Path, module: str) -> None:
    for own in ("models", "search", "data_pipeline", "analysis"):
        (tmp_path / own).mkdir()
        (tmp_path / own / "weights.py").touch()
    done = run(tmp_path, module)
    assert done.returncode == 0, done.stderr
