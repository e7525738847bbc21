import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.utils.class_weight import compute_sample_weight

from search.trial.calibration import (
    LEAST_SLOPE,
    MOST_SLOPE,
    Calibration,
    balanced_loss,
    calibrated_loss,
    fit_calibration,
    hold_out,
)


def overconfident(count: int, shift: float, seed: int = 0):
    """Labels and probabilities of a model that is three times too confident and leans towards class 1."""
    draws = np.random.default_rng(seed)
    labels = (draws.random(count) < 0.3).astype(np.int64)
    logit = 3 * (draws.normal(2 * labels - 1, 1.0)) + shift
    return labels, np.stack([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], axis=1)


def test_two_classes_are_calibrated_as_by_a_logistic_regression() -> None:
    labels, p = overconfident(2000, 2.0)
    found = fit_calibration(labels, p)
    logit = np.log(p[:, 1:] / p[:, :1])
    peer = LogisticRegression(C=1e6, class_weight="balanced").fit(logit, labels)
    assert found.slope == pytest.approx(peer.coef_[0, 0], rel=0.01)
    assert found.bias[1] == pytest.approx(peer.intercept_[0], rel=0.01)


def test_a_lean_to_one_class_is_removed_and_the_order_stays() -> None:
    calibration = fit_calibration(*overconfident(2000, 4.0))
    labels, p = overconfident(2000, 4.0, seed=1)
    calibrated = calibration.apply(p)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    before, after = (balanced_accuracy_score(labels, each.argmax(axis=1)) for each in (p, calibrated))
    assert after > before + 0.05
    assert roc_auc_score(labels, calibrated[:, 1]) == pytest.approx(roc_auc_score(labels, p[:, 1]), abs=1e-6)


def test_three_classes_are_calibrated() -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 3, 3000)
    z = draws.normal(0, 1, (3000, 3)) + 1.5 * np.eye(3)[labels]
    found = fit_calibration(labels, softmax(2 * z + [0.0, 1.0, -2.0], axis=1))
    # Of normal scores a distance of 1.5 apart, 1.5 z is the logarithm of the probability.
    assert found.slope == pytest.approx(0.75, rel=0.1)
    np.testing.assert_allclose(found.bias, [0.0, -0.75, 1.5], atol=0.15)


def test_perfectly_separated_classes_have_a_finite_calibration() -> None:
    labels = np.array([0, 0, 1, 1])
    p = np.eye(2)[labels]
    found = fit_calibration(labels, p)
    assert np.isfinite([found.slope, *found.bias]).all()
    np.testing.assert_array_equal(found.apply(p).argmax(axis=1), labels)


def test_a_fault_of_every_group_is_corrected_in_a_group_that_was_held_out() -> None:
    labels, p = overconfident(1400, 2.0)
    as_is, calibrated = hold_out(labels, p, np.array([*"abcdefg"] * 200)).losses
    weights = compute_sample_weight("balanced", labels)
    assert as_is == pytest.approx(log_loss(labels, p, sample_weight=weights), rel=1e-4)
    assert calibrated < as_is - 0.1
    # Seen groups and unseen ones are alike here, so it is what the calibration of all of them gives.
    everywhere = log_loss(labels, fit_calibration(labels, p).apply(p), sample_weight=weights)
    assert calibrated == pytest.approx(everywhere, rel=0.01)


def test_a_fault_that_the_other_groups_do_not_have_is_made_worse() -> None:
    (first, p), (second, q) = overconfident(600, 3.0, seed=1), overconfident(600, -3.0, seed=2)
    labels, both = np.concatenate([first, second]), np.concatenate([p, q])
    as_is, calibrated = hold_out(labels, both, np.repeat(["to one side", "to the other"], 600)).losses
    assert calibrated > as_is + 0.1


def test_a_group_without_which_a_class_is_missing_stays_as_it_is() -> None:
    labels, p = overconfident(400, 2.0)
    by_class = hold_out(labels, p, np.where(labels == 1, "one", "other")).losses
    assert by_class[1] == by_class[0]
    assert hold_out(labels, p, np.array(["same"] * 400)).losses[1] == by_class[0]


