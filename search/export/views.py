"""A run's log as files for the tools people have.

Views, made anew from the log whenever asked: `trials.jsonl` (one line a trial, for pandas), TensorBoard
logs, and an Optuna study in a journal file that optuna-dashboard opens.
"""

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import record
from search.plan.searcher import distributions, study_parameters
from search.plan.space_file import read_space
from search.plan.spaces import Space
from search.plan.words import resume_settings
from search.record import EpochRecord, RunFolder, RunRecord, TrialRecord, to_json

if TYPE_CHECKING:
    import optuna

_CURVES = [entry.name for entry in fields(EpochRecord) if entry.name not in ("epoch", "time")]


def export_run(folder: RunFolder) -> None:
    """Write all views of a run; those of an earlier export are replaced."""
    run, trials = folder.read_run(), list(folder.read_trials().values())
    folder.write("".join(to_json(trial) + "\n" for trial in trials).encode(), "trials.jsonl")
    with tempfile.TemporaryDirectory() as scratch:
        write_tensorboard(trials, run.metric, Path(scratch, "tensorboard"))
        write_study(run, trials, Path(scratch, "optuna.log"))
        if folder.is_local:
            shutil.rmtree(folder.child("tensorboard"), ignore_errors=True)
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file():
                folder.write(path.read_bytes(), *path.relative_to(scratch).parts)


def write_tensorboard(trials: Iterable[TrialRecord], metric: str, target: Path) -> None:
    """Curves of every trial, and its hyperparameters beside its best value."""
    from tensorboardX import SummaryWriter

    for trial in trials:
        if not trial.epochs:
            continue
        with contextlib.closing(SummaryWriter(str(target / trial.name), write_to_disk=True)) as writer:
            for epoch in trial.epochs:
                for curve in _CURVES:
                    value = getattr(epoch, curve)
                    if value is not None:
                        writer.add_scalar(curve, value, epoch.epoch, walltime=epoch.time)
            best = trial.best_epoch(metric)
            if best is not None:
                parameters = {name: _scalar(value) for name, value in trial.parameters.items()}
                writer.add_hparams(parameters, {f"best/{metric}": getattr(best, metric)}, name="hparams")


def write_study(run: RunRecord, trials: Sequence[TrialRecord], target: Path) -> None:
    """The run as an Optuna study in a journal file; failed and stopped trials are told as such."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(target))),
        study_name=run.name,
        direction="minimize" if record.lower_is_better(run.metric) else "maximize",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([run.metric])
    space = read_space(resume_settings(run.config, []))
    study.add_trials([frozen_trial(trial, space, run.metric) for trial in trials])
    for lock in target.parent.glob(f"{target.name}.lock*"):
        os.remove(lock)


def frozen_trial(trial: TrialRecord, space: Space, metric: str) -> "optuna.trial.FrozenTrial":
    """One trial as Optuna holds it; all its hyperparameters, listed ones too, are user attributes besides."""
    from optuna.trial import TrialState, create_trial

    states = {record.FINISHED: TrialState.COMPLETE, record.STOPPED: TrialState.PRUNED}
    state = states.get(trial.status, TrialState.FAIL if trial.is_final else TrialState.RUNNING)
    best = trial.best_epoch(metric)
    if state in (TrialState.COMPLETE, TrialState.PRUNED) and best is None:
        state = TrialState.FAIL
    frozen = create_trial(
        state=state,
        value=getattr(best, metric) if best and state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        params=study_parameters(space, trial.parameters),
        distributions=distributions(space, trial.parameters),
        user_attrs={
            "trial": trial.name,
            "status": trial.status,
            "reason": trial.reason,
            "seed": trial.seed,
            **({} if trial.confirms is None else {"confirms": record.trial_name(trial.confirms)}),
            **{f"set {name}": _scalar(value) for name, value in trial.parameters.items()},
        },
        intermediate_values={
            epoch.epoch: value for epoch in trial.epochs if (value := getattr(epoch, metric)) is not None
        },
    )
    frozen.datetime_start = datetime.fromtimestamp(trial.started or trial.suggested)
    if state != TrialState.RUNNING:
        frozen.datetime_complete = datetime.fromtimestamp(trial.ended)
    return frozen


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)
