"""Settings in Hydra's grammar, and the times of a search."""

import pytest

from benchmarks import searches
from benchmarks.searches import Search, fixed_words, listed_words
from search.plan.words import load_settings
from search.record import TrialRecord
from tests.conftest import make_epoch


def test_a_space_takes_fixed_and_listed_values() -> None:
    words = [
        *fixed_words({"dense": [16, 8], "augment": "none"}),
        *listed_words({"dense": [[], [64]], "layers": [1, 2]}),
    ]
    settings = load_settings(["space=plain2", words[1], *words[2:]])
    assert settings.space.parameters["augment"] == {"value": "none"}
    assert settings.space.parameters["dense"] == {"choice": [[], [64]]}
    assert settings.space.parameters["layers"] == {"choice": [1, 2]}
    assert load_settings(["space=plain2", words[0]]).space.parameters["dense"] == {"value": [16, 8]}


def test_training_begins_with_the_first_epoch() -> None:
    first = TrialRecord(0, {}, 0, 2, epochs=[make_epoch(1, 0.5, seconds=4.0, time=104.0)], ended=106.0)
    second = TrialRecord(1, {}, 0, 2, epochs=[make_epoch(1, 0.5, seconds=3.0, time=110.0)], ended=112.0)
    assert Search((first, second), seconds=40.0).training_seconds == 12.0


def test_a_command_that_fails_tells_what_it_said() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 2:\nError: There is no such space. Received: 'nonsense'"):
        searches.run_command(["-m", "search.run", "space=nonsense"])


def test_a_command_that_hangs_is_stopped() -> None:
    with pytest.raises(RuntimeError, match=r"had not ended after 0\.2 s and was stopped"):
        searches.run_command(["-c", "import threading; threading.Event().wait()"], limit=0.2)
