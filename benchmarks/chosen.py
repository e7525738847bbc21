"""The model that a side of a race would have chosen at each moment, and its AUCs.

The only module of the race that opens the test set, which it does in the same way for every side.

Peers choose the model after the epoch with the highest `val_auc` so far, as Keras reports it. Ours chooses by the
search's own rule among the trials that had finished by then: the mean of up to five. Before one has finished it is the
best trial so far. While our search runs, `keep_best` links each new `best.npz` to a folder of its own, as the next
better epoch replaces it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.race_task import read_epochs
from data_pipeline.dataset import prepare_dataset
from data_pipeline.settings import DataSettings
from search.evaluate.sets import EvaluationSet, evaluation_sets
from search.evaluate.winner import best_trials
from search.plan.earlier import resumed_settings
from search.plan.settings import Settings
from search.record import TEST, VALIDATION, RunFolder, TrialRecord, rank
from search.record.events import fold
from search.trial.checkpoint import BEST, read_best
from search.trial.metrics import mean_auc

if TYPE_CHECKING:
    import keras

NO_MODEL = 0.5  # the AUC of guessing, while there is no model to choose
RUN, KEPT = "run", "kept"  # folders of our side: the run's own, and the weights that were kept


@dataclass(frozen=True)
class Standing:
    """Where a side stands at a moment; AUCs in [0, 1].

    Attributes:
        best: the highest validation AUC of any model so far; of a peer, that of the chosen model.
        validation: of the chosen model, and likewise `test`.
    """

    best: float = NO_MODEL
    validation: float = NO_MODEL
    test: float = NO_MODEL


@dataclass(frozen=True)
class Member:
    """A trained model that a choice consists of, alone or with others.

    Attributes:
        file: a model that Keras loads, or `best.npz` of a trial of ours.
        trial: of our search; None of a peer.
    """

    file: str
    trial: TrialRecord | None = None


def keep_best(run: Path, kept: Path) -> None:
    """Link the best weights of every trial of a run, unless they are kept already.

    They become `kept/TIME/trials/NAME/best.npz`, TIME in nanoseconds since 1970.
    """
    kept.mkdir(exist_ok=True)
    for file in run.glob(f"trials/*/{BEST}"):
        held = kept / f"held-{file.parent.name}"
        os.link(file, held)  # before its time is read: the next better epoch may replace it at any moment
        link = kept / str(held.stat().st_mtime_ns) / "trials" / file.parent.name / BEST
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(held, link)
        held.unlink()


def kept_best(kept: Path, trial: str, moment: float) -> Path | None:
    """The best weights that a trial had by then, seconds since 1970; None before its first."""
    files = ((int(file.parts[-4]), file) for file in kept.glob(f"*/trials/{trial}/{BEST}"))
    return max(((time, file) for time, file in files if time <= moment * 1e9), default=(0, None))[1]


def our_choice(folder: Path, settings: Settings, moment: float) -> list[Member]:
    """The members that our search would have chosen then; none before its first epoch."""
    trials = _trials_at(folder, moment)
    chosen = best_trials(trials, settings) or rank(trials, settings.search.metric)[:1]
    files = ((trial, kept_best(folder / KEPT, trial.name, moment)) for trial in chosen)
    return [Member(str(file), trial) for trial, file in files if file is not None]


def peer_choice(folder: Path, moment: float) -> list[Member]:
    """The model that a peer would have chosen then; none before its first epoch."""
    kept = [epoch for epoch in read_epochs(str(folder)) if epoch.model and epoch.time <= moment]
    # Not the last one: processes that train side by side may note a worse model after a better one.
    return [Member(str(folder / max(kept, key=lambda epoch: epoch.val_auc).model))] if kept else []


def standings(folder: Path, is_ours: bool, moments: Iterable[float], data: DataSettings) -> list[Standing]:
    """Where a side stood at each moment; without a model where it was stopped before its search began.

    Args:
        folder: of the side, with what it left behind.
        is_ours: whether it is our search, not a peer.
        moments: seconds since 1970.
        data: the images of the race.
    """
    run = RunFolder(str(folder / RUN))
    if is_ours and not run.exists("run.json"):
        return [Standing() for _ in moments]
    settings = resumed_settings(run) if is_ours else None
    sets = {each.name: each for each in evaluation_sets(prepare_dataset(data), with_shifted=False)}
    known: dict[str, dict[str, NDArray[np.float32]]] = {}
    found = []
    for moment in moments:
        members = our_choice(folder, settings, moment) if settings else peer_choice(folder, moment)
        for member in members:
            if member.file not in known:
                known[member.file] = _predict(member, settings, sets.values())
        if not members:
            found.append(Standing())
            continue
        aucs = mean_aucs([known[member.file] for member in members], sets)
        best = _best_auc(_trials_at(folder, moment)) if is_ours else aucs[VALIDATION]
        found.append(Standing(best, aucs[VALIDATION], aucs[TEST]))
    return found


def mean_aucs(
    predictions: Sequence[Mapping[str, NDArray[np.float32]]], sets: Mapping[str, EvaluationSet]
) -> dict[str, float]:
    """The AUC of the members' mean probabilities, float32 (n, 2) each, on every set."""
    means = {name: np.stack([each[name] for each in predictions]).mean(axis=0, dtype=np.float64) for name in sets}
    return {name: _number(mean_auc(sets[name].labels, mean)) for name, mean in means.items()}


def _trials_at(folder: Path, moment: float) -> list[TrialRecord]:
    """The trials of our run as its log had them then."""
    events = RunFolder(str(folder / RUN)).read_events()
    return list(fold(event for event in events if event["time"] <= moment).values())


def _best_auc(trials: Iterable[TrialRecord]) -> float:
    return max((_number(epoch.val_auc) for trial in trials for epoch in trial.epochs), default=NO_MODEL)


def _number(auc: float | None) -> float:
    """An AUC; NO_MODEL where it is undefined, as with a probability that is NaN."""
    return NO_MODEL if auc is None else auc


def _predict(
    member: Member, settings: Settings | None, sets: Iterable[EvaluationSet]
) -> dict[str, NDArray[np.float32]]:
    from search.trial.process import release_memory
    from search.trial.training import predict

    model = _load(member, settings)
    found = {each.name: predict(model, each.images, each.rows) for each in sets}
    del model
    release_memory()
    return found


def _load(member: Member, settings: Settings | None) -> "keras.Model":
    import keras

    if settings is None or member.trial is None:
        return keras.models.load_model(member.file, custom_objects=_autokeras_objects(), compile=False)
    from models.registry import build_model, trainable_part
    from search.trial.training import assign, trial_config

    config = trial_config(member.trial, settings.train)
    kept = RunFolder(str(Path(member.file).parents[2]))
    model = build_model(config.model, settings.data.image.shape, 2)
    assign(trainable_part(model).weights, read_best(kept, member.trial.name).weights)
    return model


def _autokeras_objects() -> Mapping[str, Any] | None:
    """The layers of AutoKeras, where it is installed; other peers have Keras' own."""
    try:
        from autokeras import CUSTOM_OBJECTS
    except ImportError:
        return None
    return dict(CUSTOM_OBJECTS)
