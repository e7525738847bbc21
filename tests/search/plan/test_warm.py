import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.dataset import list_dataset
from data_pipeline.manifest import Manifest
from search.driver.dry_run import dry_run
from search.pack import packed
from search.plan.priors import build_prior, prior_lines
from search.plan.refit import refit_settings
from search.plan.searcher import StudySearcher, build_searcher
from search.plan.settings import Settings, SettingsError
from search.plan.space_file import read_space
from search.plan.spaces import Space
from search.plan.warm import read_earlier, warm_runs, warm_start
from search.plan.words import load_settings, resume_settings
from search.record import (
    DIVERGED,
    FINISHED,
    STOPPED,
    EarlierTrial,
    RecordError,
    RunFolder,
    RunRecord,
    TrialRecord,
    WarmStart,
    to_json,
)
from tests.conftest import make_epoch

EPOCHS = ["search.max_epochs=10", "search.asha.grace_period=1"]
CNN: dict[str, Any] = {
    "backbone": "cnn",
    "learning_rate": 0.002,
    "batch_size": 64,
    "augment": "strong",
    "label_smoothing": 0.0,
    "normalize": True,
    "layers": 4,
    "filters": 12,
    "growth": 1.5,
    "padding": "same",
    "batch_norm": "block",
    "pooling": "average",
    "dense": [],
    "dropout": 0.2,
}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """Of the shipped sample."""
    return list_dataset(load_settings(["space=cnn2"]).data)


def make_run(
    url: str,
    manifest: Manifest,
    trials: Sequence[tuple[dict[str, Any], float, str]],
    words: Sequence[str] = ("space=cnn2",),
) -> RunFolder:
    """A run with trials of these parameters, values of its metric and endings."""
    folder, settings = RunFolder(url), load_settings([*words, *EPOCHS])
    data = {"fingerprint": manifest.fingerprint, "images": {"train": 408}}
    metric, config = settings.search.metric, settings.to_dict()
    classes = manifest.classes if settings.data.labels == "two_class" else ("normal", "bacterial", "viral")
    folder.write_run(RunRecord(folder.name, 0.0, "", metric, classes, config, {}, data))
    events: list[dict[str, Any]] = []
    for number, (parameters, value, status) in enumerate(trials):
        about = {"time": 1.0, "trial": number}
        events.append({"event": "suggested", **about, "parameters": parameters, "seed": 0, "max_epochs": 10})
        epoch = dataclasses.replace(make_epoch(1, 0.9), **{metric: value})
        events.append({"event": "epoch", **about, "metrics": dataclasses.asdict(epoch)})
        events.append({"event": "ended", **about, "status": status})
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    return folder


def take(manifest: Manifest, runs: str, *words: str) -> tuple[WarmStart, list[str], Space, Settings]:
    settings = load_settings(["space=cnn2", *EPOCHS, f"search.warm_start={runs}", *words])
    space = read_space(settings)
    return *warm_start(read_earlier(space, settings), space, settings, manifest), space, settings


@pytest.fixture
def one(tmp_path: Path, manifest: Manifest) -> RunFolder:
    """Five trials, of which two fit cnn2 and have finished."""
    return make_run(
        f"{tmp_path}/one",
        manifest,
        [
            (CNN, 0.5, FINISHED),
            ({**CNN, "layers": 6}, 0.2, FINISHED),
            ({**CNN, "layers": 3, "dropout": 0.0}, 0.3, FINISHED),
            ({**CNN, "layers": 5}, 0.1, STOPPED),
            ({**CNN, "layers": 5}, 0.1, DIVERGED),
        ],
    )


def test_an_overlapping_run_gives_its_best_configuration_and_its_values(one: RunFolder, manifest: Manifest) -> None:
    warm, lines, space, settings = take(manifest, one.url)
    assert warm.guesses == (EarlierTrial("one", 1, {**CNN, "layers": 6}),)
    assert warm.history == (EarlierTrial("one", 0, CNN, 0.5), EarlierTrial("one", 1, {**CNN, "layers": 6}, 0.2))
    assert lines == [
        "2 of 3 finished trials of one fit this space and count for TPE; 1 has layers, dropout outside",
        "trial 1 is the best of one, its trial 0001",
    ]
    shown = prior_lines(space, settings, warm, lines)
    assert shown[0].startswith("trial 0 is the space's guess")
    assert shown[1:3] == lines


