import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.split import SplitSettings
from search.pack import packed
from search.plan.refit import best_configuration, refit_settings
from search.plan.settings import Settings, SettingsError
from search.plan.space_file import check_unused, read_space
from search.plan.spaces import listed_plans
from search.plan.words import load_settings, resume_settings
from search.record import FINISHED, STOPPED, RecordError, RunFolder, RunRecord, TrialRecord, to_json
from tests.conftest import make_epoch

GOOD: dict[str, Any] = {"backbone": "cnn", "layers": 2, "dense": [], "learning_rate": 0.003}
FAIR, POOR = {**GOOD, "layers": 3}, {**GOOD, "layers": 1}


def make_trial(
    number: int, parameters: dict[str, Any], val_loss: float | None, status: str = FINISHED, max_epochs: int = 7
) -> TrialRecord:
    epochs = [] if val_loss is None else [make_epoch(1, val_loss)]
    return TrialRecord(number, parameters, seed=number, max_epochs=max_epochs, status=status, epochs=epochs)


def make_run(folder: RunFolder, trials: Sequence[TrialRecord], others: Sequence[str] = ()) -> RunFolder:
    """A run of robust3 as its records tell of it: images of 96 pixels, elsewhere, on another machine."""
    words = ["space=robust3", "data.size=96", "search.metric=val_loss", "train.precision=mixed_bfloat16"]
    place = ["run.storage=elsewhere", "resources.cpus_per_trial=2", "evaluate.enabled=false"]
    config = load_settings([*words, *place, *others]).to_dict()
    folder.write_run(RunRecord("one", 0.0, "", "val_loss", ("a", "b", "c"), config, {}, {}))
    events: list[dict[str, Any]] = []
    for trial in trials:
        about = {"time": 1.0, "trial": trial.number}
        chosen = {"parameters": trial.parameters, "seed": trial.seed, "max_epochs": trial.max_epochs, "row": ""}
        counts = {"repeat": 0, "parameter_count": 1, "trainable_count": 1}
        events.append({"event": "suggested", **about, **chosen, **counts})
        for epoch in trial.epochs:
            metrics = dataclasses.asdict(epoch)
            events.append({"event": "epoch", **about, "metrics": metrics, "host": "node", "process": 1})
        events.append({"event": "ended", **about, "status": trial.status, "reason": ""})
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    trials = [make_trial(0, POOR, 0.5), make_trial(1, FAIR, 0.1, STOPPED), make_trial(2, GOOD, 0.3)]
    return make_run(RunFolder(str(tmp_path / "one")), trials)


def test_the_best_finished_configuration_is_trained_to_its_end_on_five_folds(run: RunFolder) -> None:
    settings = refit_settings([f"refit={run.url}"])
    plans = listed_plans(read_space(settings), settings)
    assert plans is not None
    assert [(plan.repeat, plan.parameters, plan.max_epochs) for plan in plans] == [(n, GOOD, 7) for n in range(5)]
    assert (settings.search.scheduler, settings.evaluate.ensemble) == ("none", 5)
    assert settings.data.split == SplitSettings("stratified", folds=5)
    assert (settings.data.size, settings.data.labels, settings.train.plateau) == (96, "three_class", 4)
    assert settings.space.name == "robust3-refit"
    assert "trial 0002, the best of one," in settings.space.question
    # What was chosen for that run's machine and storage is chosen anew.
    defaults = Settings()
    assert (settings.run, settings.resources, settings.train.precision) == (defaults.run, defaults.resources, "auto")
    assert settings.evaluate.enabled


def test_what_a_search_confirms_is_not_confirmed_in_its_refit(run: RunFolder) -> None:
    record = run.read_run()
    record.config["search"]["confirm"] = 2
    run.write_run(record)
    assert refit_settings([f"refit={run.url}"]).search.confirm == 0


def test_a_run_is_named_by_its_storage_or_packed(run: RunFolder, tmp_path: Path) -> None:
    file = tmp_path / "one.zip"
    file.write_bytes(packed(run))
    by_name = refit_settings(["refit=one", f"run.storage={tmp_path}"])
    assert by_name.space == refit_settings([f"refit={file}"]).space == refit_settings([f"refit={run.url}"]).space
    assert by_name.run.storage == str(tmp_path)


