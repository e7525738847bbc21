import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from analysis import paired
from search.record.intervals import Z
from tests.analysis.test_statistics import drawn_trial


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_is_that_of_statsmodels_exact_and_not(seed):
    rng = np.random.default_rng(seed)
    for agreement, exact in [(0.95, True), (0.6, False)]:
        first = rng.random(300) < 0.8
        second = np.where(rng.random(300) < agreement, first, ~first)
        table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
        result = paired.mcnemar(first, second, np.arange(300))
        assert result.exact == exact
        assert result.p_value == pytest.approx(reference_mcnemar(table, exact=exact, correction=True).pvalue)


def test_mcnemar_of_equal_classifiers_is_one():
    assert paired.mcnemar([True, False], [True, False], np.arange(2)).p_value == 1.0


def structural_components(positive, scores):
    """DeLong's V10 and V01 by their definition, one pair of images at a time."""
    wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (scores[positive][:, None] == scores[~positive])
    return wins.mean(axis=1), wins.mean(axis=0)


def resampled_areas(positive, scores, times):
    """The area under the ROC curve of each resample: the share of its pairs that are in order.

    Args:
        positive: bool (N,).
        scores: float (N,).
        times: int (R, N), how often each of R resamples has each image.
    """
    ours, theirs = scores[positive][:, None], scores[~positive]
    in_order = (ours > theirs) + 0.5 * (ours == theirs)  # (P, N - P)
    chosen, others = times[:, positive].astype(float), times[:, ~positive].astype(float)
    return ((chosen @ in_order) * others).sum(axis=1) / (chosen.sum(axis=1) * others.sum(axis=1))


def test_the_area_of_a_resample_is_that_of_scikit_learn():
    rng = np.random.default_rng(5)
    labels, scores = np.arange(40) % 2, np.round(rng.random(40), 1)  # some equal
    rows = rng.integers(0, 40, (5, 40))
    times = np.array([np.bincount(each, minlength=40) for each in rows])
    expected = [roc_auc_score(labels[each], scores[each]) for each in rows]
    assert resampled_areas(labels == 1, scores, times) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_delong_is_its_definition_pair_by_pair(seed):
    labels, first = drawn_trial(seed)
    second = first[:, 1] + np.random.default_rng(seed + 100).normal(0, 0.3, len(labels))
    positive, scores = labels == 1, np.round(np.stack([first[:, 1], second]), 1)
    found = paired.delong_comparison(positive, *scores, np.arange(len(labels)))
    parts = [structural_components(positive, each) for each in scores]
    covariance = (
        np.cov([part[0] for part in parts]) / positive.sum() + np.cov([part[1] for part in parts]) / (~positive).sum()
    )
    assert [found.first.value, found.second.value] == pytest.approx([roc_auc_score(labels, each) for each in scores])
    half = Z * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference.high - found.difference.value == pytest.approx(half)


def test_delong_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(400):
        labels = rng.integers(0, 2, 150)
        shared = labels + rng.normal(0, 1, 150)
        scores = shared + rng.normal(0, 0.5, (2, 150))
        p_values.append(paired.delong_comparison(labels == 1, *scores, np.arange(150)).p_value)
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_delong_without_one_class_is_undefined():
    alone = paired.delong_comparison([True, True], [0.1, 0.2], [0.2, 0.1], np.arange(2))
    assert np.isnan([alone.first.value, alone.p_value]).all()


@pytest.mark.parametrize(
    ("positive", "scores", "area"),
    [
        ([True, True, False, False, False], [0.9, 0.8, 0.1, 0.2, 0.3], 1.0),  # in order
        ([True, False, False, False, False], [0.25, 0.1, 0.2, 0.3, 0.4], 0.5),  # one positive
        ([True, True, True, True, False], [0.25, 0.1, 0.2, 0.3, 0.22], 0.5),  # one negative
    ],
)
def test_delong_has_no_interval_where_it_cannot_estimate_the_variance(positive, scores, area):
    found = paired.delong_auc(positive, scores, np.arange(5))
    assert found.value == area
    assert np.isnan([found.low, found.high]).all()
    ten = paired.delong_auc(positive * 2, [*scores, *scores[::-1]], np.arange(10))
    assert 0 <= ten.low < ten.value < ten.high <= 1


