import numpy as np

from search.record.subgroups import group_images


def test_ages_are_in_bands_in_their_order_and_the_unknown_are_last() -> None:
    groups = group_images("age", [70.0, 0.0, None, 17.99, 18.0, float("nan"), 39.9, 40.0])
    assert {name: np.flatnonzero(own).tolist() for name, own in groups} == {
        "under 18": [1, 3], "18 to 39": [4, 6], "40 to 64": [7], "65 and over": [0], "not stated": [2, 5]
    }  # fmt: skip
    assert [name for name, _ in groups][-1] == "not stated"


def test_other_groups_are_in_the_order_of_their_size() -> None:
    groups = group_images("sex", ["F", "M", None, "M"])
    assert [(name, own.tolist()) for name, own in groups] == [
        ("M", [False, True, False, True]),
        ("F", [True, False, False, False]),
        ("not stated", [False, False, True, False]),
    ]
