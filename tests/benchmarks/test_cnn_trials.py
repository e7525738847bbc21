"""The CNN trials: every side gets the same trials, images and split."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cnn_trials
from benchmarks.cnn_trials import EPOCHS, FIXED, GRID, Timing
from benchmarks.measurement import Machine, Options
from benchmarks.peers.task import Task, load_images, make_task, read_outcome, read_task, write_task
from benchmarks.searches import fixed_words, listed_words
from data_pipeline.dataset import Dataset
from data_pipeline.settings import DataSettings
from data_pipeline.share import training_data
from search.plan.space_file import read_space
from search.plan.spaces import listed_plans
from search.plan.words import load_settings

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return make_task(Options(), tmp_path_factory.mktemp("task"), GRID, FIXED, EPOCHS, DataSettings().image.size)


def test_the_peers_trials_are_those_of_our_command(task: Task) -> None:
    words = ["space=plain2", *fixed_words(FIXED), *listed_words(GRID), "search.searcher=grid"]
    settings = load_settings([*words, f"search.max_epochs={EPOCHS}"])
    plans = listed_plans(read_space(settings), settings)
    assert plans is not None
    ours, theirs = [plan.parameters for plan in plans], task.trials
    assert len(ours) == 8
    assert all(plan.max_epochs == task.epochs for plan in plans)
    assert all(trial in ours for trial in theirs)
    assert all(trial in theirs for trial in ours)


def test_the_peers_images_are_those_that_our_trials_see(task: Task, small_dataset: Dataset) -> None:
    images, data = load_images(replace(task, size=32)), training_data(small_dataset)
    np.testing.assert_array_equal(images.train, data.images[data.train])
    np.testing.assert_array_equal(images.validation, data.images[data.validation])
    np.testing.assert_array_equal(images.validation_labels[:, 0], data.labels[data.validation])


def test_a_task_is_read_back_with_the_same_trials(task: Task, tmp_path: Path) -> None:
    write_task(task, tmp_path / "task.json")
    read = read_task(str(tmp_path / "task.json"))
    assert (read.trials, list(read.paths), list(read.train)) == (task.trials, list(task.paths), list(task.train))


def test_an_outcome_is_the_last_line_that_was_printed() -> None:
    outcome = read_outcome('some chatter\n{"ended": 5.0, "trials": [[{"layers": 1}, 2.5]]}\n')
    assert (outcome.ended, outcome.trials) == (5.0, (({"layers": 1}, 2.5),))


def test_ratios_and_shares(task: Task) -> None:
    timings = {"ours": [Timing(50.0, 0.2, startup=9.0)], "keras_loop": [Timing(100.0, 0.4)]}
    timings |= {"keras_tuner_search": [Timing(200.0, 0.4)], "ray_tune": [Timing(80.0, 0.4)]}
    found = cnn_trials.summarize(timings, task, MACHINE)
    assert {each.peer.name: (each.ratio, each.is_reached) for each in found.comparisons} == {
        "a plain Keras loop": (0.5, False),
        "KerasTuner": (0.25, True),
        "plain Ray Tune": (0.625, False),
    }
    assert [each.median for each in found.others] == [9.0, 20.0, 40.0, 40.0, 40.0]


def test_peers_as_users_run_them_have_the_bound_of_a_cpu_without_onednn(task: Task) -> None:
    timings = {"ours": [Timing(20.0, 0.2, startup=9.0)], "keras_loop": [Timing(100.0, 0.4)]}
    timings["keras_loop with oneDNN set"] = [Timing(60.0, 0.4)]
    found = cnn_trials.summarize(timings, task, MACHINE, onednn_by_itself=False)
    assert [(each.peer.name, each.bound.value) for each in found.comparisons] == [
        ("a plain Keras loop", 0.15),
        ("a plain Keras loop with oneDNN set", 0.4),
    ]


def test_work_is_counted_for_training_and_validation(task: Task) -> None:
    one = replace(task, grid={"layers": [1], "batch_norm": ["none"], "learning_rate": [0.001]}, epochs=1)
    forward = 2 * 222 * 222 * 9 * 8 + 2 * (111 * 111 * 8 * 16 + 16)
    assert cnn_trials.training_flops(one) == (3 * len(task.train) + len(task.validation)) * forward
    assert cnn_trials.training_flops(replace(one, epochs=3)) == 3 * cnn_trials.training_flops(one)
