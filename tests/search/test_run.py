"""The command as a user runs it, on the shipped sample at 32 x 32 pixels.

The undisturbed search, those that a signal, a full disk or an error of Ray's time ends and the first evaluation are
processes of their own; the others are calls in this one.
"""

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_pipeline.dataset import Dataset
from data_pipeline.manifest_file import read_manifest
from data_pipeline.shift import shift_ways
from search.driver.lease import drive
from search.evaluate.__main__ import main as evaluate
from search.evaluate.predictions import mean_predictions, probabilities_of, read_predictions
from search.evaluate.sets import calibration_groups
from search.record import RunFolder, looks_words, rank, rank_configurations
from search.record.clock import CLOCK
from search.run import main
from search.trial.calibration import hold_out
from tests.search.conftest import Command
from tests.search.searching import ROOT, SMALL, TINY, numbers, run, small, start, wait_for_epochs
from tests.waiting import LIMIT, wait_until

SAMPLE = ROOT / "data_pipeline" / "sample"


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[[Sequence[str]], str]:
    """What a command prints that is refused; in this process, which for a mistake needs neither Ray nor TensorFlow."""

    def call(words: Sequence[str]) -> str:
        assert main(words) == 2
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return printed.err

    return call


def test_a_search_is_recorded_evaluated_and_exported(undisturbed: tuple[RunFolder, str]) -> None:
    folder, screen = undisturbed
    trials, run_record = folder.read_trials(), folder.read_run()
    assert len(trials) == 5
    assert {trial.status for trial in trials.values()} <= {"finished", "stopped"}
    assert run_record.data["counts"]["test"] == [40, 80]
    assert run_record.environment["packages"]["ray"]
    finished = [trial.number for trial in trials.values() if trial.status == "finished"]
    evaluations = folder.read_evaluations()
    assert {(e.trial, e.dataset) for e in evaluations} == {(n, s) for n in finished for s in ("validation", "test")}
    for evaluation in evaluations:  # the best epoch's weights, scored again, give what the trial saw
        best = trials[evaluation.trial].best_epoch("val_loss")
        assert best is not None
        assert evaluation.epoch == best.epoch
        if evaluation.dataset == "validation":
            assert evaluation.loss == pytest.approx(best.val_loss, rel=1e-5)
    assert "Winner, chosen by validation alone: trial" in screen
    assert "95 % interval" in screen
    assert "only a sample" in screen
    names = set(folder.names())
    assert {"config.yaml", "manifest.parquet", "bad_files.csv", "driver.log", "trials.jsonl", "tensorboard"} <= names
    assert "tune" not in names
    (look,) = folder.read_log().looks
    assert look.images == {"test": 120}
    assert look.trials == len(finished)
    assert b"- looks at test images: test 1\n" in folder.read("winner", "card.md")
    assert "could not be written" not in screen
    assert b"<!doctype html>" in folder.read("report.html")[:200].lower()
    winner = ["card.md", "checklist.md", "gallery", "gallery.json", "model.keras", "signature.json", "winner.json"]
    assert folder.names("winner") == winner


def test_the_winners_mistakes_are_those_of_its_predictions(undisturbed: tuple[RunFolder, str]) -> None:
    folder, _ = undisturbed
    number = int(folder.read("winner", "card.md").decode().splitlines()[0].rpartition(" ")[2])
    rows = pq.read_table(folder.child("predictions", f"{number:04d}.parquet")).to_pylist()
    wrong = {
        row["image_id"]: row["p_pneumonia"]
        for row in rows
        if row["dataset"] == "test" and (row["p_pneumonia"] > 0.5) != row["label"]
    }
    entries = json.loads(folder.read("winner", "gallery.json"))
    assert len(entries) == min(24, len(wrong)) > 0
    assert all(entry["probabilities"]["pneumonia"] == pytest.approx(wrong[entry["image_id"]]) for entry in entries)
    pictures = {entry[kind] for entry in entries for kind in ("file", "cam")}
    assert folder.names("winner", "gallery") == sorted(pictures)