def test_history_is_given_to_tpe(one: RunFolder, manifest: Manifest) -> None:
    warm, _, space, settings = take(manifest, one.url)
    searcher = build_searcher(space, settings, warm)
    assert isinstance(searcher, StudySearcher)
    known = searcher._study.trials
    assert [(each.state.name, each.value, each.params["layers"]) for each in known] == [
        ("COMPLETE", 0.5, 4),
        ("COMPLETE", 0.2, 6),
    ]
    assert searcher.num_trials == 16
    assert searcher.suggest(0).parameters["layers"] == 5  # the guess
    assert searcher.suggest(1).parameters == {**CNN, "layers": 6}


def test_trials_of_earlier_runs_take_the_place_of_random_ones(tmp_path: Path, manifest: Manifest) -> None:
    trials = [({**CNN, "dropout": 0.1 + n / 100}, 0.5 + n / 100, FINISHED) for n in range(12)]
    warm, lines, space, settings = take(manifest, make_run(f"{tmp_path}/many", manifest, trials).url)
    assert lines[0] == "12 of 12 finished trials of many fit this space and count for TPE"
    prior = build_prior(space, settings, warm)
    assert (len(prior.guesses), prior.startup, prior.num_near) == (2, 0, 0)
    searcher, without = build_searcher(space, settings, warm), build_searcher(space, settings)
    for each in (searcher, without):
        each.suggest(0)
        each.suggest(1)
    assert searcher.suggest(2).parameters["dropout"] != without.suggest(2).parameters["dropout"]


def searched(space: Space, settings: Settings, warm: WarmStart, interrupted: int | None) -> list[dict[str, Any]]:
    searching, trials = build_searcher(space, settings, warm), list[TrialRecord]()
    for number in range(9):
        if number == interrupted:
            searching = build_searcher(space, settings, warm)
            searching.restore(trials)
        plan = searching.suggest(number)
        value = plan.parameters["dropout"]
        epochs = [make_epoch(1, value, shifted_calibrated_loss=value)]
        trials.append(TrialRecord(number, plan.parameters, 0, 10, status=FINISHED, epochs=epochs))
        searching.tell(trials[-1])
    return [trial.parameters for trial in trials]


def test_a_resume_needs_the_record_alone_and_is_exact(one: RunFolder, manifest: Manifest, tmp_path: Path) -> None:
    warm, _, space, settings = take(manifest, one.url, "search.seed=4")
    new = RunFolder(f"{tmp_path}/new")
    new.write_warm_start(warm)
    new.write_run(RunRecord("new", 0.0, "", "val_loss", ("a", "b"), settings.to_dict(), {}, {}))
    (tmp_path / "new.zip").write_bytes(packed(new))
    one.fs.rm(one.path, recursive=True)
    for folder in (new, RunFolder(f"{tmp_path}/new.zip")):
        assert folder.read_warm_start() == warm
    resumed = resume_settings(settings.to_dict(), [f"search.warm_start={one.url}", "search.num_trials=16"])
    assert resumed == settings
    undisturbed = searched(space, settings, warm, None)
    for interrupted in (1, 2, 4, 7):
        assert searched(read_space(resumed), resumed, new.read_warm_start(), interrupted) == undisturbed


def test_a_partly_overlapping_run_gives_a_guess_filled_from_the_spaces(tmp_path: Path, manifest: Manifest) -> None:
    plain = {"backbone": "cnn", "learning_rate": 0.005, "layers": 3, "filters": 8, "growth": 1.0, "dropout": 0.45}
    words = ["space=plain2", "search.metric=shifted_calibrated_loss"]
    run = make_run(f"{tmp_path}/plain", manifest, [(plain, 0.3, FINISHED)], words)
    warm, lines, _, _ = take(manifest, run.url)
    (guess,) = warm.guesses
    assert {name: guess.parameters[name] for name in ("learning_rate", "dropout", "layers", "filters", "growth")} == {
        "learning_rate": 0.005,
        "dropout": 0.45,
        "layers": 5,
        "filters": 16,
        "growth": 1.5,
    }
    assert guess.parameters["dense"] == []  # the run's own value, though its space was not asked for it
    assert lines == [
        "plain gives its best configuration alone; its values are of another data.size, another data.split",
        "trial 1 is the best of plain, its trial 0000; augment, layers, filters, growth from the guess",
    ]
    by_chance, lines, _, _ = take(manifest, run.url, "search.prior_share=0")
    assert lines[1] == "trial 0 is the best of plain, its trial 0000; augment, layers, filters, growth from chance"
    assert by_chance == take(manifest, run.url, "search.prior_share=0")[0]


