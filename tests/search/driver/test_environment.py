"""oneDNN is on in every process that imports TensorFlow, unless the user says otherwise."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from models import ONEDNN
from search.driver.environment import describe_environment, recorded_onednn, set_onednn
from search.driver.session import ray_session

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("recorded", "users", "value", "said"),
    [
        (None, None, "1", ""),
        (None, "1", "1", ""),
        (None, "0", "0", "is set and kept"),
        (None, "true", "true", ""),
        ("1", None, "1", ""),
        ("0", None, "0", "is set and kept"),
        ("1", "0", "0", "began with TF_ENABLE_ONEDNN_OPTS=1"),
        ("0", "1", "1", "began with TF_ENABLE_ONEDNN_OPTS=0"),
    ],
)
def test_the_users_value_wins_then_the_recorded_one(
    recorded: str | None, users: str | None, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ONEDNN, "to be replaced")
    news = set_onednn(recorded, users)
    assert os.environ[ONEDNN] == value
    assert said in news
    assert bool(news) == bool(said)
    assert recorded_onednn(describe_environment()) == value


def test_runs_of_before_recorded_none() -> None:
    assert recorded_onednn({"python": "3.11.7"}) is None


def variables_with(own: str | None) -> dict[str, str]:
    """The environment of this process, with that value of the variable or without it."""
    others = {key: value for key, value in os.environ.items() if key != ONEDNN}
    return others if own is None else {**others, ONEDNN: own}


def test_an_empty_value_is_none_of_the_users() -> None:
    code = f"import os, models; print(os.environ[{ONEDNN!r}])"
    for own in (None, ""):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=variables_with(own), capture_output=True, text=True
        )
        assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("0", "0")])
def test_any_process_that_builds_a_model_has_it(own: str | None, expected: str) -> None:
    # Found by TensorFlow's own reading of it, after a model was built by our one door.
    code = (
        "from models.registry import build_model, model_config\n"
        "build_model(model_config('cnn', {}), (32, 32, 1), 2)\n"
        "from tensorflow.python.util import _pywrap_util_port as port\n"
        "print(int(port.IsMklEnabled()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables_with(own), capture_output=True, text=True
    )
    assert done.stdout.strip() == expected, done.stderr


def _modules_that_use_tensorflow() -> list[str]:
    """Our modules that import TensorFlow or Keras, in a function too; the peers of the benchmarks run as users run."""
    found = []
    for folder in ("models", "data_pipeline", "search", "analysis", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            names = {
                name.partition(".")[0] for node in ast.walk(ast.parse(file.read_text())) for name in _imported(node)
            }
            if names & {"tensorflow", "keras"} and "peers" not in file.parts:
                found.append(".".join(file.relative_to(ROOT).with_suffix("").parts))
    return found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_no_module_of_ours_can_import_tensorflow_without_it() -> None:
    modules = _modules_that_use_tensorflow()
    assert len(modules) > 20
    code = (
        "import importlib, os, sys\n"
        f"for name in {modules}:\n"
        f"    os.environ.pop({ONEDNN!r}, None)\n"
        "    for own in [key for key in sys.modules if key.partition('.')[0] in {ours}]:\n"
        "        del sys.modules[own]\n"
        "    importlib.import_module(name)\n"
        f"    print(name, os.environ.get({ONEDNN!r}), 'tensorflow' in sys.modules)"
    ).replace("{ours}", "('models', 'data_pipeline', 'search', 'analysis', 'benchmarks')")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name} 1 False" for name in modules], done.stderr


def test_a_process_that_we_start_does_not_take_our_value_for_the_users() -> None:
    code = (
        "import subprocess, sys, models\n"
        "print(models.USERS_ONEDNN)\n"
        "words = [sys.executable, '-c', 'import models; print(models.USERS_ONEDNN)']\n"
        "print(subprocess.run(words, env=models.users_environment(), capture_output=True, text=True).stdout)"
    )
    for own in (None, "0"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=variables_with(own), capture_output=True, text=True
        )
        assert done.stdout.split() == [str(own)] * 2, done.stderr


def test_rays_workers_have_the_value_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """test_session.py sees them have ours."""
    monkeypatch.setenv(ONEDNN, "0")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {"env_vars": {ONEDNN: "0"}}}))
    with ray_session("local"):
        seen = ray.get(ray.remote(num_cpus=0)(lambda: os.environ.get(ONEDNN)).remote())
    assert seen == "0"