def test_predictions_hold_every_image_once(undisturbed: tuple[RunFolder, str]) -> None:
    folder, _ = undisturbed
    evaluation = next(entry for entry in folder.read_evaluations() if entry.dataset == "test")
    table = pq.read_table(folder.child("predictions", f"{evaluation.trial:04d}.parquet")).to_pylist()
    test = [row for row in table if row["dataset"] == "test"]
    assert len({row["image_id"] for row in test}) == len(test) == 120
    assert all(row["image_id"].startswith("test/") for row in test)
    right = sum((row["p_pneumonia"] > 0.5) == row["label"] for row in test)
    assert right / 120 == pytest.approx(evaluation.accuracy)


def test_the_winner_loads_in_safe_mode_and_predicts_what_is_recorded(undisturbed: tuple[RunFolder, str]) -> None:
    import keras

    folder, _ = undisturbed
    model = keras.models.load_model(folder.child("winner", "model.keras"), safe_mode=True)
    card = folder.read("winner", "card.md").decode()
    number = int(card.splitlines()[0].rpartition(" ")[2])
    rows = pq.read_table(folder.child("predictions", f"{number:04d}.parquet")).to_pylist()
    row = next(row for row in rows if row["dataset"] == "test")
    from data_pipeline.preprocess import ImageSettings, decode_image

    image, _, _ = decode_image((SAMPLE / row["image_id"]).read_bytes(), ImageSettings(size=32))
    found = model.predict(image[None].astype(np.float32) / 255, verbose=0)
    assert float(found[0, 0]) == pytest.approx(row["p_pneumonia"], abs=1e-5)


def test_the_winner_answers_about_files_as_it_was_evaluated(undisturbed: tuple[RunFolder, str], tmp_path: Path) -> None:
    folder, _ = undisturbed
    done = run([folder.url, str(SAMPLE / "test"), "--out", str(tmp_path / "answers.csv")], "search.predict")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "answers.csv", newline="") as file:
        answers = {row["file"]: row for row in csv.DictReader(file)}
    recorded = read_predictions(folder, "winner").to_pandas()
    recorded = recorded[recorded["dataset"] == "test"]
    assert len(recorded) == len(answers) == 120
    for image_id, p in zip(recorded["image_id"], recorded["p_pneumonia"], strict=True):
        answer = answers[str(SAMPLE / image_id)]
        assert float(answer["p_pneumonia"]) == pytest.approx(p, abs=1e-5)
        assert answer["decision"] == ("pneumonia" if p >= 0.5 else "normal")
    assert sum(float(answer["unlike"]) > 1 for answer in answers.values()) <= 6
    assert "Decision between normal and pneumonia: positive at 0.5 or above" in done.stdout


def test_other_tools_read_the_views(undisturbed: tuple[RunFolder, str]) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder, _ = undisturbed
    storage = JournalStorage(JournalFileBackend(folder.child("optuna.log")))
    study = optuna.load_study(study_name="one", storage=storage)
    trials = folder.read_trials()
    assert [len(t.intermediate_values) for t in study.trials] == [len(t.epochs) for t in trials.values()]
    lines = folder.read("trials.jsonl").splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(trials)
    assert len(list(Path(folder.child("tensorboard")).rglob("events.out.tfevents*"))) >= len(trials)


