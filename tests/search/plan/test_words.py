"""One grammar for every command, and settings that take whatever the shell gives."""

from pathlib import Path
from typing import Any

import pytest

from search.plan.settings import UNLIMITED, SettingsError
from search.plan.words import (
    changed_settings,
    cluster_settings,
    load_settings,
    parse_words,
    resume_settings,
    value_of,
    without,
)

ODD_PATHS = (
    "/data/chest xray (1)",
    "/home/données/radios",
    "/a=b,c",
    "/a:b",
    "/it's here",
    '/6" screen',
    "/a[0]{1}",
    "/${HOME}/x#1%@!",
    "relative/path",
    "s3://bucket/a b?c=d",
)
PATH_KEYS = ("data.root", "data.cache", "run.storage", "weights", "resume", "refit", "cluster.fetch")


def read(key: str, value: str) -> Any:
    return value_of(parse_words([f"{key}={value}"]), key)


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize("key", PATH_KEYS)
def test_a_path_is_taken_as_the_file_system_has_it(key: str, path: str) -> None:
    assert read(key, path) == path


@pytest.mark.parametrize(
    ("value", "seconds"), [("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0), ("'30m'", 1800.0), ("null", None)]
)
def test_a_duration_has_a_unit(value: str, seconds: float | None) -> None:
    assert read("search.time_budget", value) == seconds


@pytest.mark.parametrize("value", ["30", "m", "0m", "-5m", "30 minutes", "1h30", "2d", "true", ""])
def test_a_bad_duration_is_one_clear_message(value: str) -> None:
    message = r"takes a duration, a number above 0 with its unit, s, m or h\. Received: .*Write search\.time_budget=30m"
    with pytest.raises(SettingsError, match=message):
        read("search.time_budget", value)


def test_a_time_budget_without_a_number_of_trials_allows_as_many_as_fit() -> None:
    assert load_settings(["space=robust2", "search.time_budget=30m"]).search.num_trials == UNLIMITED
    assert load_settings(["search.time_budget=30m", "search.num_trials=7"]).search.num_trials == 7
    assert load_settings(["search.time_budget=null"]).search.num_trials == 16


def test_a_resumed_run_keeps_its_time_budget_or_gets_another() -> None:
    words = ["space=plain2", "search.time_budget=30m"]
    stored = load_settings(words).to_dict()
    again = resume_settings(stored, words)
    assert (again.search.time_budget, again.search.num_trials) == (1800.0, UNLIMITED)
    assert resume_settings(stored, ["search.time_budget=1h"]).search.time_budget == 3600.0
    older = load_settings(["space=plain2"]).to_dict()
    del older["search"]["time_budget"]
    assert resume_settings(older, []).search.time_budget is None
    assert resume_settings(older, ["search.time_budget=1h"]).search.num_trials == 16


@pytest.mark.parametrize("path", ODD_PATHS)
def test_an_odd_path_survives_the_settings_and_their_record(path: str) -> None:
    words = [f"data.root={path}", f"weights={path}", f"data.cache={path}", f"run.storage={path}"]
    settings = load_settings([*words, f"data.extra_tests={{adults: {path}, b: /b}}"])
    assert {settings.data.root, settings.weights, settings.data.cache, settings.run.storage} == {path}
    assert settings.data.extra_tests == {"adults": path, "b": "/b"}
    assert resume_settings(settings.to_dict(), []) == settings
    assert resume_settings(settings.to_dict(), words) == settings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{a:/x}", {"a": "/x"}),
        ("{a: /x, b: /y z (1)}", {"a": "/x", "b": "/y z (1)"}),
        ("{a: /x,y, b: s3://bucket/b}", {"a": "/x,y", "b": "s3://bucket/b"}),
        ("{a: '/x, b: y', c: \"/z\"}", {"a": "/x, b: y", "c": "/z"}),
        ("{a: C:/x}", {"a": "C:/x"}),
        ("{}", {}),
    ],
)
def test_outside_sets_are_read_alike_when_a_run_begins_and_when_it_is_resumed(value: str, expected: dict) -> None:
    word = f"data.extra_tests={value}"
    assert load_settings([word]).data.extra_tests == expected
    assert resume_settings(load_settings([]).to_dict(), [word]).data.extra_tests == expected


