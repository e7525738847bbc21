"""Test results, made after the search and only here: `python -m search.evaluate RUN`.

Every finished trial's weights (of its best validation epoch, or its last) are scored on validation, on
the test set and on outside test sets. The winner is chosen by validation alone (search.winner), then exported.
Nothing in this module is imported by what trains, schedules or samples.
"""

import contextlib
import json
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_pipeline.dataset import Dataset, read_images
from data_pipeline.manifest import ImageRow
from data_pipeline.preprocess import PreparedImages
from data_pipeline.shift import shift_ways, shifted, shifted_fingerprint
from data_pipeline.split import Split
from models.registry import build_model, build_trainable_part, trainable_part
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
from search.evaluate.winner import WINNER, best_trials, make_winner, winner_model
from search.plan.settings import TrainSettings
from search.record import (
    FINISHED,
    SHIFTED,
    TEST,
    VALIDATION,
    Evaluation,
    RecordError,
    RunFolder,
    TrialRecord,
    Winner,
    to_json,
)
from search.trial.checkpoint import Checkpoint, CheckpointError, read_best, read_checkpoint
from search.trial.features import Backbones
from search.trial.process import prepare_process, release_memory
from search.trial.training import TrialConfig, assign, predict, trial_config


@dataclass(frozen=True)
class EvaluationSet:
    """Images that trained weights are scored on.

    Attributes:
        images: uint8 (N, H, W, C).
        rows: the images that are scored, int64 (n,).
        labels: theirs, int64 (n,).
        image_ids: their n names, as in the manifest.
        fingerprint: equal for equal `images`.
        repeat: whose trials are scored on it; None for all.
    """

    name: str
    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    image_ids: tuple[str, ...]
    fingerprint: str
    repeat: int | None = None


