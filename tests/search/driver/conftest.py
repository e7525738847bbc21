"""What tests of the driver share: the state of a search, without its processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.counts import ParameterCount
from search.driver.state import SearchState
from search.plan.searcher import build_searcher
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import RunFolder


@pytest.fixture
def open_state(tmp_path: Path) -> Iterator[Callable[..., SearchState]]:
    """Opens the state of one and the same run, as often as it is called; each call is a session."""
    opened = []

    def open_session(num_trials: int = 3, *words: str) -> SearchState:
        settings = load_settings(["space=plain2", f"search.num_trials={num_trials}", "search.max_epochs=2", *words])
        searcher = build_searcher(read_space(settings), settings)
        opened.append(SearchState(RunFolder(str(tmp_path)), searcher, settings, lambda model: ParameterCount(10, 9)))
        return opened[-1]

    yield open_session
    for state in opened:
        state.close()
