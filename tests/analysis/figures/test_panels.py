import pytest

from analysis import load
from analysis.figures.panels import RUN_PANELS, TRIAL_PANELS
from analysis.scored import scored_winner
from benchmarks.analysis_data import write_run

SMALL_RUN = {"trials": 40, "epochs": 9, "evaluated": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load(write_run(str(tmp_path_factory.mktemp("runs") / "small"), **SMALL_RUN).url)


@pytest.fixture(scope="module")
def run_of_three_classes(tmp_path_factory):
    return load(write_run(str(tmp_path_factory.mktemp("runs") / "three"), classes=3, **SMALL_RUN).url)


@pytest.mark.parametrize("panel", RUN_PANELS, ids=lambda panel: panel.key)
def test_every_panel_draws_a_run_that_it_fits(panel, run):
    drawn = panel.draw(run, run.trials)
    if not panel.fits(run):
        assert isinstance(drawn, str)
        return
    assert not isinstance(drawn, str), drawn
    assert len(drawn.data) > 0


@pytest.mark.parametrize("panel", TRIAL_PANELS, ids=lambda panel: panel.key)
def test_every_panel_draws_a_trial(panel, run, run_of_three_classes):
    for each in (run, run_of_three_classes):
        drawn = panel.draw(scored_winner(each))
        assert not isinstance(drawn, str), drawn
        assert len(drawn.data) > 0


@pytest.mark.parametrize("panel", RUN_PANELS, ids=lambda panel: panel.key)
def test_no_panel_breaks_on_a_run_without_trials(panel, run):
    assert panel.draw(run, run.trials.iloc[:0]) is not None
