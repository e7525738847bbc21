"""The race on the wall clock: the peers' task, what each side would have chosen at a moment, and the bounds."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import chosen, race
from benchmarks.chosen import KEPT, NO_MODEL, RUN, Standing
from benchmarks.measurement import Options
from benchmarks.peers.race_task import (
    Epoch,
    RaceTask,
    add_epoch,
    describe_domain,
    make_race_task,
    read_epochs,
    read_race_task,
)
from benchmarks.peers.task import write_task
from benchmarks.race import END, OURS, PEERS, SHARES
from data_pipeline.dataset import Dataset
from search.evaluate.sets import evaluation_sets
from search.plan.domains import Choice, Integer, Uniform
from search.plan.settings import TrainSettings
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import FINISHED, RunFolder
from search.record.log import EventLog
from search.trial.plateau import learning_rate
from tests.benchmarks.made_up import MACHINE
from tests.conftest import make_epoch


@pytest.fixture(scope="module")
def task(image_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> RaceTask:
    words = ["space=cnn2", "data.size=32", f"data.cache={image_cache}"]
    return make_race_task(words, 7, tmp_path_factory.mktemp("peer"))


def test_peers_search_the_hyperparameters_of_our_space(task: RaceTask) -> None:
    space = read_space(load_settings(["space=cnn2"])).parameters
    assert {each.name for each in space} == set(task.domains) | set(task.fixed) - {"class_weights", "schedule"}
    assert task.domains["learning_rate"] == ("log_uniform", [0.001, 0.01])
    assert task.domains["layers"] == ("integer", [4, 6])
    assert task.domains["dense"] == ("choice", ["[]", "[64]"])
    assert (task.fixed["class_weights"], task.fixed["schedule"]) == ("balanced", "cosine")
    assert task.epochs == 40  # the sample's own auto


def test_a_domain_keeps_its_kind_and_its_ends() -> None:
    assert describe_domain(Uniform(0.1, 0.5)) == ("uniform", [0.1, 0.5])
    assert describe_domain(Integer(1, 8, log=True)) == ("log_integer", [1, 8])
    assert describe_domain(Choice(("a", [1]))) == ("choice", ["a", "[1]"])


def test_what_a_peer_chose_becomes_a_trials_parameters(task: RaceTask, tmp_path: Path) -> None:
    write_task(task, tmp_path / "task.json")
    read = read_race_task(str(tmp_path / "task.json"))
    values = {name: each[1][0] for name, each in read.domains.items()}
    parameters = read.parameters({**values, "tuner/epochs": 3})
    assert parameters == task.parameters(values)
    assert (parameters["dense"], parameters["augment"], parameters["backbone"]) == ([], "strong", "cnn")
    assert "tuner/epochs" not in parameters


def test_tunes_integers_include_the_upper_end(task: RaceTask) -> None:
    from benchmarks.peers.race_ray_tune import domain

    assert domain("integer", [4, 6]).upper == 7
    assert domain("choice", ["[]", "[64]"]).categories == ["[]", "[64]"]
    assert domain("log_uniform", [0.001, 0.01]).upper == 0.01


def test_peers_follow_our_schedule(task: RaceTask) -> None:
    from benchmarks.peers import race_keras

    history = [make_epoch(number, 0.5) for number in range(1, 4)]
    ours = learning_rate(TrainSettings(learning_rate=0.002, schedule="cosine"), history, 16)
    assert race_keras.learning_rate({"learning_rate": 0.002, "schedule": "cosine"}, 3, 16) == pytest.approx(ours)


def test_a_peer_keeps_each_model_that_is_better_than_all_before(tmp_path: Path) -> None:
    from benchmarks.peers.race_keras import Recorder

    recorder = Recorder(str(tmp_path))
    recorder.set_model(SimpleNamespace(save=lambda path: path.touch()))
    for value in (0.8, 0.7, 0.9):
        recorder.on_epoch_end(0, {"val_auc": value, "val_loss": 0.5})
    epochs = read_epochs(str(tmp_path))
    assert [each.val_auc for each in epochs] == [0.8, 0.7, 0.9]
    assert [bool(each.model) for each in epochs] == [True, False, True]
    assert {each.model for each in epochs if each.model} == {file.name for file in tmp_path.glob("*.keras")}


def test_a_peers_choice_is_its_best_model_by_then(tmp_path: Path) -> None:
    """Two processes of one peer: the second noted its worse model after the first one's better model."""
    for time, auc, model in ((10.0, 0.8, "a"), (20.0, 0.9, ""), (30.0, 0.95, "b"), (31.0, 0.92, "c")):
        add_epoch(str(tmp_path), Epoch(time, auc, 0.5, model))
    files = {moment: [Path(m.file).name for m in chosen.peer_choice(tmp_path, moment)] for moment in (9, 25, 99)}
    assert files == {9: [], 25: ["a"], 99: ["b"]}


