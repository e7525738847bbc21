import pandas as pd
import pytest

from analysis import figures
from search.record import FINISHED, STOPPED
from tests.analysis.made_up import epochs


def test_a_timeline_has_a_lane_a_process_and_a_span_a_stretch_of_a_trial():
    trials = pd.DataFrame({"status": [FINISHED, STOPPED]}, index=pd.Index([0, 1], name="trial"))
    first = epochs(0.9, trial=0, time=120.0).assign(process=1)
    other = epochs(0.9, trial=1, time=180.0).assign(process=1)
    again = epochs(0.8, 0.7, trial=0, time=240.0).assign(process=2)
    curves = pd.concat([first, again, other], ignore_index=True).assign(host="a", seconds=60.0)
    spans = figures.timeline(trials, curves)
    assert spans["trial"].tolist() == [0, 1, 0]
    assert spans["worker"].tolist() == ["a, process 1", "a, process 1", "a, process 2"]
    assert spans["start"].tolist() == [0.0, 1.0, 2.0]
    assert spans["end"].tolist() == pytest.approx([1.0, 2.0, 3 + 1 / 60])
    assert spans["status"].tolist() == [FINISHED, STOPPED, FINISHED]
    assert figures.timeline(trials, curves[:0]).empty
