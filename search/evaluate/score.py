"""Scores a run's finished trials and exports the winner, in processes of their own (Ray actors).

The weights of a trial's best validation epoch, or of its last, are scored on every set of `search.evaluate.sets`. Test
results are made here and nowhere else, after the search: nothing that trains, schedules or samples imports this module.
The winner is chosen by validation alone (`search.evaluate.winner`).
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.shards import ArraySource
from models.registry import build_model, build_trainable_part, told_apart, trainable_part
from search.driver.resources import TrialResources
from search.driver.session import Session
from search.evaluate.gallery import write_gallery
from search.evaluate.predictions import (
    evaluation,
    prediction_table,
    predictions_source,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from search.evaluate.sets import EvaluationSet, calibration_groups, evaluation_sets
from search.evaluate.signature import SIGNATURE, make_signature
from search.evaluate.winner import (
    WINNER,
    best_trials,
    held_shares,
    is_same_model,
    make_winner,
    propose_winner,
    read_members,
    record_winner,
    score_winner,
    winner_model,
    write_card,
)
from search.plan.settings import EvaluateSettings, TrainSettings
from search.record import (
    EVALUATED,
    FINISHED,
    SHIFTED,
    TEST,
    VALIDATION,
    Evaluation,
    EventLog,
    RecordError,
    RunFolder,
    TrialRecord,
    Winner,
    to_json,
)
from search.trial.checkpoint import Checkpoint, CheckpointError, configuration_hash, read_best, read_checkpoint
from search.trial.features import Backbones
from search.trial.process import prepare_process, release_memory
from search.trial.training import TrialConfig, assign, predict, trial_config


@dataclass(frozen=True)
class EvaluationContext:
    """What scoring needs of a run; the sets and the backbones lie in Ray's object store.

    Attributes:
        run_url: of the run's folder.
        patience: how many seconds to wait for a storage that fails.
        train: of the run's settings.
        classes: class names, in the order of the labels.
        sets: a reference to the list of `EvaluationSet`.
        backbones: pretrained weights and features.
        which: the weights of each trial that are scored, `best` or `last`.
        source: what the predictions are made from; stored with them.
        threads: of each process.
        is_multilabel: whether an image may show several of the classes.
    """

    run_url: str
    patience: float
    train: TrainSettings
    classes: tuple[str, ...]
    sets: Any
    backbones: Backbones
    which: str
    source: str
    threads: int
    is_multilabel: bool = False


def evaluate_run(session: Session, folder: RunFolder, say: Callable[[str], None] = print) -> list[Evaluation]:
    """Score every finished trial that has no scores yet, and write evaluations, predictions and the winner.

    The winner's record comes last: a run that has one is complete. A winner that was exported before stays, unless
    `evaluate.replace_winner` says otherwise. The log records the look at the test sets before it happens. Needs a
    running Ray. Returns all evaluations of the run.

    Args:
        session: of the run.
        folder: the run's.
        say: called with a line where the settings would export another winner than the one that stays.

    Raises:
        RecordError: the winner's weights cannot be read.
    """
    import ray

    recorded = folder.read_trials().values()
    trials = [trial for trial in recorded if trial.status == FINISHED]
    settings, dataset = session.settings, session.dataset
    sets = evaluation_sets(dataset, settings.search.judges_by_shifted, session.repeats, session.disks)
    which = settings.evaluate.weights
    source = scoring_source(which, sets)
    known = known_evaluations(folder, trials, which, source)
    open_trials = [trial for trial in trials if any((trial.number, each.name) not in known for each in sets)]
    if not trials:
        return []
    if settings.evaluate.replace_winner:
        folder.remove("winner", "winner.json")
    _note_look(folder, sets, len(trials), settings.evaluate)
    context = EvaluationContext(
        run_url=folder.absolute_url,
        patience=settings.run.patience,
        train=settings.train,
        classes=dataset.manifest.classes,
        sets=ray.put(sets),
        backbones=session.backbones,
        which=which,
        source=source,
        threads=session.resources.threads,
        is_multilabel=dataset.manifest.is_multilabel,
    )
    with _scorers(context, session.resources, most=max(1, len(open_trials))) as scorers:
        for found in _score_all(scorers, open_trials):
            known |= {(entry.trial, entry.dataset): entry for entry in found}
        evaluations = [known[key] for key in sorted(known)]
        folder.write("".join(to_json(entry) + "\n" for entry in evaluations).encode(), "evaluation.jsonl")
        scored = {entry.trial for entry in evaluations}
        usable = [trial for trial in recorded if trial.status != FINISHED or trial.number in scored]
        _settle_winner(session, folder, usable, scorers, say)
    return evaluations


def _note_look(folder: RunFolder, sets: Sequence[EvaluationSet], trials: int, settings: EvaluateSettings) -> None:
    """Record in the log that test sets are looked at, and how."""
    images = {each.name: len(each.rows) for each in sets if each.name not in (VALIDATION, SHIFTED)}
    log = EventLog(folder)
    try:
        log.append(EVALUATED, images=images, trials=trials, settings=asdict(settings))
    finally:
        log.close()


def scoring_source(which: str, sets: Sequence[EvaluationSet]) -> str:
    """What predictions are made from: which weights, on which images."""
    return json.dumps({"weights": which, "sets": {each.name: each.fingerprint for each in sets}})


def known_evaluations(
    folder: RunFolder, trials: Sequence[TrialRecord], which: str, source: str
) -> dict[tuple[int, str], Evaluation]:
    """Evaluations that still hold, by trial and set: those whose predictions were made from the same source."""
    sound = {trial.number for trial in trials if predictions_source(folder, trial.name) == source}
    return {(e.trial, e.dataset): e for e in folder.read_evaluations() if e.trial in sound and e.weights == which}


def _settle_winner(
    session: Session,
    folder: RunFolder,
    trials: Sequence[TrialRecord],
    scorers: Sequence[Any],
    say: Callable[[str], None],
) -> None:
    """Make and export the winner, its record last; one that was exported before stays, and is scored on new sets.

    Args:
        session: of the run.
        folder: the run's.
        trials: all of the run but for finished ones that could not be scored.
        scorers: the processes.
        say: as in `evaluate_run`.
    """
    settings = session.settings
    members = best_trials(trials, settings)
    if not members:
        return
    groups = calibration_groups(session.dataset, settings.search.judges_by_shifted)
    patients = {row.image_id: row.group for row in session.dataset.manifest.pool_rows}
    kept = folder.read_winner()
    if kept is not None:
        proposed = propose_winner(folder, members, settings.evaluate, groups, patients).winner
        keep_winner(folder, kept, proposed, trials, settings.evaluate, say)
        return
    winner = make_winner(folder, members, settings.evaluate, groups, patients)
    _export(folder, members, winner, scorers)
    signature = make_signature(session.dataset, settings.data, winner.shares)
    folder.write(signature.to_json().encode(), "winner", SIGNATURE)
    folder.write_winner(winner)


def keep_winner(
    folder: RunFolder,
    kept: Winner,
    proposed: Winner,
    trials: Sequence[TrialRecord],
    settings: EvaluateSettings,
    say: Callable[[str], None],
) -> None:
    """Leave the exported model as it is: only its scores on sets that were added and its card are written.

    Args:
        folder: the run's.
        kept: the winner that was exported.
        proposed: the one that the settings would export.
        trials: as in `_settle_winner`.
        settings: that the trials were scored with.
        say: called with a line if the settings would export another model.
    """
    if not is_same_model(kept, proposed):
        say(
            f"The exported winner stays as it is: {kept.what}, {kept.operating_point.words}. These settings would "
            f"export another: {proposed.what}, {proposed.operating_point.words}. "
            "To replace it, add evaluate.replace_winner=true."
        )
    members = [trial for number in kept.trials for trial in trials if trial.number == number]
    scored_weights = {entry.weights for entry in kept.evaluations}
    if len(members) < len(kept.trials):
        return
    kept = replace(kept, shares=kept.shares or held_shares(folder.read_run(), members, kept.calibrated_on))
    if scored_weights == {settings.weights}:  # else the predictions are of other weights than the winner's
        kept = record_winner(folder, members, score_winner(kept, read_members(folder, members), settings))
        folder.write_winner(kept)
    else:
        write_card(folder, members, kept)


def _export(folder: RunFolder, members: Sequence[TrialRecord], winner: Winner, scorers: Sequence[Any]) -> None:
    """Export the winner's model in one of the processes.

    Raises:
        RecordError: the weights of a member cannot be read.
    """
    import ray

    try:
        _export_anywhere(scorers, members, winner)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, CheckpointError):
            raise RecordError(
                f"The winner is exported from its trials' weights. Received: {error.cause} "
                f"Restore the files below {folder.url}/trials and evaluate the run again."
            ) from None
        raise


class Scorer:
    """Scores and exports trained weights in a process of its own (a Ray actor).

    Args:
        context: what it needs of the run.
    """

    def __init__(self, context: EvaluationContext) -> None:
        import ray

        prepare_process(context.threads, context.train.deterministic)
        self._context = context
        self._folder = RunFolder(context.run_url).patient(context.patience)
        self._sets: list[EvaluationSet] = ray.get(context.sets)

    def is_ready(self) -> bool:
        """True, as soon as the process has started."""
        return True

    def score(self, trial: TrialRecord) -> list[Evaluation]:
        """One trial's evaluations; its predictions are written to the run's folder.

        There are none for a trial whose weights are missing or damaged: scoring goes on with the other trials.
        """
        try:
            checkpoint = self._read(trial)
        except CheckpointError as error:
            print(f"Trial {trial.name} cannot be scored: {error}")
            return []
        config = trial_config(trial, self._context.train)
        backbones = self._context.backbones
        sets = [each for each in self._sets if each.repeat in (None, trial.repeat)]
        if backbones.has_features(config.model):
            inputs: list[ArraySource] = [backbones.plain(config, each.images, each.fingerprint) for each in sets]
            model = self._build(config, build_trainable_part, checkpoint)
        else:
            inputs = [each.images for each in sets]
            model = self._build(config, build_model, checkpoint)
        evaluations, tables = [], []
        for each, images in zip(sets, inputs, strict=True):
            probabilities = predict(model, images, each.rows)
            where = trial.number, each.name, self._context.which, checkpoint.epoch
            evaluations.append(evaluation(*where, each.labels, probabilities, each.patients))
            columns: dict[str, Any] = {"patient": each.patients, **each.traits}
            classes = self._context.classes
            tables.append(prediction_table(each.name, each.image_ids, each.labels, probabilities, classes, columns))
        together = pa.concat_tables(tables, promote_options="default")  # sets may have other traits
        write_predictions(self._folder, together, trial.name, self._context.source)
        del model
        release_memory()
        return evaluations

    def export(self, members: Sequence[TrialRecord], winner: Winner) -> None:
        """Write the winner as `winner/model.keras`, which Keras loads in safe mode, and the gallery of its mistakes.

        With several findings an image there is no gallery.
        """
        models = [
            self._build(trial_config(trial, self._context.train), build_model, self._read(trial)) for trial in members
        ]
        model = winner_model(models, winner)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "model.keras")
            model.save(path)
            self._folder.write(path.read_bytes(), "winner", "model.keras")
        if self._context.is_multilabel:
            return
        test = next(each for each in self._sets if each.name == TEST)
        table = read_predictions(self._folder, WINNER)
        own = np.array(table["dataset"].to_pylist()) == TEST
        # Where the winner averages several models, Grad-CAM explains the best one.
        write_gallery(self._folder, models[0], test, probabilities_of(table)[own], self._context.classes)

    def _build(self, config: TrialConfig, build: Callable[..., Any], checkpoint: Checkpoint) -> Any:
        """The trial's model, or what lies above its frozen part, with its trained weights."""
        import keras

        keras.config.set_dtype_policy(config.train.precision)  # as in the trial
        shape, context = self._sets[0].images.shape[1:], self._context
        classes = told_apart(context.classes, context.is_multilabel)
        model = build(config.model, shape, classes, self._context.backbones.arrays(config.model), config.seed)
        assign(trainable_part(model).weights, checkpoint.weights)
        return model

    def _read(self, trial: TrialRecord) -> Checkpoint:
        if self._context.which == "best":
            return read_best(self._folder, trial.name, configuration_hash(trial))
        checkpoint, _ = read_checkpoint(self._folder, trial.name, configuration_hash(trial))
        if checkpoint is None:
            raise CheckpointError(f"Trial {trial.name} has no sound checkpoint.")
        return checkpoint