def test_settings_are_changed_and_the_mean_is_of_all_repeats(run: RunFolder) -> None:
    settings = refit_settings([f"refit={run.url}", "search.repeats=8", "data.root=/images"])
    assert (settings.search.repeats, settings.evaluate.ensemble, settings.data.root) == (8, 8, "/images")
    assert settings.data.split.folds == 8
    assert refit_settings([f"refit={run.url}", "evaluate.ensemble=2"]).evaluate.ensemble == 2
    grid = refit_settings([f"refit={run.url}", "space.parameters.layers={choice: [1, 2]}", "search.repeats=2"])
    plans = listed_plans(read_space(grid), grid)
    assert plans is not None
    assert [plan.parameters["layers"] for plan in plans] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("words", "split", "repeats"),
    [
        (["data.split.folds=3"], SplitSettings("stratified", folds=3), 3),
        (["data.split.folds=3", "data.split.redraw=false"], SplitSettings("stratified", folds=3), 3),
        (["data.split.folds=null"], SplitSettings("stratified", 0.15), 5),
        (["data.split.redraw=true"], SplitSettings("stratified", 0.15, redraw=True), 5),
        (["data.split.fraction=0.3"], SplitSettings("stratified", 0.3, redraw=True), 5),
        (["data.split.redraw=false", "search.repeats=1"], SplitSettings("stratified", 0.15), 1),
        (["data.split.seed=2"], SplitSettings("stratified", seed=2, folds=5), 5),
    ],
)
def test_a_refit_has_folds_unless_other_splits_are_wanted(
    run: RunFolder, words: list[str], split: SplitSettings, repeats: int
) -> None:
    settings = refit_settings([f"refit={run.url}", *words])
    assert (settings.data.split, settings.search.repeats) == (split, repeats)


def test_a_run_of_several_findings_is_trained_again_on_folds(tmp_path: Path) -> None:
    told = ["data.task=multilabel", "data.root=/x", "data.labels=/x/a.csv", "data.split.method=stratified"]
    run = make_run(RunFolder(str(tmp_path / "one")), [make_trial(0, GOOD, 0.3)], told)
    settings = refit_settings([f"refit={run.url}"])
    assert settings.data.is_multilabel
    assert (settings.search.metric, settings.data.split.folds, settings.search.repeats) == ("val_loss", 5, 5)


def test_a_refit_of_before_is_resumed_with_the_splits_that_it_drew(run: RunFolder) -> None:
    config = refit_settings([f"refit={run.url}", "data.split.redraw=true"]).to_dict()
    del config["data"]["split"]["folds"]
    resumed = resume_settings(config, [])
    assert (resumed.data.split, resumed.search.repeats) == (SplitSettings("stratified", 0.15, redraw=True), 5)
    assert resume_settings(config, ["search.repeats=8"]).search.repeats == 8


def test_training_is_set_anew_in_the_space(run: RunFolder) -> None:
    settings = refit_settings([f"refit={run.url}", "train.learning_rate=0.5"])
    with pytest.raises(SettingsError, match=r"Use space\.parameters\.learning_rate=0\.5"):
        check_unused(read_space(settings), settings)


def test_repeats_are_judged_by_their_mean() -> None:
    settings = load_settings(["search.metric=val_loss"])
    trials = [make_trial(0, GOOD, 0.3), make_trial(1, POOR, 0.1), make_trial(2, GOOD, 0.2), make_trial(3, POOR, 0.6)]
    assert best_configuration(trials, settings) is trials[0]
    settings.search.metric = "val_accuracy"
    trials[3].epochs[0] = make_epoch(1, 0.1, val_accuracy=0.99)
    assert best_configuration(trials, settings) is trials[1]


def test_only_finished_trials_with_a_score_count() -> None:
    trials = [make_trial(0, GOOD, 0.1, STOPPED), make_trial(1, FAIR, None), make_trial(2, POOR, 0.5)]
    settings = load_settings(["search.metric=val_loss"])
    assert best_configuration(trials, settings) is trials[2]
    assert best_configuration(trials[:2], settings) is None


def test_what_cannot_be_trained_again_is_told(run: RunFolder, tmp_path: Path) -> None:
    bare = make_run(RunFolder(str(tmp_path / "bare")), [make_trial(0, GOOD, 0.1, STOPPED)])
    for words, message in (
        ([f"refit={bare.url}"], "bare, where none has finished"),
        ([f"refit={run.url}", "resume=auto"], "refit begins a run and resume continues one"),
        ([f"refit={run.url}", "space=plain2"], "Received: 'space=plain2'"),
        ([f"refit={run.url}", "search.repeats=1"], r"search\.repeats=1 with data\.split\.folds=5"),
    ):
        with pytest.raises(SettingsError, match=message):
            refit_settings(words)
    (tmp_path / "damaged.zip").write_bytes(b"PK cut short")
    for name in ("missing", "missing.zip", "damaged.zip"):
        with pytest.raises(RecordError, match=name):
            refit_settings([f"refit={tmp_path / name}"])
