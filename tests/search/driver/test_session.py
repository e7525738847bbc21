"""What the trials of a search share, and the check that every model of a space can be built."""

import dataclasses
import os
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

import models
from data_pipeline.dataset import Dataset
from data_pipeline.limits import Limits
from models.cnn import CnnConfig
from models.transfer import TransferConfig
from search.driver import session
from search.driver.machine import find_hosts
from search.driver.resources import TrialResources
from search.driver.session import Session, check_models, known_hosts, open_session, ray_session
from search.plan.domains import Choice, Parameter
from search.plan.settings import ClusterSettings, Settings, SettingsError
from search.plan.space_file import read_space
from search.plan.spaces import Space
from search.plan.words import load_settings
from search.trial.features import Backbones

WORDS = ["space=plain2", "data.size=32"]
RESOURCES = TrialResources(1.0, 1, 0.0, 1, "float32", ())


def space_of(**parameters: list[object]) -> Space:
    """A space of these values."""
    return Space("test", tuple(Parameter(name, Choice(tuple(values))) for name, values in parameters.items()))


def test_a_session_has_what_trials_share_and_ends_with_its_block(small_dataset: Dataset) -> None:
    settings = load_settings([*WORDS, "cluster.mode=local", "resources.cpus_per_trial=1"])
    assert settings.train.precision == "auto"
    with open_session(settings, read_space(settings), small_dataset) as session:
        assert ray.is_initialized()
        assert session.settings.train.precision == session.resources.precision != "auto"
        assert dataclasses.replace(session.settings, train=settings.train) == settings
        assert (session.resources.cpu, session.resources.threads) == (1.0, 1)
        assert (session.backbones.weights, session.backbones.store) == ({}, None)
        assert session.dataset is small_dataset
    assert not ray.is_initialized()


def test_a_start_that_takes_too_long_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []

    def init(**options: object) -> None:
        if answer := answers.pop(0):
            raise Exception(answer)

    monkeypatch.setattr(ray, "init", init)
    answers += ["The current node timed out during startup.", ""]
    with ray_session("local"):
        assert not answers
    answers += ["no such address", ""]
    with pytest.raises(SettingsError, match="no such address"), ray_session("local"):
        raise AssertionError("it does not begin")
    assert answers == [""]


def test_what_the_user_has_set_is_kept_no_process_is_started_in_vain_and_ray_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables reach Ray's processes; with PYTHONSAFEPATH=1 a package of the user's in the folder takes no place."""
    names = ("TUNE_GLOBAL_CHECKPOINT_S", "TF_CPP_MIN_LOG_LEVEL", "RAY_CHDIR_TO_TRIAL_DIR", models.ONEDNN)

    def look_and_fail() -> None:
        seen = ray.get(ray.remote(num_cpus=0)(lambda: [os.environ.get(name) for name in names]).remote())
        assert seen == ["60", "0", "0", "1"]
        logs = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
        started = [file.name for file in logs.glob("worker-*.out")]
        assert started
        assert not [name for name in started if "-ffffffff-" in name]  # without a job, hence without our variables
        imported = ray.get(ray.remote(num_cpus=0)(lambda: __import__("models").__file__).remote())
        assert imported == models.__file__
        raise RuntimeError("in the middle")

    (tmp_path / "models.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "sys", SimpleNamespace(flags=SimpleNamespace(safe_path=True)))
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "60")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("RAY_CHDIR_TO_TRIAL_DIR", raising=False)
    monkeypatch.setenv(models.ONEDNN, "1")
    with pytest.raises(RuntimeError, match="in the middle"), ray_session("local"):
        look_and_fail()
    assert not ray.is_initialized()
    assert Path.cwd() == tmp_path


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="taskset is Linux'")
def test_ray_has_the_cpus_that_this_process_may_use() -> None:
    """As under `taskset -c 0`: Ray itself counts the machine's."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert known_hosts(ClusterSettings("local"))[0].cpus == 1
        with ray_session("local") as joined:
            assert not joined
            assert [host.cpus for host in find_hosts()] == [1]
    finally:
        os.sched_setaffinity(0, before)


