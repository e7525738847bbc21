"""What the import contracts of pyproject.toml cannot say: no test image in a trial, and what is imported lazily.

`make check` holds the packages and rooms to their order (import-linter).
"""

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("data_pipeline", "models", "search", "analysis")
HEAVY = {"tensorflow", "keras", "ray"}
OPENS_TEST_IMAGES = "read_images"  # of data_pipeline.dataset: the only function that reads a test set's array


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of the packages, deferred ones included."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True)


def names_in(file: Path) -> set[str]:
    """Every name and attribute that a file mentions or imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


@pytest.mark.parametrize("room", ["plan", "trial", "driver"])
def test_what_trains_and_schedules_does_not_reach_the_evaluation(graph: grimp.ImportGraph, room: str) -> None:
    modules = {f"search.{room}"} | graph.find_descendants(f"search.{room}")
    assert len(modules) > 1
    for module in modules:
        reached = graph.find_upstream_modules(module)
        assert not {name for name in reached if name.startswith("search.evaluate")}, module


def test_test_images_are_opened_in_one_room() -> None:
    users = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if OPENS_TEST_IMAGES in names_in(file)
    }
    assert users == {"search/evaluate/sets.py"}


def test_opencv_is_imported_in_one_place(graph: grimp.ImportGraph) -> None:
    assert graph.find_modules_that_directly_import("cv2") == {"data_pipeline.opencv"}


def test_light_commands_load_neither_tensorflow_nor_ray(image_cache: Path) -> None:
    """One after the other in one process: what one of them loads stays. The trial that trains nothing needs Ray."""
    words = ["space=all3", "dry_run=true", f"data.cache={image_cache}"]
    light = [
        "import analysis",
        "import search.record",
        "import models.registry",
        "import search.driver.state, search.driver.session, search.driver.resources, search.driver.share",
        "import search.trial.training, search.trial.features, search.trial.checkpoint, search.evaluate.winner",
        "from search.run import main; assert main(['--help']) == 0",
        f"from search.run import main; assert main({words!r}) == 0",
        "from search.run import main; assert main(['space=nonsense']) == 2",
        "from search.predict import main; assert main(['nowhere', 'x.png']) == 2",
    ]
    check = (
        f"import sys\nfor code in {light!r}:\n    exec(code)\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n    assert not heavy, (code, heavy)\n"
        "import benchmarks.no_op_trial\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
