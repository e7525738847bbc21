"""The command: what it trains, where its table goes, and what it says of the test set."""

from pathlib import Path

import pytest

from benchmarks import harness, searches
from benchmarks.checkout import ROOT
from benchmarks.curves import __main__ as command
from benchmarks.curves.table import read_curves, table_path
from benchmarks.curves.training import full_length_words, train_curves
from search.plan.words import load_settings
from search.record import FINISHED, RunFolder, RunRecord, to_json
from tests.conftest import make_epoch


def make_run(folder: RunFolder, count: int) -> None:
    words = [*full_length_words("cnn2", count), "data.size=64", "search.max_epochs=2", "evaluate.enabled=false"]
    config = load_settings([*words, "search.asha.grace_period=1", "train.epoch_images=null"]).to_dict()
    data = {"fingerprint": "abc", "counts": {"train": [30, 34]}}
    shipped = "python -m search.run " + " ".join(words)
    folder.write_run(RunRecord(folder.name, 1.0, shipped, "val_loss", ("a", "b"), config, {"processor": "p"}, data))
    events: list[dict[str, object]] = []
    parameters = {**config["space"]["guess"], "backbone": "cnn", "normalize": True, "padding": "same"}
    parameters |= {"batch_norm": "block", "pooling": "average"}
    for number in range(count):
        about = {"time": 1.0, "trial": number}
        events.append({"event": "suggested", **about, "parameters": parameters, "seed": 0, "max_epochs": 2})
        for epoch in (1, 2):
            events.append({"event": "epoch", **about, "metrics": vars_of(epoch), "host": "", "process": 0})
        events.append({"event": "ended", **about, "status": FINISHED})
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")


def vars_of(epoch: int) -> dict[str, object]:
    record = make_epoch(epoch, 0.5 / epoch)
    return {name: getattr(record, name) for name in record.__slots__}


def test_a_table_is_written_from_what_is_finished(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    make_run(folder, 3)
    command.gather(folder, tmp_path / "cnn2.parquet")
    found = read_curves(tmp_path / "cnn2.parquet")
    assert [[epoch.val_loss for epoch in trial.epochs] for trial in found.trials] == [[0.5, 0.25]] * 3
    assert found.about.images == 64


def test_more_trials_are_asked_of_the_search_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(searches, "run_search", lambda words, store, name: asked.append(list(words)))
    monkeypatch.setattr(harness, "data_fingerprint", lambda root: "abc")
    folder = train_curves("cnn2", "FOLDER", 3, store=tmp_path)
    assert "search.num_trials=3" in asked.pop()
    make_run(folder, 3)
    train_curves("cnn2", "FOLDER", 3, store=tmp_path)
    assert not asked  # nothing is missing
    train_curves("cnn2", "FOLDER", 5, store=tmp_path)
    assert asked[0][0] == f"resume={folder.url}"
    assert "search.num_trials=5" in asked[0]


def test_images_are_named_or_the_sample_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--root", "x", "--quick"]):
        with pytest.raises(SystemExit):
            command.main(words)
    assert "--root FOLDER" in capsys.readouterr().err


def test_a_quick_table_is_never_published() -> None:
    assert table_path("cnn2").parent == ROOT / "benchmarks" / "curves"
    assert table_path("cnn2", quick=True).is_relative_to(ROOT / "build" / "quick")