def test_a_configuration_that_this_search_cannot_try_is_no_history(tmp_path: Path, manifest: Manifest) -> None:
    decayed, narrow = {**CNN, "weight_decay": 0.1}, {**CNN, "kernel": 2}
    run = make_run(f"{tmp_path}/r", manifest, [(decayed, 0.5, FINISHED), (narrow, 0.4, FINISHED)])
    warm, lines, _, _ = take(manifest, run.url)
    assert (len(warm.guesses), warm.history) == (1, ())
    assert "0 of 2 finished trials of r fit this space" in lines[0]
    assert lines[0].endswith("2 have kernel, weight_decay outside")
    longer, lines, _, _ = take(manifest, run.url, "search.max_epochs=20")
    assert longer.history == ()
    assert "max_epochs" in lines[0]


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        (["search.metric=val_loss"], [], "its values are of metric val_loss"),
        (["space=cnn3"], [], "its values are of classes normal, bacterial, viral"),
        (["data.size=64"], [], "its values are of another data.size"),
        (["data.split.seed=1"], [], "its values are of another data.split"),
        (["data.interpolation=cubic"], [], "its values are of another data.interpolation"),
        (["train.epoch_images=200"], [], "its values are of another train.epoch_images"),
        (["train.epoch_images=5000"], [], ""),  # a pass is an epoch either way
        (["views=2"], [], ""),  # of frozen backbones, which this space has not
        ([], ["search.searcher=random"], "search.searcher=random has no model"),
    ],
)
def test_values_that_cannot_be_compared_are_left_out(
    then: list[str], now: list[str], reason: str, tmp_path: Path, manifest: Manifest
) -> None:
    words = then if any(word.startswith("space=") for word in then) else ["space=cnn2", *then]
    run = make_run(f"{tmp_path}/one", manifest, [(CNN, 0.5, FINISHED)], words)
    warm, lines, _, _ = take(manifest, run.url, *now)
    assert [guess.parameters for guess in warm.guesses] == [CNN]
    assert bool(warm.history) == (not reason)
    left_out = f"one gives its best configuration alone; {reason}"
    assert lines[0] == (left_out if reason else "1 of 1 finished trials of one fit this space and count for TPE")


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ([], [], ""),
        (["views=2"], [], "other views of an image"),
        (["features=off"], [], "other views of an image"),
        (["features=off", "views=2"], ["features=off"], ""),
        (["weights=none"], ["weights=imagenet"], "other weights"),
    ],
)
def test_values_of_other_weights_or_views_are_left_out(
    then: list[str], now: list[str], reason: str, tmp_path: Path, manifest: Manifest
) -> None:
    settings = load_settings(["space=transfer2"])
    parameters = next(iter(searched(read_space(settings), settings, WarmStart(), None)))
    run = make_run(f"{tmp_path}/heads", manifest, [(parameters, 0.5, FINISHED)], ["space=transfer2", *then])
    warm, lines, _, _ = take(manifest, run.url, "space=transfer2", *now)
    assert bool(warm.history) == (not reason)
    assert reason in lines[0]


def test_other_images_have_other_values(one: RunFolder, manifest: Manifest) -> None:
    fewer = dataclasses.replace(manifest, rows=manifest.rows[1:])
    warm, lines, _, _ = take(fewer, one.url)
    assert warm.history == ()
    assert lines[0].endswith("its values are of other images")


def test_several_runs_are_taken_in_order_and_each_configuration_once(tmp_path: Path, manifest: Manifest) -> None:
    for name, layers in (("a", 4), ("b", 6), ("c", 4)):
        make_run(f"{tmp_path}/{name}", manifest, [({**CNN, "layers": layers}, 0.5, FINISHED)])
    warm, lines, space, settings = take(manifest, "a, b,c,a", f"run.storage={tmp_path}")
    assert [(guess.run, guess.parameters["layers"]) for guess in warm.guesses] == [("a", 4), ("b", 6)]
    assert [trial.run for trial in warm.history] == ["a", "b", "c"]
    assert lines[-1] == "trial 1 is also the best of c, its trial 0000"
    short = take(manifest, "a,b", f"run.storage={tmp_path}", "search.num_trials=2")[1]
    assert short[1] == "trial 1 is the best of a, its trial 0000"
    assert short[3] == "the best of b, its trial 0000, is tried only with more trials (search.num_trials=3)"
    first = [build_prior(space, settings, warm).configuration(n) for n in range(3)]
    assert [each and each["layers"] for each in first] == [5, 4, 6]


