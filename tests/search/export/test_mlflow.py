"""A run in MLflow, logged to its file store."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from search.export.__main__ import main
from search.export.mlflow import EXPERIMENT, epoch_metrics, score_metrics
from search.record import Evaluation, FindingScore, RunFolder, TrialRecord
from tests.conftest import make_epoch


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's client of an empty store."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its store and other packages
        from mlflow import MlflowClient

        yield MlflowClient(f"file://{tmp_path / 'store'}")


def test_a_run_is_logged_with_its_trials_below_it(client: Any, exported_run: RunFolder, tmp_path: Path) -> None:
    assert main([exported_run.url, "--to", "mlflow", client.tracking_uri]) == 0
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    logged = {each.info.run_name: each for each in client.search_runs([experiment])}
    assert set(logged) == {"one", "0000", "0001"}
    parent = logged["one"]
    assert {logged[name].data.tags["mlflow.parentRunId"] for name in ("0000", "0001")} == {parent.info.run_id}
    assert (logged["0001"].data.params["seed"], parent.info.status) == ("1", "FINISHED")
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "winner")}
    assert {"winner/model.keras", "winner/signature.json", "winner/winner.json"} <= files
    assert not {path for path in files if path.endswith(".png")}
    assert main([exported_run.url, "--to", "mlflow", client.tracking_uri]) == 0  # once more: the same experiment
    assert len(client.search_runs([experiment])) == 6


def test_an_address_that_mlflow_does_not_know_is_one_message(
    client: Any, exported_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([exported_run.url, "--to", "mlflow", "nonsense://here"]) == 2
    said = capsys.readouterr().err
    assert "Received: nonsense://here (" in said
    assert "Traceback" not in said


def test_each_epoch_has_its_scores_and_its_time() -> None:
    trial = TrialRecord(0, {}, seed=0, max_epochs=2, epochs=[make_epoch(1, 0.5, time=10.0), make_epoch(2, None)])
    metrics = list(epoch_metrics(trial))
    assert ("val_loss", 0.5, 10_000, 1) in metrics
    assert ("val_auc", 0.8, 0, 2) in metrics
    assert [step for name, _, _, step in metrics if name == "val_loss"] == [1]


def test_the_winner_has_its_scores_on_each_set() -> None:
    scored = Evaluation(2, "clinic (ü)", "best", 1, 263, 0.5, 0.9, 0.9, 0.95, None, 0.75, [])
    names = {name: value for name, value, _, _ in score_metrics([scored], 0)}
    assert names["clinic ___/auc"] == 0.95
    assert "clinic ___/sensitivity" not in names
    of_findings = Evaluation(
        2, "test", "best", 1, 9, 0.5, 0.9, 0.9, 0.95, 1, 1, [], findings=(FindingScore(9, 0.95, 1),)
    )
    assert [name for name, _, _, _ in score_metrics([of_findings], 0)] == ["test/loss", "test/auc"]
