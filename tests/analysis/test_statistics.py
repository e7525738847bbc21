import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_1samp, ttest_ind
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import proportion_confint

from analysis import statistics as ours


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
        low, high = ours.wilson_interval(successes, count)
        assert (float(low), float(high)) == pytest.approx(proportion_confint(successes, count, method="wilson"))


def test_wilson_interval_takes_arrays_and_is_undefined_without_images():
    low, high = ours.wilson_interval([5, 0], [10, 0])
    assert low.shape == high.shape == (2,)
    assert np.isnan([low[1], high[1]]).all()


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_is_that_of_statsmodels_exact_and_not(seed):
    rng = np.random.default_rng(seed)
    for agreement, exact in [(0.95, True), (0.6, False)]:
        first = rng.random(300) < 0.8
        second = np.where(rng.random(300) < agreement, first, ~first)
        table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
        result = ours.mcnemar(first, second)
        assert result.exact == exact
        assert result.p_value == pytest.approx(reference_mcnemar(table, exact=exact, correction=True).pvalue)


def test_mcnemar_of_equal_classifiers_is_one():
    assert ours.mcnemar([True, False], [True, False]).p_value == 1.0


def structural_components(positive, scores):
    """DeLong's V10 and V01 by their definition, one pair of images at a time."""
    wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (scores[positive][:, None] == scores[~positive])
    return wins.mean(axis=1), wins.mean(axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_delong_is_its_definition_pair_by_pair(seed):
    labels, first = drawn_trial(seed)
    second = first[:, 1] + np.random.default_rng(seed + 100).normal(0, 0.3, len(labels))
    positive, scores = labels == 1, np.round(np.stack([first[:, 1], second]), 1)
    found = ours.delong_comparison(positive, *scores)
    parts = [structural_components(positive, each) for each in scores]
    covariance = (
        np.cov([part[0] for part in parts]) / positive.sum() + np.cov([part[1] for part in parts]) / (~positive).sum()
    )
    assert [found.first.value, found.second.value] == pytest.approx([roc_auc_score(labels, each) for each in scores])
    half = ours.Z * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference.high - found.difference.value == pytest.approx(half)
    assert ours.delong_auc(positive, scores[0]).low == pytest.approx(
        found.first.value - ours.Z * np.sqrt(covariance[0, 0])
    )


def test_delong_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(400):
        labels = rng.integers(0, 2, 150)
        shared = labels + rng.normal(0, 1, 150)
        scores = shared + rng.normal(0, 0.5, (2, 150))
        p_values.append(ours.delong_comparison(labels == 1, *scores).p_value)
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_delong_without_one_class_is_undefined():
    assert np.isnan(ours.delong_auc([True, True], [0.1, 0.2]).value)


def test_delong_of_a_classifier_with_itself_finds_no_difference():
    labels, probabilities = drawn_trial(1)
    found = ours.delong_comparison(labels == 1, probabilities[:, 1], probabilities[:, 1])
    assert (found.difference.value, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("classes", [2, 3])
def test_resampled_auc_is_scikit_learns_on_the_resampled_images(classes):
    labels, probabilities = drawn_trial(3, count=120, classes=classes)
    probabilities = np.round(probabilities, 1)
    weights = ours.bootstrap_weights(120, resamples=20, seed=4)
    assert weights.sum(axis=1) == pytest.approx(120)
    for k in range(classes):
        areas = ours.weighted_auc(labels == k, probabilities[:, k], weights)
        expected = [roc_auc_score(labels == k, probabilities[:, k], sample_weight=row) for row in weights]
        assert areas == pytest.approx(expected)
    whole = ours.bootstrap_auc(labels, probabilities, weights)
    places = [1] if classes == 2 else range(3)
    assert whole.value == pytest.approx(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in places]))
    assert whole.low < whole.value < whole.high


def test_bootstrap_interval_of_a_mean_is_that_of_scipy():
    right = np.random.default_rng(0).random(300) < 0.8
    found = ours.bootstrap_mean(right, ours.bootstrap_weights(300, resamples=9000, seed=1))
    reference = bootstrap((right,), np.mean, n_resamples=9000, method="percentile", rng=2).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.004)


def test_bootstrap_is_seeded():
    assert (ours.bootstrap_weights(50, 10, seed=3) == ours.bootstrap_weights(50, 10, seed=3)).all()
    assert (ours.bootstrap_weights(50, 10, seed=3) != ours.bootstrap_weights(50, 10, seed=4)).any()


def test_balanced_accuracy_is_that_of_scikit_learn():
    labels, probabilities = drawn_trial(5, classes=3)
    predicted = probabilities.argmax(axis=1)
    found = ours.bootstrap_balanced_accuracy(labels, predicted == labels, ours.bootstrap_weights(200, 500))
    assert found.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.low < found.value < found.high


def test_reliability_bins_are_those_of_scikit_learn():
    labels, probabilities = drawn_trial(6)
    bins = ours.reliability(*ours.predicted_event(labels, probabilities))
    observed, predicted = calibration_curve(labels, probabilities[:, 1], n_bins=10)
    filled = bins.count > 0
    assert bins.observed[filled] == pytest.approx(observed)
    assert bins.predicted[filled] == pytest.approx(predicted)
    assert bins.count.sum() == len(labels)


def test_calibration_error_of_four_images_by_hand():
    # Bin [0.2, 0.3): predicted 0.2, none came true; bin [0.8, 0.9): predicted 0.8, one of two did.
    bins = ours.reliability([False, False, True, False], [0.2, 0.2, 0.8, 0.8])
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