def test_ray_is_told_of_limits_and_slices_that_it_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert session._local_options(Limits(4, 8_000.0, memory_is_limited=False)) == {"num_cpus": 4}
    limited = session._local_options(Limits(4, 8_000.0, memory_is_limited=True))
    assert limited["object_store_memory"] + limited["_memory"] == 8_000 * 2**20
    assert limited["object_store_memory"] == 2_400 * 2**20
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a,MIG-b,MIG-c")
    assert session._local_options(Limits(4, 8_000.0, memory_is_limited=False))["num_gpus"] == 3
    monkeypatch.setattr(session, "count_gpus", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # hides all GPUs from CUDA; Ray counts a GPU by that number
    assert session._local_options(Limits(4, 8_000.0, memory_is_limited=False))["num_gpus"] == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # Ray counts none itself
    assert "num_gpus" not in session._local_options(Limits(4, 8_000.0, memory_is_limited=False))


def repeats(settings: Settings, dataset: Dataset) -> tuple:
    return Session(settings, read_space(settings), dataset, Backbones({}), RESOURCES).repeats


def test_repeats_have_splits_of_their_own_where_each_draws_one(small_dataset: Dataset) -> None:
    words = [*WORDS, "space=report2", "search.repeats=3", "data.split.fraction=0.2"]
    assert repeats(load_settings(words), small_dataset) == ()
    drawn = repeats(load_settings([*words, "data.split.redraw=true"]), small_dataset)
    assert len(drawn) == 3
    validations = {tuple(split.validation) for split in drawn}
    assert len(validations) == 3
    folds = repeats(load_settings([*WORDS, "space=report2", "data.split.folds=3"]), small_dataset)
    assert sorted(at for split in folds for at in split.validation) == list(range(480))


def test_the_smallest_and_the_largest_model_of_a_space() -> None:
    space = space_of(backbone=["cnn"], layers=[1, 2], filters=[8, 4])
    settings = load_settings(WORDS)
    (least, smallest), (most, largest) = check_models(space, settings, 2)
    assert least < most
    assert (smallest.filters, largest.filters) == (4, 8)
    one = space_of(backbone=["cnn"])
    first, last = check_models(one, settings, 2)
    assert first == last
    assert first[1] == CnnConfig()


def test_of_models_of_one_size_the_one_that_trains_more_of_itself_is_the_largest() -> None:
    space = space_of(backbone=["vgg16"], frozen=["none", "all", "block4_pool"])
    (least, smallest), (most, largest) = check_models(space, load_settings(WORDS), 2)
    assert least == most
    assert isinstance(smallest, TransferConfig)
    assert isinstance(largest, TransferConfig)
    assert (smallest.frozen, largest.frozen) == ("all", "none")


def test_a_model_that_cannot_be_built_is_refused_before_ray_starts() -> None:
    with pytest.raises(SettingsError, match="'test' has a model that cannot be built"):
        check_models(space_of(backbone=["cnn"], layers=[7]), load_settings(WORDS), 2)


def test_a_published_row_needs_its_own_classes() -> None:
    settings = load_settings(["space=report3", "data.labels=two_class"])
    with pytest.raises(SettingsError, match=r"3 classes.*two_class"):
        check_models(read_space(settings), settings, 2)


def test_the_address_of_a_cluster_that_was_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.create_server(("", 0)) as server:
        monkeypatch.setenv("RAY_TMPDIR", short)
        Path(short, "ray").mkdir()
        assert not session._cluster_runs()
        port = server.getsockname()[1]
        Path(short, "ray", "ray_current_cluster").write_text(f"127.0.0.1:{port}")
        assert session._cluster_runs()
        server.close()
        assert not session._cluster_runs()


def test_an_address_at_which_nothing_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for it for minutes, with lines of its own on the screen."""
    with socket.create_server(("", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", place)
        assert session._cluster_runs()
    for named in (place, "no-address"):
        monkeypatch.setenv("RAY_ADDRESS", named)
        with pytest.raises(SettingsError, match=rf"Received: RAY_ADDRESS={named} \(.*cluster=local"):
            session._cluster_runs()
