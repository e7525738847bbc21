"""The rule that decides whether a change pays."""

from benchmarks.image_changes.__main__ import Found, Judged, pays, summarize
from benchmarks.image_changes.changes import VIEWS, WAYS


def judged(shifted: float, first: float) -> Judged:
    return Judged(shifted, first, auc=0.99)


BEFORE = [judged(0.14, 0.15), judged(0.16, 0.17), judged(0.15, 0.16)]


def test_a_change_pays_if_its_worst_seed_is_better_than_the_best_in_both_orders() -> None:
    assert pays([judged(0.13, 0.12), judged(0.12, 0.14)], BEFORE)
    assert not pays([judged(0.13, 0.12), judged(0.145, 0.14)], BEFORE)  # within the spread of a search's order
    assert not pays([judged(0.13, 0.12), judged(0.12, 0.16)], BEFORE)  # in the other order


def test_the_page_says_what_pays() -> None:
    found = dict.fromkeys((*(way.name for way in WAYS), *VIEWS), Found(tuple(BEFORE), judged(0.12, 0.13)))
    assert "By the rule none of them pays." in summarize(found, 96, 16, 782).notes
    found |= dict.fromkeys(
        ("CLAHE", "flips"), Found((judged(0.10, 0.10), judged(0.12, 0.13), judged(0.12, 0.12)), judged(0.1, 0.1))
    )
    measurement = summarize(found, 96, 16, 782)
    assert "What pays by the rule: CLAHE, flips." in measurement.notes
    assert any(
        "flips changes the losses of the same trainings by -0.0367 [-0.0510, -0.0223]" in note
        for note in measurement.notes
    )
    rows = [row[0].name for grid in measurement.grids for row in grid.rows]
    assert rows == [*(way.name for way in WAYS), *VIEWS]
    first = measurement.grids[0].rows[0]
    assert [each.values for each in first] == [(0.14, 0.16, 0.15), (0.15, 0.17, 0.16), (0.99,) * 3, (0.12,), (0.13,)]
