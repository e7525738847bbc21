from typing import Any

import pytest

from search.settings import (
    Settings,
    SettingsError,
    load_settings,
    refit_settings,
    resume_settings,
    space_names,
)
from search.spaces import listed_plans, read_space


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.num_trial=3", r"no setting called 'search.num_trial'.*search.num_trials"),
        ("space=cn2", r"no space called 'cn2'.*cnn2"),
        ("data=kagle", r"no data called 'kagle'.*kaggle"),
        ("search.num_trials=many", r"search.num_trials.*many"),
        ("data.split.redraw=true", r"data.split.redraw.*got search.repeats=1"),
        ("search.num_trials=0", r"search.num_trials must be at least 1; got 0"),
        ("search.searcher=tpee", r"search.searcher must be one of.*tpee.*tpe"),
        ("train.learning_rate=-1", r"train.learning_rate must be greater than 0; got -1"),
        ("search.asha.grace_period=11", r"must not exceed search.max_epochs"),
        ("search.asha.reduction_factor=1", r"must be greater than 1"),
        ("run.name=../../x", r"run.name is one folder name"),
        ("resources.gpus_per_trial=-0.5", r"at least 0; got -0.5"),
        ("num_trials", r"key=value; got 'num_trials'"),
        ("data.extra_tests={shifted: folder}", r"'shifted' is the name of a set that every run has"),
        ("search=3", r"'search' is a group of settings.*search.num_trials=VALUE"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings([override])
    assert "\n" not in str(caught.value)


def test_every_shipped_space_is_read() -> None:
    names = space_names()
    assert len(names) == 13
    for name in names:
        settings = load_settings([f"space={name}"])
        space = read_space(settings)
        assert settings.space.name == name
        assert space.parameters or space.rows
        assert settings.space.question


def test_the_command_line_wins_over_the_space() -> None:
    assert load_settings(["space=report3"]).search.scheduler == "none"
    assert load_settings(["space=report3", "search.scheduler=asha"]).search.scheduler == "asha"


def test_a_space_is_changed_from_the_command_line() -> None:
    settings = load_settings(["space=cnn2", "space.parameters.filters={choice: [4]}"])
    assert settings.space.parameters["filters"] == {"choice": [4]}


def test_settings_survive_their_record() -> None:
    settings = load_settings(["space=all3", "search.num_trials=7"])
    assert resume_settings(settings.to_dict(), []) == settings


def test_a_resumed_run_may_grow_but_not_change() -> None:
    stored = load_settings(["space=cnn2"]).to_dict()
    assert resume_settings(stored, ["search.num_trials=99", "resume=auto", "space=cnn2"]).search.num_trials == 99
    assert resume_settings(stored, ["search.repeats=5"]).search.repeats == 5
    stored["data"]["extra_tests"] = {"a": "/a", "b": "/b"}
    assert resume_settings(stored, ["data.extra_tests={a: /c}"]).data.extra_tests == {"a": "/c"}
    assert resume_settings(stored, ["data.extra_tests.a=/c"]).data.extra_tests == {"a": "/c", "b": "/b"}
    with pytest.raises(SettingsError, match=r"train\.batch_size"):
        resume_settings(stored, ["train.batch_size=64"])
    with pytest.raises(SettingsError, match="space"):
        resume_settings(stored, ["space=cnn3"])


CONFIGURATION = {"backbone": "cnn", "layers": 2, "dense": [], "learning_rate": 0.003}


def stored_run() -> dict[str, Any]:
    words = ["space=robust2", "run.name=one", "run.storage=elsewhere", "resources.cpus_per_trial=2"]
    return load_settings([*words, "data.size=96", "train.precision=mixed_bfloat16"]).to_dict()


def test_the_best_configuration_of_a_run_is_trained_on_five_splits() -> None:
    settings = refit_settings(stored_run(), CONFIGURATION, [])
    plans = listed_plans(read_space(settings), settings)
    assert plans is not None
    assert [(plan.repeat, plan.parameters, plan.max_epochs) for plan in plans] == [
        (repeat, CONFIGURATION, 40) for repeat in range(5)
    ]
    assert (settings.data.split.redraw, settings.search.scheduler, settings.evaluate.ensemble) == (True, "none", 5)
    kept = load_settings(["space=robust2"])
    assert (settings.data.size, settings.search.metric, settings.train.plateau) == (96, "shifted_loss", 4)
    assert settings.data.labels == kept.data.labels
    assert settings.space.name == "robust2-refit"
    # What belonged to that run's place and machine is chosen anew.
    assert (settings.run, settings.resources, settings.train.precision) == (kept.run, kept.resources, "auto")


def test_what_is_trained_again_may_be_set_otherwise_but_for_its_space() -> None:
    words = ["search.repeats=3", "data.root=/images", "run.name=two", "data.extra_tests={a: /b}"]
    settings = refit_settings(stored_run(), CONFIGURATION, words)
    assert (settings.search.repeats, settings.data.root, settings.run.name) == (3, "/images", "two")
    assert settings.data.extra_tests == {"a": "/b"}
    for word, message in (
        ("space=cnn2", r"refit keeps the space of the run; got 'space=cnn2'"),
        ("data=kaggle", r"data\.NAME=VALUE"),
        ("search.repeats=1", "search.repeats=1"),
        ("search.repeats=many", r"search\.repeats"),
        ("search.repeat=2", "There is no setting called"),
        ("dry_run", "key=value"),
    ):
        with pytest.raises(SettingsError, match=message):
            refit_settings(stored_run(), CONFIGURATION, [word])


def test_defaults_in_the_files_and_in_the_classes_agree() -> None:
    composed = load_settings(["space=cnn2"]).to_dict()
    defaults = Settings().to_dict()
    del composed["space"], defaults["space"]
    assert composed == defaults