def test_no_calibration_changes_nothing() -> None:
    p = np.array([[0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_allclose(Calibration.none(2).apply(p), p)


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_the_fit_is_the_minimum(classes: int) -> None:
    draws = np.random.default_rng(1)
    labels = draws.integers(0, classes, 500)
    p = softmax(3 * (draws.normal(0, 1, (500, classes)) + np.eye(classes)[labels]), axis=1)
    found = fit_calibration(labels, p)
    best = balanced_loss(labels, found.apply(p))
    for change in range(-1, classes):
        for step in (-0.02, 0.02):
            bias = np.array(found.bias)
            bias[max(change, 0)] += step * (change >= 0)
            other = Calibration(found.slope + step * (change < 0), tuple(bias))
            assert balanced_loss(labels, other.apply(p)) > best - 1e-5


def test_a_bounded_slope_is_kept_and_the_bias_follows() -> None:
    labels, p = overconfident(1000, 2.0)
    timid = Calibration(0.1, (0.0, 0.0)).apply(p)
    found = fit_calibration(labels, timid, most_slope=1.0)
    assert found.slope == 1.0
    assert fit_calibration(labels, timid).slope > 2
    upside_down = fit_calibration(1 - labels, p)
    assert upside_down.slope == 0.0  # worse than chance: no slope turns it round


def test_the_calibrated_loss_is_blind_to_calibration_and_sees_the_order() -> None:
    labels, p = overconfident(2000, 3.0)
    mild = Calibration(0.2, (0.0, -1.0)).apply(p)
    assert calibrated_loss(labels, p) == pytest.approx(calibrated_loss(labels, mild), abs=1e-3)
    assert calibrated_loss(labels, p) < balanced_loss(labels, p)
    noisy = softmax(np.log(p) + np.random.default_rng(0).normal(0, 4, p.shape), axis=1)
    assert calibrated_loss(labels, noisy) > calibrated_loss(labels, p) + 0.05


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("confidence", [2e-3, 0.02, 0.2, 4.0])
def test_a_model_that_is_hardly_confident_is_judged_by_its_order_too(classes: int, confidence: float) -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, classes, 800)
    z = draws.normal(0, 1, (800, classes)) + 1.5 * np.eye(classes)[labels]
    as_trained = softmax(confidence * z, axis=1).astype(np.float32)
    assert calibrated_loss(labels, as_trained) == pytest.approx(calibrated_loss(labels, softmax(z, axis=1)), abs=1e-3)


def test_probabilities_that_differ_by_rounding_alone_tell_nothing() -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 2, 200)
    p = 0.5 + draws.integers(-2, 3, 200) * np.finfo(np.float32).eps
    assert calibrated_loss(labels, np.stack([1 - p, p], axis=1)) == pytest.approx(np.log(2), abs=1e-3)
    assert calibrated_loss(labels, np.full((200, 2), 0.5)) == pytest.approx(np.log(2))


def test_the_calibrated_loss_needs_every_class_and_numbers() -> None:
    assert calibrated_loss(np.array([1, 1]), np.array([[0.4, 0.6], [0.3, 0.7]])) is None
    assert calibrated_loss(np.array([0, 1]), np.array([[np.nan, 0.6], [0.3, 0.7]])) is None


def test_where_images_count_the_same_probabilities_hold_at_their_own_share() -> None:
    labels, p = overconfident(2000, 2.0)
    found = fit_calibration(labels, p, is_balanced=False)
    assert found.apply(p)[:, 1].mean() == pytest.approx(labels.mean(), abs=0.002)
    logit = np.log(p[:, 1:] / p[:, :1])
    peer = LogisticRegression(C=1e6).fit(logit, labels)
    assert found.slope == pytest.approx(peer.coef_[0, 0], rel=0.01)
    held_out = hold_out(labels, p, np.array([*"abcde"] * 400), False)
    assert held_out.losses[0] == pytest.approx(log_loss(labels, p))
    assert held_out.losses[1] == pytest.approx(log_loss(labels, held_out.calibrated))


def test_the_order_stays_where_these_images_speak_against_it() -> None:
    labels, p = overconfident(200, 0.0)
    wrong = p[:, ::-1]
    assert fit_calibration(labels, wrong).slope == 0
    found = fit_calibration(labels, wrong, MOST_SLOPE, False, LEAST_SLOPE)
    assert found.slope == LEAST_SLOPE
    assert roc_auc_score(labels, found.apply(wrong)[:, 1]) == pytest.approx(roc_auc_score(labels, wrong[:, 1]))
    assert found.apply(wrong)[:, 1].mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_a_gain_within_its_error_is_none() -> None:
    labels, p = overconfident(1400, 2.0)
    groups, patients = np.array([*"abcdefg"] * 200), np.arange(1400).astype(str)
    assert hold_out(labels, p, groups).clearly_helps(patients)
    few = slice(0, 28)
    slight = fit_calibration(labels, p).apply(p)
    assert not hold_out(labels[few], slight[few], groups[few]).clearly_helps(patients[few])


def test_images_of_one_patient_count_once() -> None:
    labels, p = overconfident(70, 0.6, seed=3)
    groups = np.array([*"abcdefg"] * 10)
    again = np.repeat(np.arange(70), 30)
    as_single = hold_out(labels, p, groups).clearly_helps(np.arange(70).astype(str))
    assert hold_out(labels[again], p[again], groups[again]).clearly_helps(again.astype(str)) == as_single


@pytest.mark.parametrize(("patients", "proven"), [("one of all", False), ("one of class 1", False), ("many", True)])
def test_a_class_of_one_patient_proves_nothing(patients: str, proven: bool) -> None:
    labels, p = overconfident(1400, 2.0)
    own = np.arange(1400)
    of = {"one of all": np.zeros(1400, int), "one of class 1": np.where(labels == 1, -1, own), "many": own}[patients]
    assert hold_out(labels, p, np.array([*"abcdefg"] * 200)).clearly_helps(of.astype(str)) == proven
