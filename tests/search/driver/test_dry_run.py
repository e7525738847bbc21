import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.driver import dry_run as dry_run_module
from search.driver import session
from search.driver.dry_run import budget_lines, dry_run, feature_lines, plan_lines, trials_in
from search.driver.machine import Host
from search.plan.settings import SettingsError
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import RunFolder, RunRecord, to_json
from search.run import main
from tests.conftest import make_epoch
from tests.data_pipeline.conftest import SAMPLE

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["space=plain2", "search.num_trials=7"], ("7 trials will run", "smallest model", "train ")),
        (["space=cnn2", "search.num_trials=4"], ("epochs: about 80 expected under ASHA, of 160",)),
        (["space=plain2", "search.time_budget=5m"], ("as many trials as fit will run", "time budget 5 min: ")),
        (["space=report2"], ("table1/1", "parameters")),
        (
            ["space=report2", "data.split.folds=4"],
            ("repeats 4: one validates on each of 4 folds", "normal 38, 37, 37, 38; pneumonia 82, 83, 83, 82"),
        ),
        (["train.epoch_images=200"], ("an epoch is one of ", " parts of a pass, about ", "grace_period ")),
        (
            ["space=cnn2"],
            ("trial 0 is the space's guess: learning_rate=0.003", "near it, before TPE's model: 1 of 3"),
        ),
        (
            ["space=vgg2"],
            (
                "computed once for all trials: features of vgg16",
                "features of vgg16 (all, flatten): 48 MB for 480 images, up to 9 times",
            ),
        ),
        (["space=plain2"], ("480 images, 24 MB: in the object store, which has room for ",)),
        (["space=plain2"], ("each trial: 1 CPU", "at a time: ", "1 thread a trial: ", "0 GPU a trial: ")),
        (["space=plain2", "cluster=submit"], ("trials at a time: chosen on the cluster",)),
    ],
)
def test_a_dry_run_says_what_would_be_done(
    words: list[str], lines: tuple[str, ...], image_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings([*words, f"data.cache={image_cache}"])
    assert dry_run(settings, read_space(settings)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for line in (*lines, "Dry run: nothing was started."):
        assert line in printed


def test_epochs_are_not_added_up_where_the_trials_are_not_known(
    image_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(["space=plain2", "search.time_budget=5m", f"data.cache={image_cache}"])
    assert dry_run(settings, read_space(settings)) == 0
    assert "epochs: " not in capsys.readouterr().out


def test_a_dry_run_says_that_images_are_read_from_disk(
    image_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "this_store", lambda: 40e6)
    settings = load_settings(["space=plain2", f"data.cache={image_cache}"])
    assert dry_run(settings, read_space(settings)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "room for 20 MB, so trials read them from disk, in shards, from data.cache, without a copy" in printed


def test_a_dry_run_says_where_features_go_and_refuses_those_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(["space=vgg2"])
    space = read_space(settings)
    monkeypatch.setattr(session, "this_store", lambda: 40e6)
    monkeypatch.setattr(session, "room_bytes", lambda folder: 1e9)
    assert any("has room for 20 MB, so the disk keeps them" in line for line in feature_lines(settings, space, 480))
    monkeypatch.setattr(session, "room_bytes", lambda folder: 1e6)
    with pytest.raises(SettingsError, match=r"Features must fit .*too little on the disk of"):
        feature_lines(settings, space, 480)
    monkeypatch.setattr(session, "this_store", lambda: 1e9)
    monkeypatch.setattr(session, "room_bytes", lambda folder: 1e12)
    assert not any("keeps them" in line for line in feature_lines(settings, space, 480))


@pytest.mark.parametrize("name", ["vgg2", "vgg3", "resnet2", "resnet3", "transfer2", "transfer3", "all2", "all3"])
def test_shipped_spaces_run_on_the_shipped_cluster(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head has 1.2 GB of object store for features and 100 GB of disk; with flattened maps they take 2.1 GB."""
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    disks = cluster["available_node_types"]["head"]["node_config"]["BlockDeviceMappings"]
    monkeypatch.setattr(session, "this_store", lambda: 2.4e9)
    monkeypatch.setattr(session, "room_bytes", lambda folder: disks[0]["Ebs"]["VolumeSize"] * 1e9)
    settings = load_settings([f"space={name}"])
    lines = feature_lines(settings, read_space(settings), 5_232)
    large = [line for line in lines if "2,100 MB" in line]
    assert not large or any("so the disk keeps them" in line for line in large)


def test_a_dry_run_refuses_what_no_host_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run_module, "known_hosts", lambda cluster: (Host(16), Host(4, 1, count=2)))
    lines, at_a_time = plan_lines(load_settings(["space=plain2"]), read_space(load_settings(["space=plain2"])))
    assert (lines[0], at_a_time) == ("each trial: 4 CPUs, 1 GPU", 2)
    settings = load_settings(["space=plain2", "resources.cpus_per_trial=12", "resources.gpus_per_trial=1"])
    with pytest.raises(SettingsError, match="none has both"):
        plan_lines(settings, read_space(settings))


def test_a_dry_run_refuses_what_a_search_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(shutil.copytree(SAMPLE / "test", tmp_path / "data"))
    for image in sorted((root / "NORMAL").iterdir())[:10]:  # files that only decoding finds to be broken
        image.write_bytes(b"\xff\xd8\xff\xda" + image.name.encode() * 9 + b"\xff\xd9")
    words = [f"data.root={root}", f"data.cache={tmp_path}/cache", f"run.storage={tmp_path}/runs", "dry_run=true"]
    assert main(["space=plain2", *words]) == 2
    assert "10 of 120 files cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    (tmp_path / "file").touch()
    assert main(["space=plain2", *words, f"run.storage={tmp_path}/file/runs"]) == 2
    assert "Runs are written to run.storage. Received:" in capsys.readouterr().err


def test_a_dry_run_refuses_a_name_that_is_taken_and_weights_that_are_not_there(
    tmp_path: Path, image_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunFolder(f"{tmp_path}/runs/one").write(b"{}", "run.json")
    words = [f"data.cache={image_cache}", f"run.storage={tmp_path}/runs", "dry_run=true"]
    assert main(["space=plain2", *words, "run.name=two"]) == 0
    assert main(["space=plain2", *words, "run.name=one"]) == 2
    assert "There is a run called 'one'" in capsys.readouterr().err
    assert main(["space=vgg2", *words, f"weights={tmp_path}/vgg.h5"]) == 2
    assert f"Received: '{tmp_path}/vgg.h5', where there is no file" in capsys.readouterr().err


def test_a_dry_run_refuses_repeats_that_cannot_draw_a_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data.split.redraw=true", "search.repeats=30", "data.split.method=patient", "data.split.fraction=0.02"]
    for folder, first in (("NORMAL", "a"), ("PNEUMONIA", "b")):
        (tmp_path / "data/train" / folder).mkdir(parents=True)
        images = sorted((SAMPLE / "train" / folder).iterdir())[:24]
        for place, image in enumerate(images):  # the first image is a patient of its own, the others are two patients'
            name = f"{first}{place % 2 + 1 if place else 0}_{place}.jpeg"
            shutil.copyfile(image, tmp_path / "data/train" / folder / name)
    shutil.copytree(SAMPLE / "test", tmp_path / "data/test")
    words += [f"data.root={tmp_path}/data", f"data.cache={tmp_path}/cache", "dry_run=true"]
    assert main(["space=report2", *words, r"data.patient=([ab]\d)_"]) == 0
    capsys.readouterr()
    for folder in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "data/train" / folder / f"{'a' if folder == 'NORMAL' else 'b'}0_0.jpeg").unlink()
    assert main(["space=report2", *words, r"data.patient=([ab]\d)_"]) == 2
    assert "no patient of class normal" in capsys.readouterr().err


def test_a_dry_run_estimates_what_fits_from_the_epochs_of_an_earlier_run_like_it(tmp_path: Path) -> None:
    words = ["space=plain2", "search.max_epochs=4", "search.scheduler=none", f"run.storage={tmp_path}"]
    settings = load_settings([*words, "search.time_budget=10m"])
    plain = read_space(settings)
    assert budget_lines(load_settings(words), plain, 100) == []
    (line,) = budget_lines(settings, plain, 100)
    assert line == "time budget 10 min: what fits is not known before the first epochs are measured"
    folder = RunFolder(f"{tmp_path}/before")
    data = {"counts": {"train": [20, 30]}}
    folder.write_run(RunRecord("before", 0.0, "", "val_loss", ("a", "b"), settings.to_dict(), {}, data))
    about = {"time": 1.0, "trial": 0}
    events: list[dict[str, Any]] = [{"event": "suggested", **about, "parameters": {}, "seed": 0, "max_epochs": 4}]
    for epoch in (1, 2):
        metrics = asdict(make_epoch(epoch, 0.5, seconds=5.0, time=5.0 * epoch))
        events.append({"event": "epoch", **about, "metrics": metrics})
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    (line,) = budget_lines(settings, plain, 100)  # twice the images: 10 s an epoch
    assert "an epoch takes 10 s by those of before; with 1 trial at a time about 58 epochs, for 14 trials" in line
    assert "20 s are kept" in line
    (line,) = budget_lines(settings, plain, 100, at_a_time=2)
    assert "with 2 trials at a time about 116 epochs" in line
    (line,) = budget_lines(load_settings([*words, "search.time_budget=10m", "search.num_trials=3"]), plain, 100)
    assert "for 3 trials" in line
    assert "too few for a trial" in budget_lines(load_settings([*words, "search.time_budget=55s"]), plain, 100)[0]
    assert "20 s are kept to evaluate" in line  # nothing is confirmed
    again = load_settings([*words, "search.time_budget=10m", "search.confirm=1"])
    assert "are kept to confirm and to evaluate" in budget_lines(again, plain, 100)[0]
    trained_only = load_settings([*words, "search.time_budget=10m", "evaluate.enabled=false"])
    (line,) = budget_lines(trained_only, plain, 100)
    assert "about 60 epochs, for 15 trials, and nothing follows" in line
    rows = load_settings(["space=report2", *words[1:], "search.time_budget=2h", "space.name=plain2"])
    listed = read_space(rows)
    assert f"for {len(listed.rows)} trials" in budget_lines(rows, listed, 100)[0]  # not as many as there is time for


@pytest.mark.parametrize(
    ("seconds", "lasts", "start", "fits"),
    [
        (100.0, [10] * 36, 0.0, (10, 100)),
        (100.0, [10] * 36, 10.0, (5, 50)),  # every trial has to start
        (999.0, [10] * 36, 0.0, (36, 999)),
        (10.0, [2, 8, 8], 0.0, (2, 10)),  # published rows train for as long as the report says
        (9.0, [10], 0.0, (0, 9)),
        (-5.0, [10], 1.0, (0, 0)),
    ],
)
def test_trials_fit_with_their_starts_and_their_own_epochs(
    seconds: float, lasts: list[int], start: float, fits: tuple[int, int]
) -> None:
    search = load_settings(["space=plain2", "search.scheduler=none"]).search
    assert trials_in(seconds, lasts, search, 1.0, start) == fits
