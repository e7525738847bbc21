"""Scoring goes on where the host of one process does not work; Ray is played by calls in this process."""

from collections.abc import Callable
from typing import Any

import pytest

from search.evaluate.scorers import export_winner, score_all
from search.record import RunFolder, TrialRecord

TRIALS = [TrialRecord(number, {}, 0, 1) for number in range(4)]


class Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def remote(self, *given: Any) -> Callable[[], Any]:
        return lambda: self.call(*given)


class Scorer:
    """A process on a host that works or does not."""

    def __init__(self, works: bool) -> None:
        self.done: list[Any] = []
        self._works = works
        self.is_ready, self.score, self.export = Method(lambda: True), Method(self._do), Method(self._do)

    def _do(self, *given: Any) -> list[int]:
        if not self._works:
            raise OSError("No such mount")
        self.done.append(given[0])
        return [1]


@pytest.fixture(autouse=True)
def played_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.wait", lambda references, num_returns: (references[:1], references[1:]))
    monkeypatch.setattr("ray.get", lambda reference: reference())


def test_a_trial_is_scored_by_a_process_whose_host_works() -> None:
    bad, good = Scorer(works=False), Scorer(works=True)
    assert list(score_all([bad, good], TRIALS)) == [[1]] * 4
    assert sorted(trial.number for trial in good.done) == [0, 1, 2, 3]
    export_winner([bad, good], RunFolder("."), TRIALS, None)  # type: ignore[arg-type]
    assert good.done[-1] is TRIALS


def test_an_error_that_every_host_meets_is_the_storages() -> None:
    with pytest.raises(OSError, match="No such mount"):
        list(score_all([Scorer(works=False), Scorer(works=False)], TRIALS))
    with pytest.raises(OSError, match="No such mount"):
        export_winner([Scorer(works=False), Scorer(works=False)], RunFolder("."), TRIALS, None)  # type: ignore[arg-type]