def test_a_configuration_whose_confirmation_diverged_is_the_best_of_no_run(tmp_path: Path, manifest: Manifest) -> None:
    run = make_run(f"{tmp_path}/run", manifest, [(CNN, 0.5, FINISHED), ({**CNN, "layers": 5}, 0.6, FINISHED)])
    about = {"time": 2.0, "trial": 2}
    again = {"event": "suggested", **about, "parameters": CNN, "seed": 1, "max_epochs": 10, "repeat": 1, "confirms": 0}
    ended = {"event": "ended", **about, "status": DIVERGED}
    run.write("".join(to_json(event) + "\n" for event in (again, ended)).encode(), "log", "2.jsonl")
    warm, *_ = take(manifest, run.url)
    assert [guess.trial for guess in warm.guesses] == [1]
    assert [entry.trial for entry in warm.history] == [0, 1]


def test_a_backbone_of_several_gives_what_belongs_to_it(tmp_path: Path, manifest: Manifest) -> None:
    """Of a run with other backbones too, the best one with a backbone of this space."""
    big = {"backbone": "vgg16", "learning_rate": 0.001, "frozen": "all", "pooling": "average", "dense": []}
    run = make_run(f"{tmp_path}/all", manifest, [(big, 0.1, FINISHED), (CNN, 0.5, FINISHED)], ["space=all2"])
    warm, _, _, _ = take(manifest, run.url)
    assert [(guess.trial, guess.parameters) for guess in warm.guesses] == [(1, CNN)]


def test_runs_that_give_nothing_are_refused(tmp_path: Path, manifest: Manifest) -> None:
    vgg = {"backbone": "vgg16", "learning_rate": 0.002, "frozen": "all"}
    foreign = make_run(f"{tmp_path}/vgg", manifest, [(vgg, 0.5, FINISHED)], ["space=vgg2"])
    with pytest.raises(SettingsError, match=r"Received: .*/vgg, of vgg16; space cnn2 has cnn\. Leave it out"):
        take(manifest, foreign.url)
    ones = {"batch_size": 32, "augment": "strong", "label_smoothing": 0.0, "layers": 4, "filters": 12, "growth": 1.5}
    fixed = [f"space.parameters.{name}={value}" for name, value in {**ones, "dense": [], "dropout": 0.2}.items()]
    fast = make_run(f"{tmp_path}/fast", manifest, [({**CNN, "learning_rate": 0.5}, 0.5, FINISHED)])
    with pytest.raises(SettingsError, match=r"/fast, of cnn; no value is one that space cnn2 searches\."):
        take(manifest, fast.url, *fixed)
    bare = make_run(f"{tmp_path}/bare", manifest, [(CNN, 0.5, STOPPED)])
    with pytest.raises(SettingsError, match=r"/bare, where none has finished\."):
        take(manifest, bare.url)
    with pytest.raises(RecordError, match="none"):
        take(manifest, "missing", f"run.storage={tmp_path}")
    with pytest.raises(SettingsError, match=r"are sampled\. Received: a space of rows"):
        take(manifest, foreign.url, "space=report2")


def test_a_refit_takes_the_configuration_and_no_warm_start(tmp_path: Path, manifest: Manifest) -> None:
    words = ["space=cnn2", f"search.warm_start={tmp_path}/gone"]
    run = make_run(f"{tmp_path}/one", manifest, [(CNN, 0.5, FINISHED)], words)
    settings = refit_settings([f"refit={run.url}"])
    assert settings.search.warm_start is None
    assert read_earlier(read_space(settings), settings) == []


def test_names_and_folders_are_read_as_the_shell_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for word, expected in (
        ("one,two", ("one", "two")),
        ("'one, two'", ("one", "two")),
        ("~/my runs/one,s3://bucket/two,one", ("/home/me/my runs/one", "s3://bucket/two", "one")),
        ("null", ()),
        ("", ()),
    ):
        assert warm_runs(load_settings([f"search.warm_start={word}"]).search.warm_start) == expected


def test_the_record_is_strict_json(one: RunFolder, manifest: Manifest, tmp_path: Path) -> None:
    warm, _, _, _ = take(manifest, one.url)
    folder = RunFolder(f"{tmp_path}/new")
    folder.write_warm_start(warm)
    assert set(json.loads(folder.read("warm_start.json"))) == {"guesses", "history"}


def test_a_dry_run_shows_what_would_be_taken(
    one: RunFolder, image_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["space=cnn2", *EPOCHS, f"search.warm_start={one.url}", f"data.cache={image_cache}"]
    settings = load_settings(words)
    space = read_space(settings)
    assert dry_run(settings, space, read_earlier(space, settings)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 of 3 finished trials of one fit this space and count for TPE" in printed
    assert "trial 1 is the best of one, its trial 0001" in printed
