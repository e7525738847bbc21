import pytest

from search.plan.settings import Settings, SettingsError
from search.plan.space_file import read_space
from search.plan.words import changed_settings, load_settings, resume_settings, space_names


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.num_trial=3", r"no such setting. Received: 'search.num_trial'.*search.num_trials"),
        ("space=cn2", r"no such space. Received: 'cn2'.*cnn2"),
        ("data=kagle", r"no such data. Received: 'kagle'.*kaggle"),
        ("search.num_trials=many", r"search.num_trials.*many"),
        ("search.confirm=-1", r"search.confirm must be at least 0. Received: -1"),
        ("data.split.redraw=true", r"data.split.redraw.*Received: search.repeats=1"),
        ("data.split.folds=five", r"data.split.folds takes a whole number. Received: 'five'"),
        ("search.num_trials=0", r"search.num_trials must be at least 1. Received: 0"),
        ("search.searcher=tpee", r"search.searcher must be one of.*tpee.*tpe"),
        ("train.learning_rate=-1", r"train.learning_rate must be greater than 0. Received: -1"),
        ("search.asha.reduction_factor=1", r"must be greater than 1"),
        ("run.name=../../x", r"run.name is one folder name"),
        ("run.name=a.zip", r"not ending in \.zip\. Received: 'a\.zip'"),  # it would be read as a packed run
        ("resources.gpus_per_trial=-0.5", r"at least 0. Received: -0.5"),
        ("run.patience=nan", r"run.patience must be at least 0. Received: nan"),
        ("train.weight_decay=nan", r"train.weight_decay must be at least 0. Received: nan"),
        ("num_trials", r"key=value. Received: 'num_trials'"),
        ("data.extra_tests={shifted: folder}", r"Received: 'shifted', which every run has"),
        ("cluster.workers=[{count: 8}]", r"kinds of hosts with cpus.*Received: \{'count': 8"),
        ("cluster.workers=[{cpus: 8, gpu: 1}]", r"Received: \{'cpus': 8.*Write cluster.workers=\[\{count: 8"),
        ("cluster.workers=[{cpus: 8, count: 1.5}]", r"'count': 1.5"),
        ("evaluate.operating_point={sensitivity: 0.9, specificity: 0.9}", r"one rate.*Received: .*Write 'evaluate.op"),
        (
            "evaluate.operating_point={recall: 0.9}",
            r"one rate, sensitivity or specificity. Received: \{'recall': 0.9\}",
        ),
        (
            "evaluate.operating_point={sensitivity: 95}",
            r"operating_point.sensitivity must lie between 0 and 1.*Received: 95",
        ),
        ("evaluate.operating_point.specificity=0", r"operating_point.specificity must lie between 0 and 1"),
        ("evaluate.operating_point={sensitivity: high}", r"operating_point.sensitivity.*high"),
        ("evaluate.prevalence=1", r"evaluate.prevalence must lie between 0 and 1, both excluded. Received: 1"),
        ("search=3", r"Received: search=.*Set search.num_trials=VALUE"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings([override])
    assert "\n" not in str(caught.value)


def test_a_winner_is_replaced_by_the_command_that_asks_for_it_alone() -> None:
    asked = load_settings(["evaluate.replace_winner=true", "evaluate.operating_point={sensitivity: 0.9}"])
    resumed = resume_settings(asked.to_dict(), [])
    assert asked.evaluate.replace_winner
    assert not resumed.evaluate.replace_winner
    assert resumed.evaluate.operating_point == {"sensitivity": 0.9}
    assert resume_settings(asked.to_dict(), ["evaluate.replace_winner=true"]).evaluate.replace_winner
    assert resume_settings(asked.to_dict(), ["evaluate.operating_point=null"]).evaluate.operating_point is None


def test_hosts_that_an_autoscaler_may_start_are_kinds_of_hosts() -> None:
    given = "cluster.workers=[{count: 8, cpus: 8, gpus: 1, memory_gb: 24.5}, {cpus: 64}]"
    assert load_settings([given]).cluster.workers == [
        {"count": 8, "cpus": 8, "gpus": 1, "memory_gb": 24.5},
        {"cpus": 64},
    ]
    assert load_settings([]).cluster.workers == []


def test_the_first_rung_lies_within_a_trial() -> None:
    with pytest.raises(SettingsError, match=r"must not exceed search.max_epochs \(10\)"):
        load_settings(["space=plain2", "search.asha.grace_period=11"])


def test_every_shipped_space_is_read() -> None:
    names = space_names()
    assert len(names) == 17
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
    settings = load_settings(["space=plain2", "space.parameters.filters={choice: [4]}"])
    assert settings.space.parameters["filters"] == {"choice": [4]}


def test_settings_survive_their_record() -> None:
    settings = load_settings(["space=all3", "search.num_trials=7"])
    assert resume_settings(settings.to_dict(), []) == settings


def test_a_resumed_run_may_grow_but_not_change() -> None:
    stored = load_settings(["space=plain2"]).to_dict()
    assert resume_settings(stored, ["search.num_trials=99", "resume=auto", "space=plain2"]).search.num_trials == 99
    assert resume_settings(stored, ["search.repeats=5"]).search.repeats == 5
    stored["data"]["extra_tests"] = {"a": "/a", "b": "/b"}
    assert resume_settings(stored, ["data.extra_tests={a: /c}"]).data.extra_tests == {"a": "/c"}
    assert resume_settings(stored, ["data.extra_tests.a=/c"]).data.extra_tests == {"a": "/c", "b": "/b"}
    # an outside set may call findings otherwise
    assert resume_settings(stored, ["data.classes.a=[b, c]", "data.columns={image: x}"]).data.classes == {
        "a": ["b", "c"]
    }
    with pytest.raises(SettingsError, match=r"train\.batch_size"):
        resume_settings(stored, ["train.batch_size=64"])
    with pytest.raises(SettingsError, match="space"):
        resume_settings(stored, ["space=plain3"])
    stored["search"]["repeats"] = 5
    with pytest.raises(SettingsError, match=r"more repeats, not fewer.*the run has 5"):
        resume_settings(stored, ["search.repeats=3"])


def test_an_older_run_confirms_nothing_unless_it_is_asked_to() -> None:
    stored = load_settings(["space=plain2"]).to_dict()
    del stored["search"]["confirm"]
    assert resume_settings(stored, []).search.confirm == 0
    assert resume_settings(stored, ["search.confirm=3"]).search.confirm == 3


def test_repeats_on_splits_of_their_own_are_not_confirmed() -> None:
    for own in (["search.repeats=2", "data.split.redraw=true"], ["data.split.folds=2"]):
        with pytest.raises(SettingsError, match=rf"same validation images.*{own[-1]}\. Leave search\.confirm out"):
            load_settings(["space=report2", *own, "search.confirm=2"])


def test_a_configuration_has_as_many_repeats_as_folds() -> None:
    settings = load_settings(["space=report2", "data.split.folds=4"])
    assert settings.search.repeats == 4
    assert resume_settings(settings.to_dict(), []) == settings
    for words in (["search.repeats=1"], ["search.repeats=5"]):
        with pytest.raises(SettingsError, match=rf"{words[0]} with data.split.folds=4. Leave search.repeats out"):
            load_settings(["space=report2", "data.split.folds=4", *words])
    with pytest.raises(SettingsError, match=r"search.repeats=5 with data.split.folds=4"):
        resume_settings(settings.to_dict(), ["search.repeats=5"])


def test_single_settings_are_set_anew() -> None:
    settings = load_settings(["space=plain3"])
    found = changed_settings(settings, ["data.root=/images", "data.extra_tests={a: /b}", "search.num_trials=7"])
    assert (found.data.root, found.data.extra_tests, found.search.num_trials) == ("/images", {"a": "/b"}, 7)
    assert (found.data.labels, found.space) == ("three_class", settings.space)
    assert settings.search.num_trials != 7
    for word, message in (
        ("space=plain2", r"Received: 'space=plain2'. Use space\.NAME=VALUE"),
        ("data=kaggle", r"data\.NAME=VALUE"),
        ("search.num_trials=many", r"search\.num_trials.*many"),
        ("search.num_trial=2", "There is no such setting"),
        ("search.seed=1,2", "one value, key=value. Received: 'search.seed=1,2'"),
        ("~search.seed=1", "one value, key=value. Received: '~search.seed=1'"),
        ("dry_run", "key=value"),
    ):
        with pytest.raises(SettingsError, match=message):
            changed_settings(settings, [word])


def test_defaults_in_the_files_and_in_the_classes_agree() -> None:
    composed = load_settings(["space=vgg2"]).to_dict()
    defaults = Settings().to_dict()
    del composed["space"], defaults["space"]
    assert composed == defaults


def test_a_pattern_keeps_its_backslashes() -> None:
    assert load_settings([r"data.patient='(\d+)_'"]).data.patient == r"(\d+)_"
