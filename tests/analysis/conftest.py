"""Runs that several tests of the pages read."""

from unittest import mock

import pytest

import analysis
from analysis.load import load
from analysis.page.render import report_html
from analysis.scored import finished_by_metric
from benchmarks.analysis_data import write_run
from search.evaluate.predictions import read_predictions
from search.plan.settings import EvaluateSettings
from tests.analysis.hand_made import PERFECT, TWO_WRONG, trial_events
from tests.analysis.hand_made import write_run as write_by_hand
from tests.winners import make_winner


@pytest.fixture(scope="session")
def averaged_page(averaged):
    """The report of `averaged`."""
    return report_html([averaged])


@pytest.fixture(scope="session")
def averaged(tmp_path_factory):
    """A run whose winner averages trials, calibrated on validation, with an operating point and a prevalence."""
    folder = write_run(
        str(tmp_path_factory.mktemp("runs") / "mean"), trials=12, epochs=3, evaluated=12, scheduler="none"
    )
    trials = folder.read_trials()
    best = [trials[int(number)] for number in finished_by_metric(load(folder.url)).index[:3]]
    images = read_predictions(folder, best[0].name)["image_id"].to_pylist()
    folds = {name: str(place % 5) for place, name in enumerate(images)}
    patients = {name: name for name in folds}
    with mock.patch("search.trial.calibration.HeldOut.clearly_helps", return_value=True):  # whatever it would gain here
        settings = EvaluateSettings(ensemble=3, operating_point={"sensitivity": 0.95}, prevalence=0.02)
        winner = make_winner(folder, best, settings, folds, patients)
    folder.write_winner(winner)
    return load(folder.url)


@pytest.fixture
def run(tmp_path):
    """Two finished trials, one stopped after 1 of 4 epochs, one failed, one diverged."""
    events = [
        *trial_events(0, {"backbone": "cnn", "layers": 1}, [0.5, 0.4, 0.3, 0.35], "finished"),
        *trial_events(1, {"backbone": "cnn", "layers": 2}, [0.5, 0.3, 0.2, 0.25], "finished"),
        *trial_events(2, {"backbone": "cnn", "layers": 2}, [0.1], "stopped"),
        *trial_events(3, {"backbone": "vgg16"}, [0.6], "failed", reason="its process <died>"),
        *trial_events(4, {"backbone": "vgg16"}, [], "diverged", reason="loss is NaN"),
    ]
    return analysis.load(write_by_hand(tmp_path / "hand", events, {0: PERFECT, 1: TWO_WRONG}))


@pytest.fixture
def folder(tmp_path):
    """The folder of a finished run of 40 trials."""
    return write_run(str(tmp_path / "made"), trials=40, epochs=9, evaluated=2)
