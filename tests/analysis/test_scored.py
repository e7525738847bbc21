"""What the pages show of a winner that averages several trials and is calibrated."""

import dataclasses

import numpy as np
import pytest

from analysis import panels, report, style
from analysis.answer import answer, scores
from analysis.app.filters import Address
from analysis.app.pages import trial_page
from analysis.load import load
from analysis.scored import finished_by_metric, scored_trial, scored_winner, winner
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
    assert panels.mistakes(scored) == panels.NOT_SCORED
    assert {score.name for score in scores(scored)} >= {"validation accuracy"}


@pytest.mark.parametrize(
    ("calibrated_on", "words"), [("", "It is not calibrated: "), ("shifted", "It is calibrated: ")]
)
def test_the_answer_says_why_the_winner_is_calibrated_or_not(averaged, monkeypatch, calibrated_on, words):
    exported = dataclasses.replace(averaged.winner, held_out_losses=())  # as it is where nothing was held out
    monkeypatch.setattr(averaged, "winner", exported)
    assert not any("calibrat" in reason for reason in answer(averaged).reasons)
    exported = dataclasses.replace(averaged.winner, calibrated_on=calibrated_on, held_out_losses=(0.2, 0.25))
    monkeypatch.setattr(averaged, "winner", exported)
    (reason,) = [reason for reason in answer(averaged).reasons if "calibrat" in reason]
    assert reason.startswith(words)
    assert reason.endswith("from 0.2000 to 0.2500.")


def test_the_answer_and_the_pages_are_the_exported_models(averaged):
    found = answer(averaged)
    assert found.model.startswith(f"Pick {averaged.winner.what}. The best of them is ")
    assert found.reasons[0].startswith("They have the 3 lowest")
    counts = scored_winner(averaged).confusion("test")
    assert found.scores[0].value == pytest.approx(np.trace(counts) / counts.sum())
    assert f"{averaged.winner.what}." in report.report_html([averaged])
    shown = str(trial_page(averaged, Address(run="mean"), style.LIGHT))
    assert averaged.winner.what in shown
    assert averaged.winner.what not in str(
        trial_page(averaged, Address(run="mean", trial=averaged.winner.trials[0]), style.LIGHT)
    )