@dataclass(frozen=True)
class EvaluationContext:
    """What scoring needs of a run; the sets and the backbones lie in the object store.

    Attributes:
        source: what the predictions are made from, kept with them.
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


def evaluation_sets(dataset: Dataset, with_shifted: bool, repeats: Sequence[Split] = ()) -> list[EvaluationSet]:
    """Validation (and its shifted copy), test and the outside test sets, decoded.

    Args:
        dataset: of the run.
        with_shifted: whether trials were judged by the shifted copy.
        repeats: the splits of every repeat of a configuration, where each has its own.
    """
    manifest = dataset.manifest
    splits: list[tuple[int | None, Split]] = [*enumerate(repeats)] or [(None, dataset.split)]
    pool = np.asarray(dataset.pool.open())  # once: the sets of all repeats share it in the object store
    sets = [each for repeat, split in splits for each in _validation_sets(dataset, pool, split, with_shifted, repeat)]
    sets.append(_test_set(TEST, manifest.test_rows, dataset.test))
    sets += [_test_set(name, rows, images) for name, (rows, images) in dataset.extra_tests.items()]
    return sets


def _validation_sets(
    dataset: Dataset, pool: NDArray[np.uint8], split: Split, with_shifted: bool, repeat: int | None
) -> list[EvaluationSet]:
    manifest, chosen, fingerprint = dataset.manifest, split.validation, dataset.pool.fingerprint
    labels, ids = manifest.pool_labels[chosen], tuple(manifest.pool_rows[place].image_id for place in chosen)
    sets = [EvaluationSet(VALIDATION, pool, chosen, labels, ids, fingerprint, repeat)]
    if with_shifted:
        copy, known_as = shifted(pool, chosen), shifted_fingerprint(fingerprint, chosen)
        sets.append(EvaluationSet(SHIFTED, copy, np.arange(len(chosen)), labels, ids, known_as, repeat))
    return sets


def _ways_of_change(dataset: Dataset) -> dict[str, str]:
    """In which way the shifted copy of each image of the pool is changed, by its name."""
    names = [row.image_id for row in dataset.manifest.pool_rows]
    return dict(zip(names, shift_ways(np.arange(len(names))), strict=True))


def _patient_folds(dataset: Dataset) -> dict[str, str]:
    """One of ten folds for each image of the pool, by its name; all images of a patient are in the same."""
    return {row.image_id: str(zlib.crc32(row.group.encode()) % 10) for row in dataset.manifest.pool_rows}


def _test_set(name: str, rows: Sequence[ImageRow], prepared: PreparedImages) -> EvaluationSet:
    labels = np.array([row.label for row in rows], np.int64)
    images, ids = read_images(prepared, rows), tuple(row.image_id for row in rows)
    return EvaluationSet(name, images, np.arange(len(rows)), labels, ids, prepared.fingerprint)


def evaluate_run(session: Session, folder: RunFolder) -> list[Evaluation]:
    """Score every finished trial that is not scored yet, and write evaluations, predictions and the winner.

    The winner's record comes last: a run that has one is whole. Needs a running Ray. Returns all evaluations of the
    run.

    Raises:
        DataError: an outside test set cannot be used.
        RecordError: the winner's weights cannot be read.
    """
    import ray

    trials = [trial for trial in folder.read_trials().values() if trial.status == FINISHED]
    settings, dataset = session.settings, session.dataset
    sets = evaluation_sets(dataset, settings.search.judges_by_shifted, session.repeats)
    which = settings.evaluate.weights
    source = _source(which, sets)
    sound = {trial.number for trial in trials if predictions_source(folder, trial.name) == source}
    known = {(e.trial, e.dataset): e for e in folder.read_evaluations() if e.trial in sound and e.weights == which}
    open_trials = [trial for trial in trials if any((trial.number, each.name) not in known for each in sets)]
    folder.remove("winner", "winner.json")
    if not trials:
        return []
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
    )
    with _scorers(context, session.resources, most=max(1, len(open_trials))) as scorers:
        for found in _score_all(scorers, open_trials):
            known |= {(entry.trial, entry.dataset): entry for entry in found}
        evaluations = [known[key] for key in sorted(known)]
        folder.write("".join(to_json(entry) + "\n" for entry in evaluations).encode(), "evaluation.jsonl")
        scored = {entry.trial for entry in evaluations}
        members = best_trials([trial for trial in trials if trial.number in scored], settings)
        if members:
            parts = _ways_of_change(dataset) if settings.search.judges_by_shifted else _patient_folds(dataset)
            winner = make_winner(folder, members, settings.evaluate, parts)
            try:
                ray.get(_first_ready(scorers).export.remote(members, winner))
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, CheckpointError):
                    raise RecordError(f"The winner's weights must be there to be exported: {error.cause}") from None
                raise
            folder.write_winner(winner)
    return evaluations


def _source(which: str, sets: Sequence[EvaluationSet]) -> str:
    """What predictions are made from: which weights, on which images."""
    return json.dumps({"weights": which, "sets": {each.name: each.fingerprint for each in sets}})


class Scorer:
    """Scores and exports trained weights in a process of its own (a Ray actor)."""

    def __init__(self, context: EvaluationContext) -> None:
        import ray

        prepare_process(context.threads)
        self._context = context
        self._folder = RunFolder(context.run_url).patient(context.patience)
        self._sets: list[EvaluationSet] = ray.get(context.sets)

    def is_ready(self) -> bool:
        """Whether it has begun."""
        return True

    def score(self, trial: TrialRecord) -> list[Evaluation]:
        """One trial's evaluations; its per-image probabilities are written to the run's folder.

        A trial whose weights are gone or damaged has none: the others go on.
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
            inputs = [backbones.plain(config, each.images, each.fingerprint) for each in sets]
            model = self._build(config, build_trainable_part, checkpoint)
        else:
            inputs = [each.images for each in sets]
            model = self._build(config, build_model, checkpoint)
        evaluations, tables = [], []
        for each, images in zip(sets, inputs, strict=True):
            probabilities = predict(model, images, each.rows)
            evaluations.append(
                evaluation(trial.number, each.name, self._context.which, checkpoint.epoch, each.labels, probabilities)
            )
            classes = self._context.classes
            tables.append(prediction_table(each.name, each.image_ids, each.labels, probabilities, classes))
        write_predictions(self._folder, pa.concat_tables(tables), trial.name, self._context.source)
        del model
        release_memory()
        return evaluations

    def export(self, members: Sequence[TrialRecord], winner: Winner) -> None:
        """Write the winner as `winner/model.keras`, which Keras loads in safe mode, and its mistakes."""
        models = [
            self._build(trial_config(trial, self._context.train), build_model, self._read(trial)) for trial in members
        ]
        model = winner_model(models, winner)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "model.keras")
            model.save(path)
            self._folder.write(path.read_bytes(), "winner", "model.keras")
        test = next(each for each in self._sets if each.name == TEST)
        table = read_predictions(self._folder, WINNER)
        own = np.array(table["dataset"].to_pylist()) == TEST
        # Where the winner averages several models, the best one says what it looked at.
        write_gallery(self._folder, models[0], test, probabilities_of(table)[own], self._context.classes)

    def _build(self, config: TrialConfig, build: Callable[..., Any], checkpoint: Checkpoint) -> Any:
        """The trial's model, or what lies above its frozen part, with its trained weights."""
        import keras

        keras.config.set_dtype_policy(config.train.precision)  # as in the trial
        shape, classes = self._sets[0].images.shape[1:], len(self._context.classes)
        model = build(config.model, shape, classes, self._context.backbones.arrays(config.model), config.seed)
        assign(trainable_part(model).weights, checkpoint.weights)
        return model

    def _read(self, trial: TrialRecord) -> Checkpoint:
        if self._context.which == "best":
            return read_best(self._folder, trial.name)
        checkpoint, _ = read_checkpoint(self._folder, trial.name)
        if checkpoint is None:
            raise CheckpointError(f"Trial {trial.name} has no sound checkpoint.")
        return checkpoint


