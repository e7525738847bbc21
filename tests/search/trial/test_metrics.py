import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, confusion_matrix, log_loss, roc_auc_score

from search.record import UNKNOWN, FindingScore
from search.trial.metrics import judge, mean_auc, score


def random_predictions(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 200)
    raw = rng.random((200, classes)) + np.eye(classes)[labels] * 0.5
    rounded = np.round(raw, 1) + 0.05  # rounded: there are ties
    return labels, rounded / rounded.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_agree_with_scikit_learn(classes: int, seed: int) -> None:
    labels, p = random_predictions(classes, seed)
    found = score(labels, p)
    predicted = p.argmax(axis=1)
    assert found.accuracy == pytest.approx((predicted == labels).mean())
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.loss == pytest.approx(log_loss(labels, p))
    np.testing.assert_array_equal(found.confusion, confusion_matrix(labels, predicted))
    expected = roc_auc_score(labels, p[:, 1]) if classes == 2 else roc_auc_score(labels, p, multi_class="ovr")
    assert found.auc == pytest.approx(expected)
    one_hot = np.eye(classes)[labels]
    precision = average_precision_score(labels, p[:, 1]) if classes == 2 else average_precision_score(one_hot, p)
    assert found.average_precision == pytest.approx(precision)


def test_sensitivity_is_of_class_1_and_specificity_of_class_0() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.6, 0.4]])
    found = score(labels, p)
    assert (found.sensitivity, found.specificity) == (0.5, pytest.approx(2 / 3))


def test_three_classes_have_no_sensitivity() -> None:
    labels, p = random_predictions(3, 0)
    assert score(labels, p).sensitivity is None


def test_nan_probabilities_are_wrong_and_their_loss_is_nan() -> None:
    labels = np.array([0, 1])
    found = score(labels, np.array([[np.nan, np.nan], [0.1, 0.9]]))
    assert np.isnan(found.loss)
    assert found.accuracy == 0.5
    assert found.auc is None


def test_auc_needs_both_classes() -> None:
    assert mean_auc(np.zeros(4, np.int64), np.full((4, 2), 0.5)) is None


def finding_predictions() -> tuple[np.ndarray, np.ndarray]:
    """Four findings on 200 images: the third is on none, the fourth on all."""
    rng = np.random.default_rng(0)
    shown = (rng.random((200, 4)) < (0.4, 0.05, 0.0, 1.1)).astype(np.int64)
    return shown, np.clip(np.round(0.3 * rng.random((200, 4)) + 0.3 * shown + 0.1, 1), 0.01, 0.99)


def test_scores_of_findings_agree_with_scikit_learn() -> None:
    shown, p = finding_predictions()
    found = score(shown, p)
    assert found.loss == pytest.approx(np.mean([log_loss(shown[:, k], p[:, k], labels=[0, 1]) for k in range(4)]))
    assert found.accuracy == pytest.approx((shown == (p >= 0.5)).mean())
    judged = [0, 1]  # by images with and without
    balanced = [balanced_accuracy_score(shown[:, k], p[:, k] >= 0.5) for k in judged]
    assert found.balanced_accuracy == pytest.approx(np.mean(balanced))
    assert found.auc == pytest.approx(roc_auc_score(shown[:, judged], p[:, judged]))
    assert found.average_precision == pytest.approx(average_precision_score(shown[:, judged], p[:, judged]))
    assert [each.positives for each in found.findings] == shown.sum(axis=0).tolist()
    assert found.findings[0].auc == pytest.approx(roc_auc_score(shown[:, 0], p[:, 0]))
    assert found.findings[2] == FindingScore(0, None, None)
    assert found.findings[3] == FindingScore(200, None, None)
    assert judge(shown, p).calibrated_loss is None


def test_a_finding_that_labels_do_not_tell_of_has_no_part_in_the_scores() -> None:
    shown, p = finding_predictions()
    alone, untold = score(shown[:, :2], p[:, :2]), shown.copy()
    untold[:, 2:] = UNKNOWN
    found = score(untold, p)
    assert found.findings == (*alone.findings, *[FindingScore(None, None, None)] * 2)
    for name in ("loss", "accuracy", "balanced_accuracy", "auc", "average_precision"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name)), name


def test_a_finding_without_a_number_has_no_rank() -> None:
    shown, p = finding_predictions()
    p[0, 0] = np.nan
    found = score(shown, p)
    assert np.isnan(found.loss)
    assert found.auc is None
    assert found.findings[0].auc is None
    assert found.findings[1].auc is not None
