"""What models look at."""

import numpy as np
import pytest

from benchmarks.seen_outside import PROPERTIES, Seen, chosen, inside_share, summarize


def test_both_classes_are_shown_in_equal_numbers() -> None:
    labels = np.array([1, 0, 1, 1, 0, 1, 1])
    rows = chosen(labels, 5)
    assert rows.tolist() == [1, 4, 0, 6]


def test_the_share_of_the_heat_inside_a_field() -> None:
    field = np.zeros((2, 8, 8), bool)
    field[:, :, :4] = True
    left = np.tile([1.0, 0.0], (2, 2, 1)).astype(np.float32)
    assert inside_share(left, field) > 0.8
    assert inside_share(np.ones((2, 2, 2), np.float32), field) == pytest.approx(0.5)
    assert inside_share(np.stack([np.ones((2, 2)), np.zeros((2, 2))]).astype(np.float32), field) == pytest.approx(0.5)


def test_a_property_that_tells_the_classes_apart_is_shown() -> None:
    labels = np.array([0, 0, 1, 1])
    values = {name: np.array([4.0, 3.0, 2.0, 1.0]) for name in PROPERTIES}
    answers = np.array([[0.1, 0.2, 0.3, 0.4]] * 3)
    seen = Seen("test", ("normal", "pneumonia"), labels, answers, values, np.full((3, 2), 0.5), np.array([0.6, 0.7]))
    heat, cues = summarize([seen], 3).grids
    assert [row[0].name for row in heat.rows] == ["test, normal", "test, pneumonia"]
    assert heat.rows[1][1].values == (0.7,)
    assert cues.rows[0][0].values == (0.0,)
    assert cues.rows[0][1].median == pytest.approx(-1.0)
