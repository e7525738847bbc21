import numpy as np
import pytest

from data_pipeline.class_weights import class_weights, finding_weights
from data_pipeline.manifest import DataError

LABELS = np.repeat([0, 1, 2], [10, 60, 30])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [1.0, 1.0, 1.0]),
        ("balanced", [100 / 30, 100 / 180, 100 / 90]),
        ("favour_normal", [100 / 20, 100 / 180, 100 / 180]),
    ],
)
def test_weights_follow_their_formula(name: str, expected: list[float]) -> None:
    weights = class_weights(name, LABELS, 3)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_two_classes_make_no_difference_between_balanced_and_favour_normal() -> None:
    labels = np.minimum(LABELS, 1)
    np.testing.assert_array_equal(class_weights("balanced", labels, 2), class_weights("favour_normal", labels, 2))


def test_balanced_weights_leave_the_total_as_it_is() -> None:
    np.testing.assert_allclose(class_weights("balanced", LABELS, 3)[LABELS].sum(), len(LABELS), rtol=1e-6)


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(DataError, match="Received: 'heavy'"):
        class_weights("heavy", LABELS, 3)


@pytest.mark.parametrize("name", ["balanced", "favour_normal"])
def test_class_without_images_has_no_weight(name: str) -> None:
    with pytest.raises(DataError, match=r"Received: \[0, 60, 30\] images"):
        class_weights(name, LABELS[10:], 3)


def test_balanced_weights_of_findings_give_presence_and_absence_the_same_sum() -> None:
    labels = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    weights = finding_weights("balanced", labels)
    np.testing.assert_allclose(weights, [[2 / 3, 1, 2], [2, 1, 2 / 3]])  # the second finding is not there
    each = weights[labels, np.arange(3)]  # (N, K)
    np.testing.assert_allclose((each * labels).sum(axis=0)[[0, 2]], (each * (1 - labels)).sum(axis=0)[[0, 2]])
    np.testing.assert_array_equal(finding_weights("none", labels), np.ones((2, 3)))


def test_no_finding_is_the_normal_one() -> None:
    with pytest.raises(DataError, match=r"none or balanced.* Received: 'favour_normal'"):
        finding_weights("favour_normal", np.eye(2, dtype=np.int64))