def test_best_weights_outlast_the_better_ones_that_replace_them(tmp_path: Path) -> None:
    best = tmp_path / RUN / "trials" / "0003" / "best.npz"
    best.parent.mkdir(parents=True)
    for content, seconds in (("first", 100), ("second", 200)):
        partial = best.with_suffix(".partial")
        partial.write_text(content)
        os.utime(partial, (seconds, seconds))
        partial.replace(best)  # as the run's folder writes it
        for _ in range(2):
            chosen.keep_best(tmp_path / RUN, tmp_path / KEPT)
    kept = [chosen.kept_best(tmp_path / KEPT, "0003", moment) for moment in (99, 150, 200)]
    assert [file and file.read_text() for file in kept] == [None, "first", "second"]
    assert chosen.kept_best(tmp_path / KEPT, "0004", 200) is None


def test_a_search_that_was_stopped_before_it_began_stands_without_a_model(tmp_path: Path) -> None:
    assert chosen.standings(tmp_path, True, (1.0, 2.0), load_settings(["space=cnn2"]).data) == [Standing()] * 2


def test_our_choice_is_the_searchs_own_among_the_trials_finished_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("search.record.log.time.time", lambda: now)
    log = EventLog(RunFolder(str(tmp_path / RUN)))
    for number, (loss, ended) in enumerate(((0.4, 50.0), (0.3, 60.0), (0.2, 0.0))):
        now = 10.0 + number
        log.append("suggested", number, parameters={}, seed=0, max_epochs=1)
        epoch = replace(make_epoch(1, 0.5, shifted_calibrated_loss=loss, val_auc=1 - loss), time=now)
        log.append("epoch", number, metrics=asdict(epoch))
        kept = tmp_path / KEPT / str(int(now * 1e9)) / "trials" / f"{number:04}" / "best.npz"
        kept.parent.mkdir(parents=True)
        kept.touch()
        if ended:
            now = ended
            log.append("ended", number, status=FINISHED, reason="")
    log.close()
    settings = load_settings(["space=cnn2"])
    assert settings.search.metric == "shifted_calibrated_loss"

    def members(moment: float) -> list[int]:
        found = chosen.our_choice(tmp_path, settings, moment)
        return [member.trial.number for member in found if member.trial]

    assert [members(moment) for moment in (5, 20, 55, 65)] == [[], [2], [0], [1, 0]]


def test_a_choice_is_scored_by_its_members_mean(small_dataset: Dataset) -> None:
    sets = {each.name: each for each in evaluation_sets(small_dataset, with_shifted=False)}

    def opinion(right: float) -> dict[str, Any]:
        ones = {name: np.where(each.labels == 1, right, 1 - right) for name, each in sets.items()}
        return {name: np.stack([1 - p, p], axis=1).astype(np.float32) for name, p in ones.items()}

    assert chosen.mean_aucs([opinion(0.9)], sets) == {"validation": 1.0, "test": 1.0}
    assert chosen.mean_aucs([opinion(0.9), opinion(0.05)], sets) == {"validation": 0.0, "test": 0.0}


def test_ours_after_a_quarter_of_the_time_is_set_beside_each_peer_at_its_end() -> None:
    def seed(early: float, end: float, test: float) -> list[Standing]:
        return [Standing(early if share < END else end, 0.9, test) for share in SHARES]

    found = {OURS: [seed(0.97, 0.99, 0.96), seed(0.98, 0.99, 0.95)]}
    found |= {peer: [seed(0.90, 0.975, 0.94), seed(NO_MODEL, 0.975, 0.95)] for peer in PEERS}
    measurement = race.summarize(found, [580.0, 590.0], 10.0, {})
    validation, test = measurement.targets[0], measurement.targets[len(PEERS)]
    assert validation.quantity.values == pytest.approx((-0.5, 0.5))
    assert test.quantity.values == pytest.approx((2.0, 0.0))
    assert [validation.is_reached, test.is_reached] == [True, True]
    assert len(measurement.targets) == 2 * len(PEERS)
    assert "2.5" in validation.quantity.name