@contextlib.contextmanager
def _scorers(context: EvaluationContext, resources: TrialResources, most: int) -> Iterator[list[Any]]:
    """Processes that score and export; ended by force: TensorFlow was seen to hang in an orderly exit."""
    import ray

    # One that is lost with its host begins again elsewhere, and so does its work.
    actor = ray.remote(num_cpus=resources.cpu, num_gpus=resources.gpu, max_restarts=-1, max_task_retries=3)(Scorer)
    actors = [actor.remote(context) for _ in range(min(most, resources.at_a_time))]
    try:
        yield actors
    finally:
        for each in actors:
            ray.kill(each)


def _score_all(scorers: Sequence[Any], trials: Sequence[TrialRecord]) -> Iterator[list[Evaluation]]:
    """The evaluations of each trial, as they come; a process that finds no room, its host lost, gets no work."""
    import ray

    waiting, missing = list(trials), len(trials)
    at_work = {scorer.is_ready.remote(): scorer for scorer in scorers}
    idle: list[Any] = []
    while missing:
        (done,), _ = ray.wait(list(at_work), num_returns=1)
        idle.append(at_work.pop(done))
        try:
            found = ray.get(done)
        except ray.exceptions.RayActorError as error:
            print(f"A process that scored a trial died again and again: {error}")
            found = []
        if isinstance(found, list):
            missing -= 1
            yield found
        while waiting and idle:
            scorer = idle.pop()
            at_work[scorer.score.remote(waiting.pop(0))] = scorer


def _first_ready(scorers: Sequence[Any]) -> Any:
    import ray

    answers = {scorer.is_ready.remote(): scorer for scorer in scorers}
    (first,), _ = ray.wait(list(answers), num_returns=1)
    return answers[first]


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate a run from the command line."""
    from search.run import evaluate_command

    return evaluate_command(list(sys.argv[1:] if arguments is None else arguments))
