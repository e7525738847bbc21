import pytest

from search.plan.rungs import expected_epochs, halving_epochs, most_epochs
from search.plan.settings import load_settings
from search.plan.spaces import read_space


def test_successive_halving() -> None:
    search = load_settings(["space=cnn2", "search.max_epochs=9", "search.asha.reduction_factor=3"]).search
    # 9 trials to epoch 1, 3 of them to epoch 3, 1 to epoch 9.
    assert halving_epochs(9, search) == 9 * 1 + 3 * 2 + 1 * 6


@pytest.mark.parametrize(
    ("overrides", "expected", "most"),
    [
        (["space=report3"], 7 * 10 + 20, 7 * 10 + 20),
        (["space=report3", "search.repeats=3"], 270, 270),
        (["space=cnn2", "search.scheduler=none"], 160, 160),
        (["space=cnn2"], 16 * 1 + 4 * 3 + 1 * 6, 160),
    ],
)
def test_epochs_of_a_search(overrides: list[str], expected: float, most: int) -> None:
    settings = load_settings(overrides)
    assert expected_epochs(read_space(settings), settings) == expected
    assert most_epochs(read_space(settings), settings) == most
