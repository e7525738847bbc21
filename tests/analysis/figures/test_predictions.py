import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from analysis import figures
from analysis.figures.predictions import GRID


def predictions(labels, scores):
    alone = range(len(labels))  # every image is a patient of its own
    return pd.DataFrame({"label": labels, "p_no": 1 - np.asarray(scores), "p_yes": scores, "patient": alone})


def test_curves_and_their_areas_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    scores = np.round(np.clip(0.3 * labels + rng.uniform(0, 0.7, 200), 0, 1), 2)  # with ties
    table = predictions(labels, scores)
    (roc,) = figures.roc_bands(table, ("no", "yes"))
    (precision,) = figures.precision_bands(table, ("no", "yes"))
    assert roc.area == pytest.approx(roc_auc_score(labels, scores))
    assert precision.area == pytest.approx(average_precision_score(labels, scores))
    assert roc.area_low < roc.area < roc.area_high
    assert len(roc.middle) == len(GRID)
    assert (np.diff(roc.middle) >= 0).all()
    assert (np.diff(precision.middle) <= 1e-12).all()
    assert precision.base == pytest.approx(labels.mean())


def test_one_class_has_no_curve():
    assert figures.roc_bands(predictions([1, 1], [0.2, 0.9]), ("no", "yes")) == []
    assert figures.roc_bands(predictions([], np.zeros(0)), ("no", "yes")) == []


def test_a_class_of_one_patient_has_a_curve_without_a_band():
    table = predictions([1, 1, 0, 0, 0], [0.4, 0.9, 0.1, 0.5, 0.3]).assign(patient=[0, 0, 1, 2, 3])
    (roc,) = figures.roc_bands(table, ("no", "yes"))
    assert roc.area == pytest.approx(5 / 6)
    assert np.isnan([roc.area_low, roc.area_high, *roc.low, *roc.high]).all()
    assert [trace.name for trace in figures.draw_roc([roc]).data if trace.name] == ["yes: 0.833"]


def test_a_confusion_matrix_has_the_shares_of_its_rows():
    found = figures.confusion([[3, 1], [0, 0]], ("a", "b"))
    assert found.shares[0].tolist() == [0.75, 0.25]
    assert np.isnan(found.shares[1]).all()


def test_the_pareto_front_is_what_no_smaller_trial_beats():
    trials = pd.DataFrame({"parameters": [10, 20, 30, 40], "val_accuracy": [0.5, 0.8, 0.7, 0.9]})
    found = figures.size_and_score(trials, "val_accuracy")
    assert found["best"].tolist() == [True, True, False, True]
