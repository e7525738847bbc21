import random
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from search import record
from search.asha import ResumableAsha
from search.record import apply_event
from search.settings import SearchSettings, load_settings


class Simulation:
    """Two workers, random results: what the driver tells ASHA and writes to the log, in order."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.events: list[dict] = []
        self.trials: dict = {}
        self.decisions: list[tuple[int, int, str]] = []
        self.asha = ResumableAsha(search())
        self.live: list[int] = []
        self.next = 0

    def add(self) -> None:
        number, self.next = self.next, self.next + 1
        self.log({"event": "suggested", "trial": number, "parameters": {}, "seed": 0, "max_epochs": 9})
        self.asha.on_trial_add(None, tune_trial(number))
        self.live.append(number)

    def log(self, event: dict) -> None:
        self.events.append({"time": 0.0, **event})
        apply_event(self.trials, self.events[-1])

    def step(self) -> None:
        number = self.random.choice(self.live)
        epoch = len(self.trials[number].epochs) + 1
        score = self.random.random() / epoch
        metrics = dict.fromkeys(EPOCH_FIELDS, 0.5) | {"epoch": epoch, "val_loss": score}
        self.log({"event": "epoch", "trial": number, "metrics": metrics})
        result = {"epoch": epoch, "score": score}
        if epoch == 9:
            self.asha.on_trial_complete(None, tune_trial(number), result)
            self.end(number, record.FINISHED)
            return
        decision = self.asha.on_trial_result(None, tune_trial(number), result)
        self.decisions.append((number, epoch, decision))
        if decision == TrialScheduler.STOP:
            self.asha.on_trial_complete(None, tune_trial(number), result)
            self.end(number, record.STOPPED)

    def end(self, number: int, status: str) -> None:
        self.log({"event": "ended", "trial": number, "status": status})
        self.live.remove(number)


EPOCH_FIELDS = ["seconds", "learning_rate", "train_loss", "train_accuracy", "val_accuracy"]
EPOCH_FIELDS += ["val_balanced_accuracy", "val_auc"]


def search() -> SearchSettings:
    return load_settings(["space=cnn2", "search.max_epochs=9", "search.asha.reduction_factor=3"]).search


def tune_trial(number: int) -> SimpleNamespace:
    return SimpleNamespace(trial_id=f"random{random.random()}", config={"number": number})


def rungs(asha: ResumableAsha) -> list:
    return [sorted(recorded.items()) for _, recorded in asha._brackets[0]._rungs]


@pytest.mark.parametrize("seed", range(5))
def test_rungs_rebuilt_from_the_log_are_the_same(seed: int) -> None:
    simulation = Simulation(seed)
    for _ in range(80):
        while len(simulation.live) < 2:
            simulation.add()
        simulation.step()
    assert any(decision == TrialScheduler.STOP for _, _, decision in simulation.decisions)
    restored = ResumableAsha(search())
    assert restored.replay(simulation.events, simulation.trials) == set()
    assert rungs(restored) == rungs(simulation.asha)
    assert all(rungs(restored))


def test_a_decision_that_was_not_recorded_is_made_again() -> None:
    simulation = Simulation(1)
    while not any(decision == TrialScheduler.STOP for _, _, decision in simulation.decisions):
        while len(simulation.live) < 2:
            simulation.add()
        simulation.step()
    stopped = simulation.decisions[-1][0]
    assert simulation.events.pop()["event"] == "ended"
    simulation.trials[stopped].status = record.RUNNING
    assert ResumableAsha(search()).replay(simulation.events, simulation.trials) == {stopped}


def test_a_diverged_trial_leaves_no_mark() -> None:
    asha = ResumableAsha(search())
    asha.on_trial_add(None, tune_trial(0))
    asha.on_trial_complete(None, tune_trial(0), {"epoch": 1, "score": float("nan")})
    assert not any(rungs(asha))
