import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_1samp, ttest_ind
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)
from statsmodels.stats.proportion import proportion_confint

from analysis import statistics as ours
from search.record.intervals import wilson_interval


def drawn_trial(seed: int, count: int = 200, classes: int = 2, strength: float = 1.0):
    """Labels (N,) and rounded, so often tied, probabilities (N, K) that lean towards them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(0, 1, (count, classes))
    logits[np.arange(count), labels] += strength
    odds = np.exp(logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


def test_wilson_interval_is_that_of_statsmodels():
    for successes, count in [(0, 10), (10, 10), (480, 624), (1, 3)]:
        low, high = wilson_interval(successes, count)
        assert (float(low), float(high)) == pytest.approx(proportion_confint(successes, count, method="wilson"))


def test_wilson_interval_takes_arrays_and_is_undefined_without_images():
    low, high = wilson_interval([5, 0], [10, 0])
    assert low.shape == high.shape == (2,)
    assert np.isnan([low[1], high[1]]).all()


def test_a_share_of_independent_images_has_wilsons_interval():
    for successes, count in [(0, 10), (10, 10), (480, 624), (1, 3)]:
        found = ours.share_interval(np.arange(count) < successes, np.arange(count))
        low, high = proportion_confint(successes, count, method="wilson")
        assert (found.value, found.low, found.high) == pytest.approx((successes / count, low, high))


def test_images_that_come_twice_count_once():
    labels, probabilities = drawn_trial(9, count=150)
    right, alone = labels == probabilities.argmax(axis=1), np.arange(150)
    twice = np.repeat(alone, 2)
    once, both = ours.share_interval(right, alone), ours.share_interval(right[twice], twice)
    # The unbiased variances of 150 and of 300 differ by their divisors.
    assert (both.value, both.low, both.high) == pytest.approx((once.value, once.low, once.high), abs=1e-3)
    weights, repeated = ours.bootstrap_weights(alone), ours.bootstrap_weights(twice)
    single, double = ours.bootstrap_mean(right, weights), ours.bootstrap_mean(right[twice], repeated)
    assert (double.low, double.high) == pytest.approx((single.low, single.high))
    single = ours.bootstrap_auc(labels, probabilities, weights)
    double = ours.bootstrap_auc(labels[twice], probabilities[twice], repeated)
    assert (double.low, double.high) == pytest.approx((single.low, single.high))


def test_a_share_is_inside_its_interval_as_often_as_said_where_patients_have_several_images():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(80), rng.integers(1, 8, 80))
    inside, naive = 0, 0
    for _ in range(400):
        came_true = rng.random(len(patients)) < rng.beta(1.6, 0.4, 80)[patients]  # mean 0.8, alike within a patient
        found = ours.share_interval(came_true, patients)
        inside += found.low <= 0.8 <= found.high
        found = ours.share_interval(came_true, np.arange(len(patients)))
        naive += found.low <= 0.8 <= found.high
    assert 0.92 <= inside / 400 <= 0.98
    assert naive / 400 < 0.85


def test_p_values_agree_with_their_intervals_and_with_scipy():
    rng = np.random.default_rng(8)
    first, second = rng.normal(0.8, 0.02, 4), rng.normal(0.7, 0.05, 6)
    assert ours.mean_p(first, 0.75) == pytest.approx(ttest_1samp(first, 0.75).pvalue)
    assert ours.mean_difference_p(first, second, 0.02) == pytest.approx(
        ttest_ind(first - 0.02, second, equal_var=False).pvalue
    )
    values = rng.normal(0.1, 1, 400)
    weights = ours.bootstrap_weights(np.arange(400), 4000)
    assert ours.bootstrap_p(values, weights, 0.0) == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.01)
    low = ours.bootstrap_mean(values, weights).low
    assert ours.bootstrap_p(values, weights, low) == pytest.approx(0.05, abs=0.003)
    assert np.isnan(ours.mean_p([0.8], 0.0))


def test_equal_repeats_say_nothing_of_their_spread():
    equal = [0.3 - 0.1, 0.2, 0.1 + 0.1]
    assert len(set(equal)) > 1  # by rounding alone
    assert ours.mean_interval(equal).value == pytest.approx(0.2)
    assert np.isnan([ours.mean_interval(equal).low, ours.mean_p(equal, 0.0), ours.mean_p(equal, 0.2)]).all()
    assert np.isnan([ours.mean_difference(equal, [0.1, 0.1]).low, ours.mean_difference_p(equal, [0.1, 0.1], 0.0)]).all()
    assert 0 < ours.mean_difference_p(equal, [0.1, 0.15], 0.0) < 1  # one side's spread is enough


@pytest.mark.parametrize("classes", [2, 3])
def test_resampled_auc_is_scikit_learns_on_the_resampled_images(classes):
    labels, probabilities = drawn_trial(3, count=120, classes=classes)
    probabilities = np.round(probabilities, 1)
    weights = ours.bootstrap_weights(np.arange(120), resamples=20, seed=4)
    assert weights.sum(axis=1) == pytest.approx(120)
    for k in range(classes):
        areas = ours.weighted_auc(labels == k, probabilities[:, k], weights)
        expected = [roc_auc_score(labels == k, probabilities[:, k], sample_weight=row) for row in weights]
        assert areas == pytest.approx(expected)
        precisions = ours.weighted_precision(labels == k, probabilities[:, k], weights)
        assert precisions == pytest.approx(
            [average_precision_score(labels == k, probabilities[:, k], sample_weight=row) for row in weights]
        )
    whole = ours.bootstrap_auc(labels, probabilities, weights)
    places = [1] if classes == 2 else range(3)
    assert whole.value == pytest.approx(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in places]))
    assert whole.low < whole.value < whole.high


def test_an_area_needs_both_kinds_of_images_and_scores_that_are_numbers():
    positive, scores, weights = np.array([True, False, True]), np.array([0.1, 0.2, 0.3]), np.ones((2, 3), np.float32)
    assert list(ours.weighted_auc(positive, scores, weights)) == [0.5, 0.5]
    assert np.isnan(ours.weighted_auc(np.ones(3, bool), scores, weights)).all()
    assert np.isnan(ours.weighted_auc(positive, np.array([0.1, np.nan, 0.3]), weights)).all()
    assert list(ours.weighted_precision(positive, scores, weights)) == pytest.approx([(1 + 2 / 3) / 2] * 2)
    assert np.isnan(ours.weighted_precision(np.zeros(3, bool), scores, weights)).all()
    assert np.isnan(ours.weighted_precision(positive, np.array([0.1, np.nan, 0.3]), weights)).all()


def test_one_patient_says_nothing_of_others():
    labels, probabilities = drawn_trial(6, count=40)
    right, weights = labels == probabilities.argmax(axis=1), ours.bootstrap_weights(np.zeros(40, int))
    assert np.isnan(ours.bootstrap_p(right, weights, 0.0))
    for found in (
        ours.bootstrap_mean(right, weights),
        ours.bootstrap_balanced_accuracy(labels, right, weights),
        ours.bootstrap_auc(labels, probabilities, weights),
        ours.bootstrap_average_precision(labels, probabilities, weights),
    ):
        assert 0.5 < found.value < 1
        assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_of_one_patient_has_no_interval_and_one_of_two_has(classes):
    labels, probabilities = drawn_trial(7, count=60, classes=classes)
    right = labels == probabilities.argmax(axis=1)
    patients = np.where(labels == 1, 100, np.arange(60))
    for known in (False, True):
        weights = ours.bootstrap_weights(patients, 200)
        for found in (
            ours.bootstrap_balanced_accuracy(labels, right, weights),
            ours.bootstrap_auc(labels, probabilities, weights),
            ours.bootstrap_average_precision(labels, probabilities, weights),
        ):
            assert np.isfinite([found.low, found.high]).all() == known
        assert ours.vary_apart(weights, labels == 1) == known
        patients[np.flatnonzero(labels == 1)[0]] = 101


def test_bootstrap_interval_of_a_mean_is_that_of_scipy():
    right = np.random.default_rng(0).random(300) < 0.8
    found = ours.bootstrap_mean(right, ours.bootstrap_weights(np.arange(300), resamples=9000, seed=1))
    reference = bootstrap((right,), np.mean, n_resamples=9000, method="percentile", rng=2).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.004)


def test_bootstrap_is_seeded():
    assert (
        ours.bootstrap_weights(np.arange(50), 10, seed=3) == ours.bootstrap_weights(np.arange(50), 10, seed=3)
    ).all()
    assert (
        ours.bootstrap_weights(np.arange(50), 10, seed=3) != ours.bootstrap_weights(np.arange(50), 10, seed=4)
    ).any()


def test_balanced_accuracy_is_that_of_scikit_learn():
    labels, probabilities = drawn_trial(5, classes=3)
    predicted = probabilities.argmax(axis=1)
    found = ours.bootstrap_balanced_accuracy(labels, predicted == labels, ours.bootstrap_weights(np.arange(200), 500))
    assert found.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.low < found.value < found.high


def test_reliability_bins_are_those_of_scikit_learn():
    labels, probabilities = drawn_trial(6)
    bins = ours.reliability(*ours.predicted_event(labels, probabilities), np.arange(len(labels)))
    observed, predicted = calibration_curve(labels, probabilities[:, 1], n_bins=10)
    filled = bins.count > 0
    assert bins.observed[filled] == pytest.approx(observed)
    assert bins.predicted[filled] == pytest.approx(predicted)
    assert bins.count.sum() == len(labels)


def test_calibration_error_of_four_images_by_hand():
    # Bin [0.2, 0.3): predicted 0.2, none came true; bin [0.8, 0.9): predicted 0.8, one of two did.
    bins = ours.reliability([False, False, True, False], [0.2, 0.2, 0.8, 0.8], np.arange(4))
    assert ours.expected_calibration_error(bins) == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)


@pytest.mark.parametrize("classes", [2, 3])
def test_brier_score_and_losses_are_those_of_scikit_learn(classes):
    labels, probabilities = drawn_trial(7, classes=classes)
    target = probabilities[:, 1] if classes == 2 else probabilities
    assert ours.brier_score(labels, probabilities) == pytest.approx(brier_score_loss(labels, target))
    assert ours.image_losses(labels, probabilities).mean() == pytest.approx(log_loss(labels, probabilities))


def test_intervals_of_repeats_are_those_of_scipy():
    rng = np.random.default_rng(8)
    first, second = rng.normal(0.8, 0.02, 4), rng.normal(0.7, 0.05, 6)
    single = ttest_1samp(first, 0).confidence_interval(0.95)
    pair = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = ours.mean_interval(first)
    assert (found.low, found.high) == pytest.approx((single.low, single.high))
    found = ours.mean_difference(first, second)
    assert (found.low, found.high) == pytest.approx((pair.low, pair.high))


def test_one_more_repeat_falls_into_its_interval_as_often_as_said():
    draws = np.random.default_rng(0).normal(size=(4000, 6))
    found = [ours.next_interval(row[:5]) for row in draws]
    inside = np.mean([each.low <= row[5] <= each.high for each, row in zip(found, draws, strict=True)])
    assert inside == pytest.approx(0.95, abs=0.01)


def test_one_repeat_has_a_mean_but_no_interval():
    assert ours.mean_interval([0.8]).value == 0.8
    assert np.isnan(ours.mean_interval([0.8]).low)
    assert np.isnan(ours.mean_difference([0.8], [0.7, 0.6]).high)
