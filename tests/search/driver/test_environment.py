"""oneDNN is on in every process that imports TensorFlow, unless the user says otherwise."""

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


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("0", "0")])
def test_any_process_that_builds_a_model_has_it(own: str | None, expected: str) -> None:
    variables = {key: value for key, value in os.environ.items() if key != ONEDNN}
    if own is not None:
        variables[ONEDNN] = own
    # Found by TensorFlow's own reading of it, after a model was built by our one door.
    code = (
        "from models.registry import build_model, model_config\n"
        "build_model(model_config('cnn', {}), (32, 32, 1), 2)\n"
        "from tensorflow.python.util import _pywrap_util_port as port\n"
        "print(int(port.IsMklEnabled()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


def test_rays_workers_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("0", "1"):
        monkeypatch.setenv(ONEDNN, value)
        with ray_session("local"):
            seen = ray.get(ray.remote(num_cpus=0)(lambda: os.environ.get(ONEDNN)).remote())
        assert seen == value
