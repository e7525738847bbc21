"""The house's rules: who imports whom, and what answers without TensorFlow and Ray."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("data_pipeline", "models", "search", "analysis")
# From docs/architecture.md: an arrow that is not here is not allowed.
ALLOWED = {
    "data_pipeline": {"data_pipeline"},
    "models": {"models"},
    "search": {"search", "data_pipeline", "models"},
    "analysis": {"analysis", "search.record"},
}
# What trains, schedules or samples must not know the code that holds test images.
TRAINING_SIDE = ("trial", "training", "driver", "asha", "searcher", "state", "spaces", "checkpoint")


def imports_of(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it, `from a import b` as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_the_arrows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for module in imports_of(file):
            top = module.partition(".")[0]
            if top not in PACKAGES:
                continue
            fits = any(module == allowed or module.startswith(f"{allowed}.") for allowed in ALLOWED[package])
            parent_of_allowed = any(allowed.startswith(f"{module}.") for allowed in ALLOWED[package])
            assert fits or parent_of_allowed, f"{file.relative_to(ROOT)} must not import {module}"


def test_search_record_can_be_read_without_the_rest_of_the_project() -> None:
    modules = {name.rpartition(".")[0] if name.count(".") > 1 else name for name in _own_imports("record")}
    assert modules == {"search.record.patience"}
    assert not _own_imports("patience")


def _own_imports(module: str) -> set[str]:
    return {name for name in imports_of(ROOT / "search" / f"{module}.py") if name.partition(".")[0] in PACKAGES}


@pytest.mark.parametrize("module", TRAINING_SIDE)
def test_training_side_does_not_know_the_evaluation(module: str) -> None:
    found = imports_of(ROOT / "search" / f"{module}.py")
    assert "search.evaluate" not in found
    assert not any("read_images" in name or "prepare_extra_test" in name for name in found)


@pytest.mark.parametrize("package", PACKAGES)
def test_opencv_is_imported_in_one_place(package: str) -> None:
    users = [file.name for file in (ROOT / package).rglob("*.py") if "cv2" in imports_of(file)]
    assert users == (["opencv.py"] if package == "data_pipeline" else [])


@pytest.mark.parametrize(
    "code",
    [
        "import analysis",
        "import search.record",
        "from search.run import main; assert main(['--help']) == 0",
        "from search.run import main; assert main(['space=all3', 'dry_run=true']) == 0",
        "from search.run import main; assert main(['space=nonsense']) == 2",
    ],
)
def test_light_commands_load_neither_tensorflow_nor_ray(code: str) -> None:
    check = "import sys; heavy = {'tensorflow', 'keras', 'ray'} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
