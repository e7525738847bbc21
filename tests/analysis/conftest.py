"""Runs that several tests of the pages read."""

import pytest

from analysis.load import load
from analysis.scored import finished_by_metric
from benchmarks.analysis_data import write_run
from search.evaluate.predictions import read_predictions
from search.evaluate.winner import make_winner
from search.plan.settings import EvaluateSettings


@pytest.fixture(scope="session")
def averaged(tmp_path_factory):
    """A run whose winner averages trials, calibrated on validation."""
    folder = write_run(
        str(tmp_path_factory.mktemp("runs") / "mean"), trials=12, epochs=3, evaluated=12, scheduler="none"
    )
    trials = folder.read_trials()
    best = [trials[int(number)] for number in finished_by_metric(load(folder.url)).index[:3]]
    images = read_predictions(folder, best[0].name)["image_id"].to_pylist()
    folds = {name: str(place % 5) for place, name in enumerate(images)}
    folder.write_winner(make_winner(folder, best, EvaluateSettings(ensemble=3, calibrate=True), folds))
    return load(folder.url)
