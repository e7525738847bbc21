"""Scoring goes on where the host of one process does not work; Ray is played by calls in this process."""

from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

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


class Unstarted:
    """A process that ends in its setup, as where TensorFlow is missing."""

    def __init__(self) -> None:
        self.is_ready = self.score = self.export = Method(self._die)

    def _die(self, *given: Any) -> None:
        raise ActorDiedError


class Killed(Scorer):
    """A process that starts again after a trial has killed it repeatedly."""

    def _do(self, *given: Any) -> list[int]:
        if given[0].number == 1:
            raise ActorDiedError
        return super()._do(*given)


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


def test_a_process_that_does_not_start_takes_no_trial() -> None:
    good = Scorer(works=True)
    assert list(score_all([Unstarted(), good], TRIALS)) == [[1]] * 4
    export_winner([Unstarted(), good], RunFolder("."), TRIALS, None)  # type: ignore[arg-type]
    assert good.done[-1] is TRIALS
    with pytest.raises(OSError, match="could be started"):
        list(score_all([Unstarted(), Unstarted()], TRIALS))
    with pytest.raises(OSError, match="could be started"):
        export_winner([Unstarted()], RunFolder("."), TRIALS, None)  # type: ignore[arg-type]


def test_a_trial_that_kills_its_process_costs_the_others_nothing() -> None:
    killed = Killed(works=True)
    assert list(score_all([killed], TRIALS)) == [[1], [], [1], [1]]
    assert [trial.number for trial in killed.done] == [0, 2, 3]
