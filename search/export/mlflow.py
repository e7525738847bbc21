"""A run in MLflow: a run of its own with the winner's scores and files, and below it a run a trial."""

import os
import re
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import record
from search.evaluate.exported import MODEL, RECORD
from search.evaluate.signature import SIGNATURE
from search.evaluate.winner import CARD, CHECKLIST
from search.export.packages import check_packages
from search.plan.settings import SettingsError
from search.record import EpochRecord, Evaluation, RunFolder, RunRecord, TrialRecord

if TYPE_CHECKING:
    import mlflow
    import mlflow.entities

EXPERIMENT = "xray-search"
_STATUSES = {record.FINISHED: "FINISHED", record.STOPPED: "KILLED", record.DIVERGED: "FAILED", record.FAILED: "FAILED"}
_CURVES = [entry.name for entry in fields(EpochRecord) if entry.name not in ("epoch", "time")]
_FILES = (MODEL, SIGNATURE, RECORD, CARD, CHECKLIST)  # of the winner; its gallery shows patients
_MOST_METRICS = 1000  # that MLflow takes at once


def write_mlflow(run: str, uri: str) -> list[str]:
    """Log a run to MLflow; returns what was done, a line each. No image is sent.

    Args:
        run: a run's folder or URL, or a packed run.
        uri: where MLflow tracks, such as the address of its server.

    Raises:
        RecordError: there is no run.
        SettingsError: MLflow is not installed, or cannot log there.
    """
    check_packages("MLflow", {"mlflow": "mlflow-skinny"})
    folder = RunFolder(run)
    about, trials = folder.read_run(), list(folder.read_trials().values())
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it reports its use to its makers otherwise
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
        parent = _log_search(client, experiment, folder, about)
        for trial in trials:
            _log_trial(client, experiment, parent, trial)
    except MlflowException as error:
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise SettingsError(
            "--to mlflow is followed by what MLflow tracks at: its server (http://localhost:5000) or a database "
            f"(sqlite:///mlflow.db). Received: {uri} ({reason}). Check it, and that the server runs."
        ) from error
    below = record.counted(len(trials), "trial")
    return [f"Logged to {uri}, experiment {EXPERIMENT}: run {about.name}, and below it {below}"]


def _log_search(client: "mlflow.MlflowClient", experiment: str, folder: RunFolder, about: RunRecord) -> str:
    """Log the run with its winner; returns MLflow's id of it."""
    winner = folder.read_winner()
    started = round(1000 * about.created)
    tags = {"metric": about.metric, "fingerprint": str(about.data.get("fingerprint", ""))}
    logged = client.create_run(experiment, started, tags, run_name=about.name).info.run_id
    _log(client, logged, _search_parameters(about), score_metrics(winner.evaluations if winner else (), started))
    with tempfile.TemporaryDirectory() as scratch:
        for name in _FILES:
            if folder.exists("winner", name):
                Path(scratch, name).write_bytes(folder.read_own("winner", name))
        client.log_artifacts(logged, scratch, "winner")
    client.set_terminated(logged, "FINISHED")
    return str(logged)


def _log_trial(client: "mlflow.MlflowClient", experiment: str, parent: str, trial: TrialRecord) -> None:
    tags = {"mlflow.parentRunId": parent, "status": trial.status, "reason": trial.reason}
    started = round(1000 * (trial.started or trial.suggested))
    logged = client.create_run(experiment, started, tags, run_name=trial.name).info.run_id
    _log(client, logged, {**trial.parameters, "seed": trial.seed}, epoch_metrics(trial))
    if trial.is_final:
        client.set_terminated(logged, _STATUSES[trial.status], round(1000 * trial.ended))


def _log(
    client: "mlflow.MlflowClient",
    run_id: str,
    parameters: dict[str, Any],
    metrics: Iterable[tuple[str, float, int, int]],
) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
    found = [Metric(*each) for each in metrics]
    for start in range(0, len(found), _MOST_METRICS):
        client.log_batch(run_id, metrics=found[start : start + _MOST_METRICS])


def _search_parameters(about: RunRecord) -> dict[str, Any]:
    """How the search was made; no paths, which are of a machine."""
    settings = about.config.get("search", {})
    names = ("searcher", "scheduler", "num_trials", "max_epochs", "seed")
    space = (about.config.get("space") or {}).get("name", "")
    return {"space": space, **{name: settings[name] for name in names if name in settings}}


def score_metrics(evaluations: Iterable[Evaluation], time: int) -> Iterator[tuple[str, float, int, int]]:
    """A winner's scores as MLflow has them: name (`test/auc`), value, milliseconds since 1970, step."""
    for each in evaluations:
        dataset = re.sub(r"[^\w. -]", "_", each.dataset, flags=re.ASCII)  # MLflow refuses other signs
        for name, value in each.scores.items():
            yield f"{dataset}/{name}", value, time, 0


def epoch_metrics(trial: TrialRecord) -> Iterator[tuple[str, float, int, int]]:
    """A trial's scores at each epoch, as `score_metrics`."""
    for epoch in trial.epochs:
        for name in _CURVES:
            value = getattr(epoch, name)
            if value is not None:
                yield name, value, round(1000 * epoch.time), epoch.epoch