def test_a_run_is_evaluated_again_on_an_outside_set(
    undisturbed: tuple[RunFolder, str], tmp_path: Path, image_cache: Path, call: Command
) -> None:
    folder = RunFolder(str(shutil.copytree(undisturbed[0].path, tmp_path / "one")))
    outside = tmp_path / "outside"
    for name in ("NORMAL", "PNEUMONIA"):
        shutil.copytree(SAMPLE / "test" / name, outside / name)
    before, model = folder.read_winner(), folder.read("winner", "model.keras")
    words = ["evaluate.ensemble=2", "evaluate.operating_point={sensitivity: 0.9}", f"data.cache={image_cache}"]
    done = run([folder.url, f"data.extra_tests={{elsewhere: {outside}}}", *words], "search.evaluate")
    assert done.returncode == 0, done.stderr
    kept = folder.read_winner()
    assert kept is not None
    assert before is not None
    assert "add evaluate.replace_winner=true" in done.stdout
    assert folder.read("winner", "model.keras") == model
    assert (kept.trials, kept.operating_point) == (before.trials, before.operating_point)
    assert [entry.dataset for entry in kept.evaluations] == ["validation", "test", "elsewhere"]
    words = ["evaluate.replace_winner=true", "evaluate.calibrate=true", f"data.cache={image_cache}"]
    done = call([folder.url, *words], evaluate)
    assert done.returncode == 0, done.stderr
    by_set = {(e.trial, e.dataset): e for e in folder.read_evaluations()}
    pairs = [(n, d) for n, d in by_set if d == "elsewhere"]
    assert pairs
    for number, _ in pairs:  # the same images under another name
        assert by_set[number, "elsewhere"].confusion == by_set[number, "test"].confusion
    winner = folder.read_winner()
    assert winner is not None
    assert len(winner.trials) == min(2, len(pairs))
    assert f"alone: {winner.what}" in done.stdout
    assert winner.what.encode() in folder.read("report.html")
    assert [entry.dataset for entry in winner.evaluations] == ["validation", "test", "elsewhere"]
    assert winner.operating_point.name == "sensitivity 0.9"
    assert folder.read("winner", "model.keras") != model
    assert folder.read_run().config["evaluate"]["ensemble"] == 2  # the next command goes on with it
    assert looks_words(folder.read_log().looks) == "test 3, elsewhere 2"
    assert b"Looks at test images: test 3, elsewhere 2." in folder.read("report.html")


@pytest.fixture(scope="module")
def on_noise(tmp_path_factory: pytest.TempPathFactory, image_cache: Path) -> RunFolder:
    """The undisturbed search with noise in place of every test image, and its best two confirmed."""
    folder = tmp_path_factory.mktemp("noise")
    root = folder / "data"
    shutil.copytree(SAMPLE, root)
    rng = np.random.default_rng(0)
    files = sorted((root / "test").rglob("*.jpeg"))
    assert len(files) == 120
    for file in files:
        Image.fromarray(rng.integers(0, 256, (224, 224), dtype=np.uint8)).save(file)
    words = [*TINY, "search.confirm=2", f"data.root={root}", "evaluate.enabled=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.run.write_page", lambda *given: None)  # no test looks at it
        assert main(small(folder, image_cache, *words)) == 0
    return RunFolder(str(folder / "one"))


def test_the_test_set_cannot_leak(undisturbed: tuple[RunFolder, str], on_noise: RunFolder) -> None:
    """With noise in place of every test image, each trial, decision and suggestion is the same."""
    assert numbers(on_noise.read_trials())[:5] == numbers(undisturbed[0].read_trials())