@contextlib.contextmanager
def _scorers(context: EvaluationContext, resources: TrialResources, most: int) -> Iterator[list[Any]]:
    """Processes that score and export; they are killed at the end: TensorFlow was seen to hang in an orderly exit."""
    import ray

    # A process that is lost with its host is restarted elsewhere, and its task is run again.
    share = {"num_cpus": resources.cpu, "num_gpus": resources.gpu, "memory": resources.memory or None}
    actor = ray.remote(**share, max_restarts=-1, max_task_retries=3)(Scorer)
    actors = [actor.remote(context) for _ in range(min(most, resources.at_a_time))]
    try:
        yield actors
    finally:
        for each in actors:
            ray.kill(each)


def _score_all(scorers: Sequence[Any], trials: Sequence[TrialRecord]) -> Iterator[list[Evaluation]]:
    """The evaluations of each trial, as they are ready; work goes only to processes that have started.

    A process whose host was lost may wait for room for ever.
    """
    import ray

    waiting, missing = list(trials), len(trials)
    at_work: dict[Any, tuple[Any, TrialRecord | None]] = {each.is_ready.remote(): (each, None) for each in scorers}
    idle: list[Any] = []
    while missing:
        (done,), _ = ray.wait(list(at_work), num_returns=1)
        scorer, trial = at_work.pop(done)
        found = None
        try:
            found = ray.get(done)
        except ray.exceptions.RayActorError as error:
            print(f"A process that scores trials was lost repeatedly: {error}")
            found = []
        except OSError as error:  # its host does not work; the last process that is left speaks for the storage
            if trial is None or not (at_work or idle):
                raise
            print(f"Trial {trial.name} is scored by another process: {error}")
            waiting.append(trial)
        if found is not None:
            idle.append(scorer)
        if found is not None and trial is not None:
            missing -= 1
            yield found
        while waiting and idle:
            scorer = idle.pop()
            trial = waiting.pop(0)
            at_work[scorer.score.remote(trial)] = scorer, trial


def _export_anywhere(scorers: Sequence[Any], members: Sequence[TrialRecord], winner: Winner) -> None:
    """Export the winner in the first process that answers; in another one where its host does not work."""
    import ray

    scorer = _first_ready(scorers)
    others = [each for each in scorers if each is not scorer]
    try:
        ray.get(scorer.export.remote(members, winner))
    except OSError as error:
        if not others:
            raise
        print(f"The winner is exported by another process: {error}")
        _export_anywhere(others, members, winner)


def _first_ready(scorers: Sequence[Any]) -> Any:
    """The first process that answers; others may wait for room."""
    import ray

    answers = {scorer.is_ready.remote(): scorer for scorer in scorers}
    (first,), _ = ray.wait(list(answers), num_returns=1)
    return answers[first]
