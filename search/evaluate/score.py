"""Scores a run's finished trials and exports the winner, in processes of their own (`search.evaluate.scorers`).

The weights of a trial's best validation epoch, or of its last, are scored on every set of `search.evaluate.sets`. Test
results are made here and nowhere else, after the search: nothing that trains, schedules or samples imports this module.
The winner is chosen by validation alone (`search.evaluate.winner`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from search.driver.session import Session
from search.evaluate.predictions import (
    predictions_source,
)
from search.evaluate.scorers import EvaluationContext, export_winner, score_all, start_scorers
from search.evaluate.sets import EvaluationSet, calibration_groups, evaluation_sets
from search.evaluate.signature import SIGNATURE, make_signature
from search.evaluate.winner import (
    best_trials,
    held_shares,
    is_same_model,
    propose_winner,
    read_members,
    record_winner,
    score_winner,
    write_card,
)
from search.plan.settings import EvaluateSettings
from search.record import (
    EVALUATED,
    FINISHED,
    SHIFTED,
    VALIDATION,
    Evaluation,
    EventLog,
    RunFolder,
    TrialRecord,
    Winner,
    to_json,
)


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
    with start_scorers(context, session.resources, most=max(1, len(open_trials))) as scorers:
        for found in score_all(scorers, open_trials):
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
    """Evaluations that still hold, by trial and set: those whose predictions were made from the same source.

    Args:
        folder: the run's.
        trials: finished ones.
        which: the weights that are scored, `best` or `last`.
        source: of `scoring_source`.
    """
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
    proposed = propose_winner(folder, members, settings.evaluate, groups, patients)
    kept = folder.read_winner()
    if kept is not None:
        keep_winner(folder, kept, proposed.winner, trials, settings.evaluate, say)
        return
    winner = record_winner(folder, members, proposed)
    export_winner(scorers, folder, members, winner)
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
            f"The exported winner stays as it is: {kept.what}, {kept.how_decided}. These settings would "
            f"export another: {proposed.what}, {proposed.how_decided}. "
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