@pytest.mark.faults
def test_a_search_that_is_killed_and_asked_to_stop_ends_as_if_nothing_had_happened(
    on_noise: RunFolder, tmp_path: Path, image_cache: Path, refused: Callable[[Sequence[str]], str], call: Command
) -> None:
    """Interrupted three times, the last time while it confirms; then its winner is chosen by the mean of repeats."""
    expected = on_noise.read_trials()
    assert [trial.number for trial in expected.values() if trial.confirms is not None] == [5, 6]
    own_epochs = sum(len(trial.epochs) for trial in list(expected.values())[:5])
    moments = {1: signal.SIGINT, 3: signal.SIGTERM, own_epochs + 2: signal.SIGKILL}
    again = ["resume=auto", f"run.storage={tmp_path}", f"data.cache={image_cache}"]
    words = [*SMALL, *again[1:], *TINY, "search.confirm=2", "evaluate.ensemble=2"]
    folder = RunFolder(str(tmp_path / "one"))
    before: list[tuple] = []
    for epochs, asked in moments.items():
        process, known = start(words), sum(len(history) for *_, history in before)
        wait_for_epochs(folder, max(epochs, known + 1), process)  # no earlier than it trains, each time
        process.send_signal(asked)
        screen, _ = process.communicate(timeout=LIMIT)
        assert ("Resuming" in screen) == (words == again)
        if asked == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 130
            assert "nothing is lost" in screen
            assert f"python -m search.run resume=one {again[1]} {again[2]}" in screen
            assert folder.exists("trials.jsonl")
        after = numbers(folder.read_trials())
        assert_goes_on(before, after)
        words, before = again, after
    assert "train.batch_size=64" in refused([*again, "train.batch_size=64"])
    done = call(again)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Resuming" in done.stdout
    assert "Confirmed: " in done.stdout
    assert_goes_on(before, numbers(folder.read_trials()))
    assert numbers(folder.read_trials()) == numbers(expected)
    epochs_logged = [(e["trial"], e["metrics"]["epoch"]) for e in folder.read_events() if e["event"] == "epoch"]
    assert len(epochs_logged) == len(set(epochs_logged))
    winner = folder.read_winner()
    assert winner is not None
    settings = folder.read_run().config["search"]
    best = rank_configurations(expected.values(), settings["metric"])[0]
    assert set(winner.trials) == {trial.number for trial in best}
    assert len(best) == 2
    assert b"trained again with another seed" in folder.read("report.html")


def assert_goes_on(before: list[tuple], after: list[tuple]) -> None:
    """No recorded epoch was lost or changed."""
    assert len(after) >= len(before)
    for old, new in zip(before, after, strict=False):
        assert new[4][: len(old[4])] == old[4]


