import dataclasses
import json

import numpy as np

from analysis import load
from analysis.page.model import shown_mistakes
from analysis.scored import NOT_SCORED, scored_trial, winner
from benchmarks.analysis_data import write_run
from search.record import RunFolder

ENTRY = {"image_id": "<script>", "label": "no", "predicted": "yes", "probabilities": {"no": 0.2, "yes": 0.8}}


def test_a_winner_shows_its_pictures_and_others_their_predictions(tmp_path):
    run = load(write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=12, scheduler="none").url)
    chosen = winner(run)
    entry = {**ENTRY, "file": "a.png", "cam": "b.png"}
    run.folder.write(json.dumps([entry]).encode(), "winner", "gallery.json")
    other = next(int(trial) for trial in run.trials.index if trial != chosen)
    assert [mistake.image_id for mistake in shown_mistakes(scored_trial(run, chosen))] == ["<script>"]
    assert len(shown_mistakes(scored_trial(run, other))) == 8
    run.evaluations = run.evaluations[run.evaluations["trial"] == chosen]
    assert shown_mistakes(scored_trial(run, other)) == NOT_SCORED


def test_a_trial_without_a_mistake_says_so(tmp_path):
    run = load(write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=3).url)
    trial = winner(run)
    right = run.predictions(trial)
    columns = [f"p_{name}" for name in run.classes]
    right[columns] = np.eye(len(run.classes))[right["label"]]
    alone = dataclasses.replace(run, folder=RunFolder(str(tmp_path)))
    alone.__dict__["_read_predictions"] = lambda _: right
    assert shown_mistakes(scored_trial(alone, trial)) == "No image was misclassified."
