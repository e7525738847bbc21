"""A winner that averages several trials and is calibrated, with its results."""

import numpy as np

from analysis.load import load
from analysis.page.answer import scores
from analysis.page.model import shown_mistakes
from analysis.scored import NOT_SCORED, finished_by_metric, scored_trial, scored_winner, winner
from benchmarks.analysis_data import write_run


def test_the_winner_is_the_exported_model(averaged):
    scored = scored_winner(averaged)
    assert scored.exported == averaged.winner
    assert scored.trial == winner(averaged) == averaged.winner.trials[0]
    assert not scored.is_trial
    assert scored.what.startswith("the mean of trials")
    assert next(iter(scored.evaluations)) == "test"
    own = scored.predictions("test")
    assert (
        np.trace(scored.confusion("test"))
        == (own["label"] == own[[f"p_{name}" for name in averaged.classes]].to_numpy().argmax(axis=1)).sum()
    )


def test_a_member_is_shown_as_it_was_trained(averaged):
    scored = scored_trial(averaged, averaged.winner.trials[0])
    assert scored.is_trial
    assert not scored.is_chosen
    assert scored.predictions("test").equals(
        averaged.predictions(scored.trial).query("dataset == 'test'").reset_index(drop=True)
    )
    assert not scored.predictions("test").equals(scored_winner(averaged).predictions("test"))


def test_without_a_record_the_best_finished_trial_is_shown(averaged, tmp_path):
    other = load(write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=0, scheduler="none").url)
    scored = scored_winner(other)
    assert scored.trial == finished_by_metric(other).index[0]
    assert scored.is_chosen
    assert scored.evaluations == {}
    assert shown_mistakes(scored) == NOT_SCORED
    assert {score.name for score in scores(scored)} >= {"validation accuracy"}
