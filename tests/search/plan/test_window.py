import random
from functools import partial

import optuna
import pytest
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import FrozenTrial, TrialState

from search import record
from search.plan import searcher
from search.plan.window import BEST, Window, study_storage
from tests.search.plan.test_searcher import make_searcher, run_trial


def test_the_best_and_the_newest_others_are_shown() -> None:
    window = Window(best=2, recent=3)
    for trial_id, rank in enumerate([0.1, 0.9, 0.8, 0.2, 0.7]):
        window.put(trial_id, (rank,))
    assert window.shown() is None
    window.put(5, (0.3,))
    assert window.shown() == {0, 3, 2, 4, 5}
    window.put(1, (0.0,))  # it trained on and is the best now
    assert window.shown() == {1, 0, 3, 4, 5}
    window.drop(1)
    window.drop(7)
    assert window.shown() is None


def make_trials(storage: optuna.storages.InMemoryStorage, direction: str, count: int) -> optuna.Study:
    """A study of complete and pruned trials with random values, the last three running."""
    sampler = optuna.samplers.RandomSampler(seed=0)  # x plays no part
    study, chance = optuna.create_study(storage=storage, direction=direction, sampler=sampler), random.Random(0)
    for number in range(count):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        if number >= count - 3:
            continue
        step, value = chance.randrange(1, 4), round(chance.random(), 1)
        storage.set_trial_intermediate_value(trial._trial_id, step, value)
        state = chance.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
        storage.set_trial_state_values(trial._trial_id, state, [value] if state == TrialState.COMPLETE else None)
    return study


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_good_trials_are_those_that_tpe_would_choose_of_all(direction: str) -> None:
    minimize, used = direction == "minimize", (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    shown = make_trials(study_storage(minimize, Window(recent=300)), direction, 600)
    whole = make_trials(study_storage(minimize, Window(recent=10_000)), direction, 600)

    def good(study: optuna.Study) -> tuple[list[int], list[FrozenTrial]]:
        trials = study.get_trials(deepcopy=False, states=used)
        ended = sum(trial.state != TrialState.RUNNING for trial in trials)
        below, _ = _split_trials(study, trials, default_gamma(ended))
        return [trial.number for trial in below], trials

    few, many = good(shown), good(whole)
    assert few[0] == many[0]
    assert len(few[0]) == BEST
    assert len(few[1]) == BEST + 300 + 3 < len(many[1])
    assert [trial.number for trial in few[1]][-303:] == [trial.number for trial in many[1]][-303:]


def test_a_restored_searcher_shows_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "study_storage", lambda minimize: study_storage(minimize, Window(3, 9)))
    statuses = [record.FINISHED, record.STOPPED, record.DIVERGED, record.FAILED] * 6
    undisturbed = make_searcher()
    trials = [run_trial(undisturbed, number, status) for number, status in enumerate(statuses)]
    restored = make_searcher()
    restored.restore(trials)
    assert len(restored._study.trials) == 3 + 9
    for number in range(24, 27):
        assert run_trial(undisturbed, number).parameters == run_trial(restored, number).parameters


def test_a_short_search_draws_as_if_all_were_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    short = make_searcher()
    monkeypatch.setattr(searcher, "study_storage", partial(study_storage, window=Window(recent=10_000)))
    whole = make_searcher()
    for number in range(30):
        assert run_trial(short, number).parameters == run_trial(whole, number).parameters
