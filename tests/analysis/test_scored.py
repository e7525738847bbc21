"""What the pages show of a winner that averages several trials and is calibrated."""

import numpy as np
import pytest

from analysis import panels, report, style
from analysis.answer import answer, scores
from analysis.app.filters import Address
from analysis.app.pages import trial_page
from analysis.load import load
from analysis.scored import finished_by_metric, scored_trial, scored_winner, winner
from benchmarks.analysis_data import write_run
from search.settings import EvaluateSettings
from search.winner import make_winner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose winner averages trials, calibrated on validation."""
    folder = write_run(
        str(tmp_path_factory.mktemp("runs") / "mean"), trials=12, epochs=3, evaluated=12, scheduler="none"
    )
    trials = folder.read_trials()
    best = [trials[int(number)] for number in finished_by_metric(load(folder.url)).index[:3]]
    folder.write_winner(make_winner(folder, best, EvaluateSettings(ensemble=3, calibrate=True)))
    return load(folder.url)


def test_the_winner_is_the_exported_model(run):
    scored = scored_winner(run)
    assert scored.exported == run.winner
    assert scored.trial == winner(run) == run.winner.trials[0]
    assert not scored.is_trial
    assert scored.what.startswith("the mean of trials")
    assert next(iter(scored.evaluations)) == "test"
    own = scored.predictions("test")
    assert (
        np.trace(scored.confusion("test"))
        == (own["label"] == own[[f"p_{name}" for name in run.classes]].to_numpy().argmax(axis=1)).sum()
    )


def test_a_member_is_shown_as_it_was_trained(run):
    scored = scored_trial(run, run.winner.trials[0])
    assert scored.is_trial
    assert not scored.is_chosen
    assert scored.predictions("test").equals(
        run.predictions(scored.trial).query("dataset == 'test'").reset_index(drop=True)
    )
    assert not scored.predictions("test").equals(scored_winner(run).predictions("test"))


def test_without_a_record_the_best_finished_trial_is_shown(run, tmp_path):
    other = load(write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=0, scheduler="none").url)
    scored = scored_winner(other)
    assert scored.trial == finished_by_metric(other).index[0]
    assert scored.is_chosen
    assert scored.evaluations == {}
    assert panels.mistakes(scored) == panels.NOT_SCORED
    assert {score.name for score in scores(scored)} >= {"validation accuracy"}


def test_the_answer_and_the_pages_are_the_exported_models(run):
    found = answer(run)
    assert found.model.startswith(f"Pick {run.winner.what}. The best of them is ")
    assert found.reasons[0].startswith("They have the 3 lowest")
    counts = scored_winner(run).confusion("test")
    assert found.scores[0].value == pytest.approx(np.trace(counts) / counts.sum())
    assert f"{run.winner.what}." in report.report_html([run])
    shown = str(trial_page(run, Address(run="mean"), style.LIGHT))
    assert run.winner.what in shown
    assert run.winner.what not in str(trial_page(run, Address(run="mean", trial=run.winner.trials[0]), style.LIGHT))
