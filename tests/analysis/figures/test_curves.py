import pytest

from analysis import figures, style
from search.record import STOPPED
from tests.analysis.made_up import epochs, one_trial


def test_a_learning_curve_marks_the_judged_epoch_and_an_early_stop():
    finished = figures.learning_curve(one_trial(), epochs(0.9, 0.5, 0.6), 0)
    stopped = figures.learning_curve(one_trial(STOPPED, 1, 9), epochs(0.9, 0.95), 0)
    assert (finished.judged, finished.stopped) == (2, None)
    assert (stopped.judged, stopped.stopped) == (1, 2)


def test_learning_curves_are_blue_for_training_and_orange_for_validation():
    drawn = figures.draw_learning_curve(figures.learning_curve(one_trial(), epochs(0.9, 0.5, 0.6), 0))
    colors = {trace.name: trace.line.color for trace in drawn.data if trace.mode != "markers"}
    assert colors == {"training": style.TRAIN, "validation": style.VALIDATION}


def test_a_curve_of_an_unknown_trial_is_refused():
    with pytest.raises(ValueError, match="Received: 7"):
        figures.learning_curve(one_trial(), epochs(0.9), 7)