def test_delong_does_not_compare_on_a_class_of_one_patient():
    labels, probabilities = drawn_trial(3, count=60)
    positive, other = labels == 1, np.roll(probabilities[:, 1], 1)
    for patients in (np.zeros(60, int), np.where(positive, 100, np.arange(60)), np.where(positive, np.arange(60), 100)):
        found = paired.delong_comparison(positive, probabilities[:, 1], other, patients)
        assert np.isfinite(found.difference.value)
        assert np.isnan([found.difference.low, found.difference.high, found.first.low, found.p_value]).all()


def test_delong_agrees_with_resampled_patients_of_both_classes():
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(80), rng.integers(1, 6, 80))
    labels = (rng.random(len(patients)) < rng.beta(0.7, 0.7, 80)[patients]).astype(int)  # most patients have both
    shared = rng.normal(0, 0.7, 80)[patients]
    scores = labels + shared + rng.normal(0, 0.7, (2, len(patients)))
    found = paired.delong_comparison(labels == 1, *scores, patients)
    times = rng.multinomial(80, np.full(80, 1 / 80), 1500)[:, patients]  # how often a resample has each image
    first, second = (resampled_areas(labels == 1, each, times) for each in scores)
    assert (found.difference.high - found.difference.low) / (2 * Z) == pytest.approx(np.std(first - second), rel=0.12)


def test_delong_of_a_classifier_with_itself_finds_no_difference():
    labels, probabilities = drawn_trial(1)
    found = paired.delong_comparison(labels == 1, probabilities[:, 1], probabilities[:, 1], np.arange(200))
    assert (found.difference.value, found.p_value) == (0.0, 1.0)


def clustered_pair(rng):
    """Labels, two models' scores and patients of 4 images each: a model errs alike on all images of a patient."""
    patients = np.repeat(np.arange(60), 4)
    labels = (np.arange(60) % 2)[patients]
    return labels, labels + rng.normal(0, 1, (2, 60))[:, patients] + rng.normal(0, 0.3, (2, 240)), patients


def test_tests_find_what_is_not_there_as_rarely_as_said_where_patients_have_several_images():
    rng = np.random.default_rng(1)
    delong, mcnemar, as_if_alone = [], [], []
    for _ in range(300):
        labels, scores, patients = clustered_pair(rng)
        right = (scores > 0.5) == labels
        delong.append(paired.delong_comparison(labels == 1, *scores, patients).p_value)
        mcnemar.append(paired.mcnemar(*right, patients).p_value)
        as_if_alone.append(paired.delong_comparison(labels == 1, *scores, np.arange(240)).p_value)
    assert 0.02 < np.mean(np.array(delong) < 0.05) < 0.09
    assert np.mean(np.array(mcnemar) < 0.05) < 0.08
    assert np.mean(np.array(as_if_alone) < 0.05) > 0.2


def test_patients_whose_images_come_twice_are_tested_as_once():
    labels, probabilities = drawn_trial(2, count=150)
    other = np.roll(probabilities[:, 1], 1) * 0.3 + probabilities[:, 1] * 0.7
    alone, twice = np.arange(150), np.repeat(np.arange(150), 2)
    once = paired.delong_comparison(labels == 1, probabilities[:, 1], other, alone)
    both = paired.delong_comparison(labels[twice] == 1, probabilities[twice, 1], other[twice], twice)
    assert both.difference.value == pytest.approx(once.difference.value)
    assert both.p_value == pytest.approx(once.p_value)


def test_the_exact_test_counts_the_signs_of_patients():
    # Differences of 2, 1 and -1 images: of the 8 choices of signs 6 are as far from 0 as their sum, 2.
    first = [True, True, True, False]
    second = [False, False, False, True]
    found = paired.mcnemar(first, second, np.array([0, 0, 1, 2]))
    assert (found.exact, found.p_value) == (True, pytest.approx(6 / 8))


@pytest.mark.parametrize(("ours", "theirs"), [(paired.holm, "holm"), (paired.false_discovery_rates, "fdr_bh")])
def test_corrected_p_values_are_those_of_statsmodels(ours, theirs):
    p_values = np.random.default_rng(0).random(20) ** 4
    assert ours(p_values) == pytest.approx(multipletests(p_values, method=theirs)[1])


@pytest.mark.parametrize("correct", [paired.holm, paired.false_discovery_rates])
def test_what_was_not_tested_has_no_part_in_a_correction(correct):
    corrected = correct(np.array([0.01, np.nan, 0.04]))
    assert np.isnan(corrected[1])
    assert corrected[[0, 2]] == pytest.approx(correct(np.array([0.01, 0.04])))
    assert np.isnan(correct(np.array([np.nan]))).all()
