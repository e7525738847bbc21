import dataclasses

import pytest

from search import record
from search.plan.searcher import (
    ListSearcher,
    StudySearcher,
    build_searcher,
    distributions,
    study_parameters,
    told_values,
)
from search.plan.space_file import read_space
from search.plan.words import load_settings
from search.record import TrialRecord
from tests.conftest import make_epoch


def make_searcher(*overrides: str, space: str = "plain2") -> StudySearcher:
    settings = load_settings([f"space={space}", *overrides])
    return build_searcher(read_space(settings), settings)


def run_trial(searcher: StudySearcher, number: int, status: str = record.FINISHED) -> TrialRecord:
    """Ask for a trial and tell a made-up outcome: small learning rates do well."""
    plan = searcher.suggest(number)
    loss = plan.parameters["learning_rate"] * 100
    epochs = [make_epoch(1, loss + 0.1), make_epoch(2, loss)]
    trial = TrialRecord(number, plan.parameters, 0, 10, status=status, epochs=epochs)
    searcher.tell(trial)
    return trial


@pytest.mark.parametrize("searcher", ["tpe", "random"])
@pytest.mark.parametrize("space", ["plain2", "all2"])
def test_a_restored_searcher_goes_on_as_if_nothing_had_happened(searcher: str, space: str) -> None:
    statuses = [record.FINISHED, record.STOPPED, record.DIVERGED, record.FAILED] * 4
    undisturbed = make_searcher(f"search.searcher={searcher}", space=space)
    trials = [run_trial(undisturbed, number, status) for number, status in enumerate(statuses)]
    restored = make_searcher(f"search.searcher={searcher}", space=space)
    restored.restore(trials)
    for number in range(16, 20):
        assert run_trial(undisturbed, number).parameters == run_trial(restored, number).parameters


def test_an_unfinished_trial_is_taken_up_and_told_later() -> None:
    searcher = make_searcher()
    trial = run_trial(searcher, 0)
    waiting = dataclasses.replace(trial, status=record.RUNNING)
    restored = make_searcher()
    restored.restore([waiting])
    restored.tell(trial)
    assert restored.suggest(1).parameters == searcher.suggest(1).parameters


def test_a_trial_that_was_paused_before_it_was_ever_compared_runs_on_for_a_restored_searcher_too() -> None:
    """By the clock; otherwise a resumed search would suggest what an undisturbed one does not."""
    searcher, restored = make_searcher(), make_searcher()
    trials = [run_trial(searcher, number) for number in range(10)]
    paused = TrialRecord(10, searcher.suggest(10).parameters, 0, 10, status=record.WAITING)
    searcher.tell(paused)
    restored.restore([*trials, paused])
    assert restored.suggest(11).parameters == searcher.suggest(11).parameters


@pytest.mark.parametrize("told_before", [0, 1, 2])
def test_what_is_told_at_a_rung_is_replaced_by_what_is_told_later(told_before: int) -> None:
    """Suggestions are those of a searcher that was told once."""
    once, often = make_searcher(), make_searcher()
    for number in range(8):
        trial = run_trial(once, number)
        often.suggest(number)
        for epochs in range(told_before):
            often.tell(dataclasses.replace(trial, status=record.WAITING, epochs=trial.epochs[: epochs + 1]))
        often.tell(trial)
    assert often.suggest(8).parameters == once.suggest(8).parameters
    assert often._study.best_trial.number == once._study.best_trial.number


def test_a_trial_that_waits_at_a_rung_is_known_with_its_value_there() -> None:
    searcher = make_searcher()
    plan = searcher.suggest(0)
    waiting = TrialRecord(0, plan.parameters, 0, 10, status=record.WAITING, epochs=[make_epoch(1, 0.3)])
    searcher.tell(waiting)
    known = searcher._study.trials[0]
    assert (known.state.name, known.intermediate_values) == ("PRUNED", {1: 0.3})
    restored = make_searcher()
    restored.restore([waiting])
    assert restored._study.trials[0].intermediate_values == {1: 0.3}


def test_a_stopped_trial_does_not_count_as_a_good_one() -> None:
    searcher = make_searcher("search.num_trials=40")
    for number in range(3):
        run_trial(searcher, number, record.STOPPED)
    run_trial(searcher, 3, record.FINISHED)
    states = [trial.state.name for trial in searcher._study.trials]
    assert states == ["PRUNED", "PRUNED", "PRUNED", "COMPLETE"]
    assert searcher._study.best_trial.number == 3
    assert searcher._study.trials[0].intermediate_values


def test_a_diverged_trial_keeps_no_value() -> None:
    searcher = make_searcher()
    trial = run_trial(searcher, 0, record.WAITING)
    assert searcher._study.trials[0].intermediate_values
    trial.status = record.DIVERGED  # past its rung
    searcher.tell(trial)
    assert searcher._study.trials[0].intermediate_values == {}


def test_tpe_learns() -> None:
    searcher = make_searcher("search.num_trials=60", space="plain2")
    rates = [run_trial(searcher, number).parameters["learning_rate"] for number in range(60)]
    assert sorted(rates[40:])[10] < sorted(rates[:15])[7] / 3


def test_lists_are_named_by_their_text_and_constants_are_left_out() -> None:
    space = read_space(load_settings(["space=plain2"]))
    parameters = {"backbone": "cnn", "learning_rate": 1e-3, "dense": [16, 8], "layers": 2}
    assert study_parameters(space, parameters) == {"learning_rate": 1e-3, "dense": "[16, 8]", "layers": 2}
    assert set(distributions(space, parameters)) == {"learning_rate", "dense", "layers"}


def test_a_space_of_rows_is_walked_in_order() -> None:
    searcher = make_searcher("search.repeats=2", space="report2")
    assert isinstance(searcher, ListSearcher)
    assert searcher.num_trials == 16
    assert (searcher.suggest(11).row, searcher.suggest(11).repeat) == ("table1/4", 1)


def test_a_worse_last_epoch_does_not_hide_the_best_one() -> None:
    """What TPE is told is in the order of ASHA's places and of the ranking."""
    trial = TrialRecord(0, {}, 0, 3, epochs=[make_epoch(1, 0.3), make_epoch(2, None), make_epoch(3, 0.5)])
    assert told_values(trial, "val_loss") == {1: 0.3, 3: 0.3}
    rising = TrialRecord(0, {}, 0, 3, epochs=[make_epoch(n, 0.5, val_auc=auc) for n, auc in ((1, 0.8), (2, 0.7))])
    assert told_values(rising, "val_auc") == {1: 0.8, 2: 0.8}
