import numpy as np
import pyarrow as pa
import pytest

from search.evaluate.subgroups import score_subgroups
from search.record import OperatingPoint
from search.record.intervals import share_rate

IMAGES = 60
LABELS = np.arange(IMAGES) % 2
POSITIVE = (np.random.default_rng(0).uniform(0, 0.6, IMAGES) + 0.3 * LABELS).astype(np.float32)
SEX = np.where(np.arange(IMAGES) % 3 == 0, "F", "M")


def make_table(**traits: list[object]) -> pa.Table:
    columns = {"dataset": ["validation"] * 10 + ["test"] * 50, "label": LABELS, "patient": np.arange(IMAGES) // 2}
    return pa.table({**columns, "p_normal": 1 - POSITIVE, "p_pneumonia": POSITIVE, **traits})


def test_scores_are_those_of_the_test_images_of_a_group_at_the_operating_point() -> None:
    ages = [None] * 57 + [5.0, 17.9, 40.0]
    found = score_subgroups(make_table(age=ages, sex=SEX.tolist(), view=[None] * IMAGES), OperatingPoint("x", 0.4, "v"))
    assert [(each.by, each.group, each.images) for each in found] == [
        ("age", "under 18", 2), ("age", "40 to 64", 1), ("age", "not stated", 47), ("sex", "M", 34), ("sex", "F", 16)
    ]  # fmt: skip
    assert {each.dataset for each in found} == {"test"}
    men = found[3]
    own = (SEX == "M") & (np.arange(IMAGES) >= 10)
    ill = own & (LABELS == 1)
    assert men.sensitivity == share_rate(POSITIVE[ill] >= 0.4, np.arange(IMAGES)[ill] // 2)
    assert men.accuracy == share_rate((POSITIVE[own] >= 0.5) == LABELS[own], np.arange(IMAGES)[own] // 2)


def test_few_images_have_no_interval() -> None:
    (young, *_) = score_subgroups(make_table(age=[5.0] * 12 + [30.0] * 48), OperatingPoint())
    assert young.images == 2
    assert young.accuracy.value is not None
    assert young.accuracy.low is None


@pytest.mark.parametrize("traits", [{}, {"sex": [None] * IMAGES}])
def test_where_nothing_is_stated_there_are_no_groups(traits: dict[str, list[object]]) -> None:
    assert score_subgroups(make_table(**traits), OperatingPoint()) == []
