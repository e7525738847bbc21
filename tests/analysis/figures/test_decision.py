import numpy as np
import pandas as pd
import pytest

from analysis.figures.decision import THRESHOLDS, decision_curves, draw_decision_curves

CLASSES = ("normal", "pneumonia")
LABELS = np.array([0] * 6 + [1] * 4)
POSITIVE = np.array([0.1, 0.1, 0.2, 0.3, 0.4, 0.7, 0.35, 0.6, 0.8, 0.9])


def frame(positive=POSITIVE, labels=LABELS):
    return pd.DataFrame({"label": labels, "p_normal": 1 - positive, "p_pneumonia": positive})


def at(curve, threshold):
    return int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])


def test_net_benefit_is_the_textbooks():
    (curve,) = decision_curves(frame(), CLASSES)
    place = at(curve, 0.5)
    assert curve.prevalence == 0.4
    assert curve.model[place] == pytest.approx(3 / 10 - 1 / 10 * 0.5 / 0.5)  # 3 true, 1 false positive of 10 images
    assert curve.treat_all[place] == pytest.approx(0.4 - 0.6)
    place = at(curve, 0.25)
    assert curve.model[place] == pytest.approx(4 / 10 - 3 / 10 * 0.25 / 0.75)
    assert curve.model[0] == curve.treat_all[0] == pytest.approx(0.4)


def test_treating_all_is_worth_nothing_where_the_threshold_is_the_prevalence():
    (curve,) = decision_curves(frame(), CLASSES, prevalence=0.2)
    assert curve.treat_all[at(curve, 0.2)] == pytest.approx(0, abs=1e-12)


def test_probabilities_are_brought_to_the_prevalence():
    (curve,) = decision_curves(frame(), CLASSES, shares=(0.5, 0.5), prevalence=0.02)
    # 0.9 at equal shares is 0.155 at 2 %, 0.8 is 0.075: at a threshold of 0.1 only the last image is treated
    assert curve.model[at(curve, 0.1)] == pytest.approx(0.25 * 0.02)
    (as_it_is,) = decision_curves(frame(), CLASSES, prevalence=0.02)
    assert as_it_is.model[at(curve, 0.1)] == pytest.approx(0.02 - 0.98 / 9)


def test_of_several_classes_each_is_against_the_rest():
    classes = ("a", "b", "c")
    labels = np.array([0, 0, 1, 2])
    p = pd.DataFrame(
        {"label": labels, **{f"p_{name}": np.where(labels == k, 0.8, 0.1) for k, name in enumerate(classes)}}
    )
    found = decision_curves(p, classes)
    assert [(curve.name, curve.prevalence) for curve in found] == [("a", 0.5), ("b", 0.25), ("c", 0.25)]
    assert found[0].model[at(found[0], 0.5)] == pytest.approx(0.5)


def test_one_class_or_no_numbers_give_no_curve():
    assert decision_curves(frame(labels=np.ones(10, int)), CLASSES) == []
    assert decision_curves(frame(np.full(10, np.nan)), CLASSES) == []


def test_model_all_and_none_are_drawn():
    drawn = draw_decision_curves(decision_curves(frame(), CLASSES, (0.5, 0.5), 0.02))
    assert [trace.name for trace in drawn.data] == [
        "model: pneumonia, prevalence 0.02", "treat all as pneumonia", "treat none",
    ]  # fmt: skip
    assert drawn.layout.xaxis.range[1] < 0.2  # up to where the model is of use
