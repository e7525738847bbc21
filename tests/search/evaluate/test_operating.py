import numpy as np
import pytest

from search.evaluate.operating import choose_point, decisions_on, finding_points, predictive_value
from search.plan.settings import SettingsError
from search.record import OperatingPoint, Rate
from search.record.intervals import wilson_interval

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
POSITIVE = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7, 0.8], np.float32)
ALONE = np.arange(8)  # every image is a patient of its own


@pytest.mark.parametrize(
    ("wanted", "threshold"),
    [
        ({"sensitivity": 0.99}, 0.35),  # all four, at the highest threshold that keeps them
        ({"sensitivity": 0.75}, 0.45),  # three of four
        ({"specificity": 0.75}, 0.35),  # three of four, at the lowest threshold that keeps them
        ({"specificity": 0.99}, 0.65),
    ],
)
def test_the_threshold_reaches_the_rate_and_gives_up_no_more_than_it_must(
    wanted: dict[str, float], threshold: float
) -> None:
    point = choose_point(LABELS, POSITIVE, wanted, "validation")
    ((name, least),) = wanted.items()
    assert point == OperatingPoint(f"{name} {least}", pytest.approx(threshold), "validation")


def test_the_default_is_the_more_probable_class() -> None:
    assert choose_point(LABELS, POSITIVE, None, "validation") == OperatingPoint("equal", 0.5, "")


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", ["sensitivity", "specificity"])
def test_images_that_cannot_be_told_apart_still_have_a_threshold(name: str, value: float) -> None:
    point = choose_point(LABELS, np.full(8, value, np.float32), {name: 0.9}, "validation")
    called = value >= point.threshold, np.float32(value) >= point.threshold  # also as predictions are stored
    assert all(called) if name == "sensitivity" else not any(called)


def test_a_validation_of_one_class_is_refused() -> None:
    with pytest.raises(SettingsError, match="Received: validation with 4 positive and 0 negative ones"):
        choose_point(np.ones(4, np.int64), POSITIVE[:4], {"sensitivity": 0.9}, "validation")


def test_decisions_are_counted_at_the_threshold() -> None:
    point = OperatingPoint("sensitivity 0.75", 0.45, "validation")
    (own,) = decisions_on("test", LABELS, POSITIVE, ALONE, point, None)
    assert (own.dataset, own.images, own.prevalence, own.stated) == ("test", 8, 0.5, False)
    low, high = map(float, wilson_interval(3, 4))
    three_of_four = Rate(0.75, pytest.approx(low), pytest.approx(high))
    assert own.sensitivity == own.specificity == own.ppv == own.npv == three_of_four


def test_intervals_are_of_patients_and_not_of_images() -> None:
    twice, point = np.repeat(np.arange(8), 2), OperatingPoint("sensitivity 0.75", 0.45, "validation")
    once = decisions_on("test", LABELS, POSITIVE, ALONE, point, 0.02)
    both = decisions_on("test", LABELS[twice], POSITIVE[twice], twice, point, 0.02)
    for single, double in zip(once, both, strict=True):
        for name in ("sensitivity", "specificity", "ppv", "npv"):
            own, other = getattr(single, name), getattr(double, name)
            assert other.value == pytest.approx(own.value)
            assert other.high - other.low == pytest.approx(own.high - own.low, rel=0.15)  # and not 0.71 of it


def test_predictive_values_follow_the_stated_prevalence() -> None:
    point = OperatingPoint("sensitivity 0.75", 0.45, "validation")
    own, stated = decisions_on("test", LABELS, POSITIVE, ALONE, point, 0.02)
    assert stated.stated
    assert stated.prevalence == 0.02
    assert (stated.sensitivity, stated.specificity) == (own.sensitivity, own.specificity)
    assert stated.ppv.value == pytest.approx(0.75 * 0.02 / (0.75 * 0.02 + 0.25 * 0.98))  # Bayes
    assert stated.npv.value == pytest.approx(0.75 * 0.98 / (0.75 * 0.98 + 0.25 * 0.02))
    assert stated.ppv.low < stated.ppv.value < stated.ppv.high < stated.npv.low


def test_the_interval_of_a_predictive_value_covers_the_truth_as_often_as_it_says() -> None:
    rng, share, sensitivity, specificity = np.random.default_rng(0), 0.05, 0.9, 0.95
    truth = sensitivity * share / (sensitivity * share + (1 - specificity) * (1 - share))
    draws = zip(rng.binomial(200, sensitivity, 400), rng.binomial(200, 1 - specificity, 400), strict=True)
    found = [predictive_value(int(tp), 200, int(fp), 200, share) for tp, fp in draws]
    assert 0.93 < np.mean([each.low <= truth <= each.high for each in found]) < 0.97


def test_rates_of_0_and_1_have_intervals_that_include_them() -> None:
    perfect, none = predictive_value(50, 50, 0, 50, 0.02), predictive_value(0, 50, 5, 50, 0.02)
    assert (perfect.value, perfect.high, none.value, none.low) == (1.0, 1.0, 0.0, 0.0)
    assert 0 < perfect.low < 1
    assert 0 < none.high < 0.05
    assert predictive_value(0, 50, 0, 50, 0.02) == predictive_value(1, 1, 0, 0, 0.02) == Rate(None, None, None)


def test_each_finding_is_called_present_at_a_threshold_of_its_own() -> None:
    shown = np.stack([LABELS, 1 - LABELS, np.zeros(8, np.int64)], axis=1)
    p = np.stack([POSITIVE, 1 - POSITIVE, POSITIVE], axis=1)
    first, second, absent = finding_points(shown, p, None, "validation")
    # from 0.4 on all four are found, with one of four too many
    assert first == OperatingPoint("Youden's index", pytest.approx(0.35), "validation")
    assert second.threshold == pytest.approx(0.65)  # the mirror image: three of four, and none too many
    assert absent == OperatingPoint()
    wanted = finding_points(shown, p, {"specificity": 0.99}, "validation")
    assert [point.name for point in wanted] == ["specificity 0.99", "specificity 0.99", "equal"]
    assert wanted[0] == choose_point(LABELS, POSITIVE, {"specificity": 0.99}, "validation")


def test_the_largest_sum_of_both_rates_is_found() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 1))
    p = np.round(rng.random((60, 1)) + 0.3 * labels, 1).astype(np.float32) / 2
    (point,) = finding_points(labels, p, None, "validation")

    def index(threshold: float) -> float:
        called = p >= threshold
        return float(called[labels == 1].mean() + (~called[labels == 0]).mean())

    assert index(point.threshold) == pytest.approx(max(index(cut) for cut in np.linspace(0, 1, 201)))
