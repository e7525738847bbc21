"""Processes that score trials and export the winner (Ray actors), and the work that is shared among them."""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.shards import ArraySource
from models.registry import build_model, build_trainable_part, told_apart, trainable_part
from search.driver.faults import fault_of
from search.driver.resources import TrialResources
from search.evaluate.gallery import write_gallery
from search.evaluate.predictions import (
    evaluation,
    prediction_table,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from search.evaluate.sets import EvaluationSet
from search.evaluate.winner import WINNER, winner_model
from search.plan.settings import TrainSettings
from search.record import TEST, Evaluation, RecordError, RunFolder, TrialRecord, Winner
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
def start_scorers(context: EvaluationContext, resources: TrialResources, most: int) -> Iterator[list[Any]]:
    """Processes that score and export; they are killed at the end: TensorFlow was seen to hang in an orderly exit.

    Args:
        context: what they need of the run.
        resources: of each, those of a trial.
        most: how many are of use.
    """
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


def score_all(scorers: Sequence[Any], trials: Sequence[TrialRecord]) -> Iterator[list[Evaluation]]:
    """The evaluations of each trial, as they are ready; work goes only to processes that have started.

    A process whose host was lost may wait for room for ever. A trial whose process was lost repeatedly has no
    evaluations.

    Args:
        scorers: of `start_scorers`.
        trials: finished ones.

    Raises:
        OSError: no process is left whose host works, or the storage fails.
    """
    import ray

    waiting, missing = list(trials), len(trials)
    at_work: dict[Any, tuple[Any, TrialRecord | None]] = {each.is_ready.remote(): (each, None) for each in scorers}
    idle: list[Any] = []
    while missing:
        (done,), _ = ray.wait(list(at_work), num_returns=1)
        scorer, trial = at_work.pop(done)
        try:
            found = ray.get(done)
        except ray.exceptions.RayActorError as error:
            if trial is None:
                _leave_out(error, at_work or idle)
                continue
            print(f"A process that scores trials was lost repeatedly: {error}")
            found = []
            at_work[scorer.is_ready.remote()] = scorer, None  # it gets no other trial before it has started again
        except OSError as error:  # its host does not work; the last process that is left speaks for the storage
            if trial is None or not (at_work or idle):
                raise
            print(f"Trial {trial.name} is scored by another process: {error}")
            waiting.append(trial)
            found = None
        else:
            idle.append(scorer)
        if found is not None and trial is not None:
            missing -= 1
            yield found
        while waiting and idle:
            scorer = idle.pop()
            trial = waiting.pop(0)
            at_work[scorer.score.remote(trial)] = scorer, trial


def export_winner(scorers: Sequence[Any], folder: RunFolder, members: Sequence[TrialRecord], winner: Winner) -> None:
    """Export the winner's model in one of the processes.

    Args:
        scorers: of `start_scorers`.
        folder: the run's.
        members: the trials that the winner averages, best first.
        winner: with its scores; its predictions are written.

    Raises:
        RecordError: the weights of a member cannot be read.
        OSError: no process is left whose host works, or the storage fails.
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
    """The first process that has started; others may wait for room.

    Raises:
        OSError: none could be started.
    """
    import ray

    answers = {scorer.is_ready.remote(): scorer for scorer in scorers}
    while True:
        (first,), _ = ray.wait(list(answers), num_returns=1)
        scorer = answers.pop(first)
        try:
            ray.get(first)
        except ray.exceptions.RayActorError as error:
            _leave_out(error, answers)
        else:
            return scorer


def _leave_out(error: Exception, others: Collection[Any]) -> None:
    """Say that a process did not start, which is its host's fault.

    Raises:
        OSError: there is no other process.
    """
    reason = fault_of(error).reason
    if not others:
        raise OSError(f"No process that scores trials could be started. Received: {reason}") from None
    print(f"A process that scores trials could not be started, others go on: {reason}")