def test_the_folder_of_one_outside_set_is_a_path() -> None:
    assert load_settings(["data.extra_tests.adults=/x y (2)"]).data.extra_tests == {"adults": "/x y (2)"}


def test_the_name_of_an_outside_set_is_the_users_own() -> None:
    for word in ("data.extra_tests.site 2.b=/x", "data.extra_tests={site 2.b: /x}"):
        settings = load_settings([word])
        assert settings.data.extra_tests == {"site 2.b": "/x"}
        assert resume_settings(settings.to_dict(), [word]) == settings


def test_home_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for key in ("data.root", "data.cache", "weights", "run.storage"):
        assert read(key, "~/x rays") == "/home/me/x rays"
    assert read("data.extra_tests", "{a: ~/a}") == {"a": "/home/me/a"}
    assert read("data.root", "~nobody-of-that-name/x") == "~nobody-of-that-name/x"


@pytest.mark.parametrize("key", ["run.storage", "data.root"])
@pytest.mark.parametrize("value", ["my runs", "'my runs'", '"my runs"', r"my\ runs"])
def test_quotes_and_escapes_of_hydra_are_read_alike_everywhere(key: str, value: str) -> None:
    assert read(key, value) == "my runs"
    assert read(key, r"a\,b") == "a,b"


def test_a_pattern_is_taken_as_it_stands() -> None:
    for pattern in (
        r"(\d+)_",
        r"person\(?(\d{1,4})",
        "^([^/]+)/",
        "(a|b)=${x}",
        r"\${x}\\${y}\w",
        r"\${}",
        "'a' or 'b'",
    ):
        assert load_settings([f"data.patient={pattern}"]).data.patient == pattern
    assert read("data.patient", r"'(\d+)_'") == r"(\d+)_"