def test_a_lap_that_was_kept_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds may be added on another day: what is left of the first ones is a file."""
    standings = tuple(Standing(0.5 + share / 4, 0.9, 0.8) for share in SHARES)
    kept = [race.Result("abc-1min", side, 0, 61.0, standings, "c0ffee", "a processor") for side in (OURS, *PEERS)]
    path = tmp_path / "race_laps.json"
    race.write_results(kept, path)
    assert race.read_results(path) == kept
    ran: list[str] = []
    monkeypatch.setattr(race, "_store_name", lambda options: "abc-1min")
    monkeypatch.setattr(race, "_results_path", lambda options: path)
    monkeypatch.setattr(race, "draw", lambda found, minutes, path: None)
    monkeypatch.setattr(race, "run_lap", lambda side, *rest: ran.append(side))
    found = race.measure(Options(None, "none", 1, True), MACHINE)
    assert not ran
    ours = {each.name: each.values for each in found.others}
    assert ours["best validation AUC after 1 min, ours"] == (75.0,)
    assert "its split, 1 seed (the repeats)" in found.setting
    assert ours["our command, with evaluation and page"] == (61.0,)


@pytest.fixture
def raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a race whose laps train nothing, which sides ran in order; Optuna fails."""
    ran: list[str] = []

    def run_lap(side: str, seed: int, folder: Path, options: Options) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ran.append(f"{side}, {seed}")
        if side == "Optuna":
            race.run_for(["-c", "raise ModuleNotFoundError('no optuna_integration')"], 60, folder / "output.log")
        (folder / "ended.json").write_text(json.dumps(asdict(race.Lap(side, seed, 0.0, 61.0))))

    monkeypatch.setattr(race, "ROOT", tmp_path)
    monkeypatch.setattr(race, "_store_name", lambda options: "abc-1min")
    monkeypatch.setattr(race, "_results_path", lambda options: tmp_path / "race_laps.json")
    monkeypatch.setattr(race, "_standings", lambda *rest: [Standing(0.9, 0.9, 0.8)] * len(SHARES))
    monkeypatch.setattr(race, "draw", lambda found, minutes, path: None)
    monkeypatch.setattr(race, "run_lap", run_lap)
    return ran


def test_a_peer_that_fails_is_said_and_the_race_goes_on_without_it(
    raced: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(None, "none", 2, True)
    found = race.measure(options, MACHINE)
    assert raced == [f"{side}, 0" for side in (OURS, *PEERS)] + [f"{s}, 1" for s in (OURS, *PEERS) if s != "Optuna"]
    assert "Optuna is left out of this race" in capsys.readouterr().err
    why = "Optuna failed with seed 0 and is left out: ModuleNotFoundError: no optuna_integration"
    assert why in found.notes
    assert not any("Optuna" in target.quantity.name for target in found.targets)
    assert len(found.targets) == 2 * (len(PEERS) - 1)
    assert {each.side for each in race.read_results(tmp_path / "race_laps.json")} == {OURS, *PEERS} - {"Optuna"}
    raced.clear()
    race.measure(options, MACHINE)
    assert raced == ["Optuna, 0"]  # the next command tries it again, and only it


def test_there_is_no_race_without_our_own_side(raced: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*lap: object) -> None:
        raise RuntimeError("no images")

    monkeypatch.setattr(race, "run_lap", fail)
    with pytest.raises(RuntimeError, match="no images"):
        race.measure(Options(None, "none", 1, True), MACHINE)


def test_a_side_is_stopped_when_its_time_is_over(tmp_path: Path) -> None:
    looks: list[int] = []
    race.run_for(["-c", "import time; time.sleep(600)"], 0.1, tmp_path / "log", lambda: looks.append(1))
    assert looks


def test_a_side_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3:\nno images"):
        race.run_for(["-c", "print('no images'); raise SystemExit(3)"], 60, tmp_path / "log")