@pytest.mark.faults
@pytest.mark.usefixtures("without_page")
def test_an_evaluation_that_receives_sigterm_ends_as_after_ctrl_c_and_is_resumed(
    undisturbed: tuple[RunFolder, str], tmp_path: Path, image_cache: Path, call: Command
) -> None:
    folder = RunFolder(str(shutil.copytree(undisturbed[0].path, tmp_path / "one")))
    for name in ("evaluation.jsonl", "winner/winner.json"):
        folder.remove(*name.split("/"))
    words = ["resume=one", f"run.storage={tmp_path}", f"data.cache={image_cache}"]
    process = start([*words, "search.time_budget=1h"])
    assert process.stdout is not None
    assert any(line.startswith("Evaluating the finished trials") for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    screen, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "Stopped; nothing is lost. Go on with:\n  python -m search.run resume=one " in screen
    assert folder.read_winner() is None
    began, ended = (event["elapsed"] for event in folder.read_events() if event["event"] == CLOCK)
    assert began < ended  # the time that the evaluation took is spent
    assert call(words).returncode == 0
    assert folder.read_winner() == undisturbed[0].read_winner()


@pytest.mark.faults
def test_a_trial_whose_process_dies_goes_on_and_then_fails(tmp_path: Path, image_cache: Path) -> None:
    arguments = [*SMALL, f"data.cache={image_cache}", f"run.storage={tmp_path}", "run.name=one"]
    arguments += ["space=plain2", "search.scheduler=none", "search.num_trials=2", "search.max_epochs=60"]
    process = start([*arguments, "search.max_failures=1", "evaluate.enabled=false"])
    folder = RunFolder(str(tmp_path / "one"))
    killed: set[int] = set()

    def kill_twice() -> bool:
        trial = folder.read_trials().get(0)
        if trial and trial.epochs and trial.process not in killed:
            killed.add(trial.process)
            os.kill(trial.process, signal.SIGKILL)
        return len(killed) == 2

    wait_until(kill_twice, "two processes of trial 0 to kill", process)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    trials = folder.read_trials()
    assert (trials[0].status, trials[0].retries) == ("failed", 1)
    assert trials[0].reason
    assert trials[1].status == "finished"
    assert len(trials[1].epochs) == 60


def test_a_dry_run_tells_what_a_run_would_of_the_images(image_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["space=plain2", f"data.root={SAMPLE / 'train'}", f"data.cache={image_cache}"]
    assert main([*words, "dry_run=true"]) == 0
    screen = capsys.readouterr().out
    assert "There is no test folder: 96 images were held out" in screen
    assert "Dry run: nothing was started." in screen


def test_a_dry_run_of_published_rows_tells_their_parameters(
    image_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["space=report_transfer", f"data.cache={image_cache}", "dry_run=true"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "table3/1 VGG16 14,780,481 parameters" in lines
    assert "table4/1 ResNet50 23,850,113 parameters (published: 39,305,089)" in lines


@pytest.mark.usefixtures("without_page")
def test_a_backbone_is_trained_without_saving_it(tmp_path: Path, image_cache: Path, call: Command) -> None:
    arguments = ["space=vgg2", "weights=none", "search.num_trials=1", "search.max_epochs=1", "run.name=one"]
    fixed = ["space.parameters.frozen=all", "space.parameters.pooling=average", "search.metric=shifted_loss"]
    done = call(small(tmp_path, image_cache, *arguments, *fixed, "space.parameters.augment=none"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "random weights, which serves tests only" in done.stdout
    folder = RunFolder(str(tmp_path / "one"))
    trial = folder.read_trials()[0]
    assert trial.parameter_count > 14_714_688
    assert len(folder.read("trials", "0000", "best.npz")) < 4 * 300_000  # the head alone
    scored = {entry.dataset: entry for entry in folder.read_evaluations()}
    assert scored.keys() == {"validation", "shifted", "test"}
    assert scored["shifted"].loss == pytest.approx(trial.epochs[0].shifted_loss, rel=1e-5)
    (cost,) = (event for event in folder.read_events() if event["event"] == "features")
    counts = folder.read_run().data["counts"]
    passed = sum(counts["train"]) + sum(counts["validation"]) + scored["shifted"].images
    assert (cost["backbone"], cost["images"]) == ("vgg16", passed)
    assert cost["seconds"] > 0


@pytest.mark.usefixtures("without_page")
def test_repeats_that_draw_their_own_validation_are_averaged_over_all_that_did_not_train_on_an_image(
    tmp_path: Path, image_cache: Path, call: Command
) -> None:
    words = ["space=report2", "space.rows=[table1/2]", "search.repeats=2", "search.max_epochs=1", "run.name=two"]
    redraw = ["data.split.redraw=true", "data.split.method=patient", "data.size=32", "evaluate.ensemble=2"]
    shifted = ["search.metric=shifted_loss", "evaluate.calibrate=true"]
    done = call(small(tmp_path, image_cache, *words, *redraw, *shifted))
    assert done.returncode == 0, done.stderr + done.stdout
    folder = RunFolder(str(tmp_path / "two"))
    tables = [read_predictions(folder, name).to_pandas() for name in ("0000", "0001", "winner")]
    for dataset in ("validation", "shifted"):
        first, second, winner = (set(each.loc[each["dataset"] == dataset, "image_id"]) for each in tables)
        assert len(first) == len(second) > 0
        assert first != second
        assert winner == first | second
    trials, scored = folder.read_trials(), {(e.trial, e.dataset): e for e in folder.read_evaluations()}
    for number, trial in trials.items():
        assert scored[(number, "validation")].loss == pytest.approx(trial.epochs[-1].val_loss, rel=1e-5)
        assert scored[(number, "shifted")].loss == pytest.approx(trial.epochs[-1].shifted_loss, rel=1e-5)
    # Calibration was tried on the images of each way of change, by those of the others.
    mean = mean_predictions([read_predictions(folder, name) for name in ("0000", "0001")])
    own = np.array(mean["dataset"].to_pylist()) == "shifted"
    manifest, _ = read_manifest(io.BytesIO(folder.read("manifest.parquet")))
    row_of = {row.image_id: number for number, row in enumerate(manifest.pool_rows)}
    rows = np.array([row_of[name] for name in mean["image_id"].filter(own).to_pylist()])
    losses = hold_out(mean["label"].to_numpy()[own], probabilities_of(mean)[own], np.array(shift_ways(rows))).losses
    exported = folder.read_winner()
    assert exported is not None
    assert exported.held_out_losses == pytest.approx(losses)


def test_the_best_configuration_of_a_run_is_trained_again_and_calibrated_out_of_fold(
    undisturbed: tuple[RunFolder, str], tmp_path: Path, image_cache: Path, small_dataset: Dataset, call: Command
) -> None:
    first = undisturbed[0]
    words = [f"refit={first.path}", "search.repeats=2", "search.max_epochs=1", "run.name=again"]
    words.append("evaluate.calibrate=true")
    done = call(small(tmp_path, image_cache, *words))
    assert done.returncode == 0, done.stderr + done.stdout
    folder, best = RunFolder(str(tmp_path / "again")), rank(first.read_trials().values(), "val_loss")
    best = [trial for trial in best if trial.status == "finished"]
    trials = folder.read_trials()
    assert [(trial.parameters, trial.repeat) for trial in trials.values()] == [
        (best[0].parameters, 0),
        (best[0].parameters, 1),
    ]
    names = ("0000", "0001", "winner")
    seen = [read_predictions(folder, name).to_pandas().query("dataset == 'validation'") for name in names]
    first_fold, second_fold, both = (each["image_id"].to_list() for each in seen)
    pool = [row.image_id for row in small_dataset.manifest.pool_rows]
    assert sorted(first_fold + second_fold) == sorted(both) == pool  # each image by the trial that did not train on it
    winner = folder.read_winner()
    assert winner is not None
    assert sorted(winner.trials) == [0, 1]
    # Calibration was tried on all of them: on each tenth of the patients by that of the others.
    mean = mean_predictions([read_predictions(folder, name) for name in names[:2]])
    own = np.array(mean["dataset"].to_pylist()) == "validation"
    group_of = calibration_groups(small_dataset, with_shifted=False)
    groups = np.array([group_of[name] for name in mean["image_id"].filter(own).to_pylist()])
    losses = hold_out(mean["label"].to_numpy()[own], probabilities_of(mean)[own], groups).losses
    assert winner.held_out_losses == pytest.approx(losses)
    assert "They are the repeats, each validated on another of 2 folds" in folder.read("report.html").decode()


@pytest.mark.usefixtures("without_page")
def test_a_search_begins_with_an_earlier_one_and_is_resumed_without_it(
    undisturbed: tuple[RunFolder, str], tmp_path: Path, image_cache: Path, call: Command
) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(undisturbed[0].path, earlier)
    words = [*TINY[:-1], "run.name=warm", "search.seed=4", "search.num_trials=1", "evaluate.enabled=false"]
    done = call(small(tmp_path, image_cache, *words, f"search.warm_start={earlier}"))
    assert done.returncode == 0, done.stderr + done.stdout
    folder, trials = RunFolder(str(tmp_path / "warm")), RunFolder(str(earlier)).read_trials()
    finished = [trial for trial in trials.values() if trial.status == "finished"]
    best = rank(finished, "val_loss")[0]
    assert f"{len(finished)} of {len(finished)} finished trials of earlier fit" in done.stdout
    assert f"trial 0 is the best of earlier, its trial {best.name}" in done.stdout
    assert folder.read_trials()[0].parameters == best.parameters
    known = folder.read_warm_start().history
    assert [(each.trial, each.value) for each in known] == [
        (trial.number, min(epoch.val_loss for epoch in trial.epochs)) for trial in finished
    ]
    shutil.rmtree(earlier)
    again = call([f"resume={folder.url}", "search.num_trials=2", f"data.cache={image_cache}"])
    assert again.returncode == 0, again.stderr + again.stdout
    assert sorted(folder.read_trials()) == [0, 1]
    assert folder.read_warm_start().history == known


def test_a_resumed_run_whose_data_changed_is_refused(
    undisturbed: tuple[RunFolder, str], tmp_path: Path, image_cache: Path, refused: Callable[[Sequence[str]], str]
) -> None:
    folder, _ = undisturbed
    root = tmp_path / "changed"
    shutil.copytree(SAMPLE, root)
    normal = sorted((root / "train" / "NORMAL").iterdir())
    normal[0].unlink()
    shutil.copy(normal[1], normal[2])
    words = [f"resume={folder.url}", f"data.root={root}", "search.num_trials=6", f"data.cache={image_cache}"]
    message = refused(words)
    assert f"1 gone (such as train/NORMAL/{normal[0].name})" in message
    assert f"1 changed (such as train/NORMAL/{normal[2].name})" in message


def test_a_taken_name_and_an_unknown_run_are_refused(
    undisturbed: tuple[RunFolder, str], image_cache: Path, refused: Callable[[Sequence[str]], str]
) -> None:
    storage = f"run.storage={Path(undisturbed[0].url).parent}"
    assert "resume=one" in refused([*SMALL, f"data.cache={image_cache}", storage, *TINY])
    assert "has none" in refused(["resume=two", storage])


def test_a_run_that_another_begins_under_the_same_name_is_not_overwritten(
    tmp_path: Path, image_cache: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[Sequence[str]], str]
) -> None:
    session = SimpleNamespace(resources=SimpleNamespace(reasons=()))  # it is refused before Ray is needed
    monkeypatch.setattr("search.run.open_session", lambda *given: contextlib.nullcontext(session))
    folder = RunFolder(str(tmp_path / "one"))
    with drive(folder):  # another, that has come as far as to begin
        assert "A run has one driver" in refused(small(tmp_path, image_cache, *TINY))
        assert folder.names() == ["driver.json"]


def test_storage_that_cannot_be_written_is_refused_before_anything_starts(
    tmp_path: Path, image_cache: Path, refused: Callable[[Sequence[str]], str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    message = refused([*SMALL, f"data.cache={image_cache}", f"run.storage={blocked}", *TINY])
    assert message.startswith("Error: ")
    assert blocked.read_text() == "a file where the folder should be"


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="a full disk needs a mount, which needs root"
)
def test_a_full_disk_stops_the_search_with_a_clear_error(tmp_path: Path, image_cache: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a small disk")
    words = [*SMALL, "space=plain2", "search.num_trials=2", "search.max_epochs=1000", "run.name=one", "run.patience=2"]
    try:
        process = start([*words, f"data.cache={image_cache}", f"run.storage={disk}"])
        folder = RunFolder(str(disk / "one"))
        wait_for_epochs(folder, 1, process)
        with contextlib.suppress(OSError), (disk / "another's file").open("wb", buffering=0) as file:
            while True:  # until the disk is full
                file.write(bytes(4096))
        printed, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 2
        assert "No space left on device" in printed
        assert "Traceback" not in printed
        assert not list(disk.rglob("*.partial"))
        assert folder.read_run().name == "one"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["space=cn2"], "cnn2"),
        (["space=plain2", "data.root=/nowhere"], "/nowhere"),
        (["space=report3", "data.labels=two_class"], "Leave data.labels to the space"),
        (["space=plain2", "resources.cpus_per_trial=1000", "dry_run=true"], "resources.cpus_per_trial=1000"),
        (["space=plain2", "data.size=8"], "cannot be built"),
    ],
)
def test_a_mistake_is_one_message_without_a_traceback(
    arguments: list[str], message: str, tmp_path: Path, image_cache: Path, refused: Callable[[Sequence[str]], str]
) -> None:
    assert message in refused(["data.size=32", *arguments, f"run.storage={tmp_path}", f"data.cache={image_cache}"])


@pytest.mark.usefixtures("without_page")
def test_a_search_without_a_finished_trial_does_not_end_as_a_success(
    tmp_path: Path, image_cache: Path, call: Command
) -> None:
    done = call(small(tmp_path, image_cache, "space=plain2", "search.time_budget=1s"))
    assert done.returncode == 1, done.stderr + done.stdout
    assert "No trial finished" in done.stdout


def test_weights_that_are_not_there_are_one_message_too(
    tmp_path: Path, image_cache: Path, refused: Callable[[Sequence[str]], str]
) -> None:
    assert "file.h5" in refused(small(tmp_path, image_cache, "space=vgg2", "weights=/no/such/file.h5"))