@pytest.mark.parametrize("key", ["data.root", "data.patient", "run.name", "cluster.fetch"])
def test_null_means_none(key: str) -> None:
    assert read(key, "null") is None
    assert read(key, "'null'") == "null"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("search.num_trials=(3", r"search\.num_trials takes a number.*Received: '\(3'"),
        ("space.parameters.layers={integer: [1, 3}", r"space\.parameters\.layers takes"),
        ("data.extra_tests=/x", r"data\.extra_tests takes names and folders. Received: '/x'"),
        ("data.extra_tests={/x}", r"data\.extra_tests takes names and folders"),
        ("weights={mobilenetv2: null}", r"weights takes imagenet.*Write weights=FILE"),
        ("weights=null", r"weights takes imagenet.*Received: None"),
        ("search.num_trials", "key=value. Received: 'search.num_trials'"),
        ("~search.seed=1", "key=value. Received: '~search.seed=1'"),
        ("search.seed=${oc.env:HOME}", r"search\.seed takes a whole number. Received: '\$\{oc\.env:HOME\}'"),
        ("search.num_trials=null", r"search\.num_trials takes a whole number. Received: null"),
        ("dry_run=perhaps", r"dry_run takes true or false. Received: 'perhaps'"),
        ("data.root=???", r"data\.root takes any value but \?\?\?.*\./\?\?\?"),
        ("data.extra_tests.=/x", r"no such setting. Received: 'data.extra_tests.'"),
        ("space=a b (1)", r"There is no such space. Received: 'a b \(1\)'"),
    ],
)
def test_what_cannot_be_read_is_answered_with_the_settings_name(word: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings([word])
    assert "\n" not in str(caught.value)
    assert "Lexer" not in str(caught.value)
    assert "mismatched input" not in str(caught.value)


def test_a_resumed_command_may_repeat_what_the_run_has() -> None:
    words = ["space=cnn3", "data=kaggle", "search.max_epochs=4", "train.learning_rate=1e-3", "weights=/w (1).h5"]
    words += ["space.parameters.filters={choice: [4, 8]}", "train.precision=auto", "dry_run=false"]
    stored = load_settings(words).to_dict()
    stored["train"]["precision"] = "float32"  # a search records what it chose
    resumed = resume_settings(stored, [*words, "resume=k"], began=words)
    assert resumed.to_dict() == {**stored, "resume": "k"}
    with pytest.raises(SettingsError, match=r"train.precision=auto; the run has train.precision=float32"):
        resume_settings(stored, words)
    for word, message in (
        ("search.max_epochs=5", r"Received: search\.max_epochs=5; the run has search\.max_epochs=4"),
        ("space=cnn2", "Received: space=cnn2; the run has space=cnn3"),
        ("data=sample", "Received: data=sample; the run has data=kaggle"),
        ("space.parameters.filters={choice: [4]}", "the run has space.parameters.filters={'choice': "),
    ):
        with pytest.raises(SettingsError, match=message):
            resume_settings(stored, [word], began=words)


@pytest.mark.parametrize("word", ["search.max_epochs='4'", "train.learning_rate='1e-3'", "dry_run=no"])
def test_a_repeated_value_is_compared_as_the_setting_has_it(word: str) -> None:
    stored = load_settings(["search.max_epochs=4"]).to_dict()
    assert resume_settings(stored, [word]).to_dict() == stored


def test_a_changed_value_of_the_first_command_does_not_come_back() -> None:
    stored = load_settings(["search.num_trials=40", "search.seed=3"]).to_dict()
    assert resume_settings(stored, ["search.num_trials=10"], began=["search.num_trials=10"]).search.num_trials == 10
    assert resume_settings(stored, ["search.seed=3"]).search.seed == 3


def test_parsed_words_stay_as_they_are() -> None:
    words = parse_words(["space=cnn2", "search.seed=1", "search.seed=2"])
    assert parse_words(words) == words
    assert value_of(words, "search.seed") == 2
    assert value_of(words, "data.root") is None
    assert [word.text for word in without(words, "search.seed")] == ["space=cnn2"]
    cluster, others = cluster_settings([*words, "cluster=local"])
    assert (cluster.mode, others) == ("local", words)


def test_a_question_about_other_classes_than_the_images_have_is_not_asked() -> None:
    asked = load_settings(["space=plain2", "data.root=/x"]).space.question
    assert "pneumonia" in asked
    assert load_settings(["space=plain2", "data.labels=two_class"]).space.question == asked
    other = load_settings(["space=plain2", "data.root=/x", "data.labels=findings.csv"]).space.question
    assert other == "Which configuration of the space plain2 is best for these images?"
    assert load_settings(["space=plain2", "data.labels=folders", "space.question=Why?"]).space.question == "Why?"


def test_single_settings_are_replaced_by_the_same_grammar() -> None:
    settings = load_settings([])
    assert changed_settings(settings, ["data.root=~x (1)"]).data.root == "~x (1)"


def test_a_weights_file_below_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "w 1.h5").write_bytes(b"")
    assert Path(load_settings(["weights=~/w 1.h5"]).weights).is_file()


FINDINGS = ["data.root=/x", "data.labels=/x/a.csv", "data.task=multilabel"]


def test_findings_are_judged_by_their_mean_auc_unless_another_metric_is_named() -> None:
    settings = load_settings(FINDINGS)
    assert settings.search.metric == "shifted_auc"
    assert load_settings([*FINDINGS, "search.metric=val_loss"]).search.metric == "val_loss"
    stored = settings.to_dict()
    assert resume_settings(stored, FINDINGS, began=FINDINGS).to_dict() == stored
    del stored["data"]["task"]  # an older run has none
    stored["search"]["metric"] = "val_accuracy"
    assert not resume_settings(stored, []).data.is_multilabel


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "search.metric=shifted_calibrated_loss",
            "val_loss, val_auc, shifted_loss, shifted_auc. Received: 'shifted_cal",
        ),
        ("search.metric=val_accuracy", "Received: 'val_accuracy'"),
        ("space=report2 data.split.method=stratified", "data.task=multilabel with a space of rows"),
        ("evaluate.prevalence=0.1", "Received: 0.1 with data.task=multilabel"),
    ],
)
def test_what_findings_do_not_have_is_refused(word: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings([*FINDINGS, *word.split()])
