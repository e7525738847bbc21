"""Numbers in words."""

import numpy as np
import pytest

from search.record import counted


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 epochs"),
        (1, "1 epoch"),
        (2, "2 epochs"),
        (1.0, "1 epoch"),
        (0.5, "0.5 epochs"),
        (np.int64(1_200_000), "1,200,000 epochs"),
    ],
)
def test_one_is_singular_and_all_else_plural(count: float, words: str) -> None:
    assert counted(count, "epoch") == words
