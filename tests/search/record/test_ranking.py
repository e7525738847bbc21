import dataclasses

from search.record import DIVERGED, FAILED, FINISHED, STOPPED, TrialRecord, rank, rank_configurations, to_confirm
from tests.conftest import make_epoch


def make_trial(number: int, *losses: float, layers: int = 1, max_epochs: int = 5) -> TrialRecord:
    epochs = [make_epoch(place, loss) for place, loss in enumerate(losses, 1)]
    return TrialRecord(number, {"layers": layers}, seed=number, max_epochs=max_epochs, status=FINISHED, epochs=epochs)


def confirm(trial: TrialRecord, number: int, *losses: float, status: str = FINISHED) -> TrialRecord:
    again = make_trial(number, *losses, layers=trial.parameters["layers"], max_epochs=trial.max_epochs)
    return dataclasses.replace(again, repeat=1, confirms=trial.number, status=status)


def test_ranking_is_by_the_epoch_that_is_judged() -> None:
    trials = [make_trial(0, 0.2, 0.9), make_trial(1, 0.5), make_trial(2)]
    assert [trial.number for trial in rank(trials, "val_loss")] == [0, 1]
    assert [trial.number for trial in rank(trials, "val_loss", "last")] == [1, 0]


def test_more_is_better_for_what_is_no_loss_and_equals_keep_their_order() -> None:
    trials = [make_trial(number, 0.5) for number in (2, 0, 1)]
    trials[0].epochs[0] = make_epoch(1, 0.5, val_auc=0.9)
    assert [trial.number for trial in rank(trials, "val_auc")] == [2, 0, 1]


def test_configurations_are_ranked_by_the_mean_of_their_repeats() -> None:
    trials = [
        make_trial(3, 0.9, layers=1),
        make_trial(0, 0.1, layers=1),  # the best repeat of all, but a mean of 0.5
        make_trial(1, 0.2, layers=2),
        make_trial(2, 0.4, layers=2),
        make_trial(4, 0.45, layers=2, max_epochs=9),  # trained longer: another configuration
        make_trial(5, layers=2),
    ]
    ranked = rank_configurations(trials, "val_loss")
    assert [[trial.number for trial in group] for group in ranked] == [[1, 2], [4], [0, 3]]


def numbers(groups: list[list[TrialRecord]]) -> list[list[int]]:
    return [[trial.number for trial in group] for group in groups]


def test_a_confirmed_configuration_is_one_group_that_no_single_value_beats() -> None:
    lucky, steady, single = (make_trial(n, loss, layers=n) for n, loss in enumerate((0.1, 0.2, 0.25)))
    trials = [lucky, steady, single, confirm(lucky, 3, 0.6), confirm(steady, 4, 0.3)]
    assert numbers(rank_configurations(trials, "val_loss")) == [[1, 4], [0, 3], [2]]


def test_a_configuration_whose_confirmation_diverged_ranks_last_and_one_whose_failed_is_not_confirmed() -> None:
    trials = [make_trial(n, 0.1 * (1 + n), layers=n) for n in range(4)]
    again = [
        confirm(trials[0], 4, 0.1, status=DIVERGED),
        confirm(trials[1], 5, 0.1, status=FAILED),
        confirm(trials[2], 6, 0.9),
    ]
    assert numbers(rank_configurations([*trials, *again], "val_loss")) == [[2, 6], [1], [3], [0]]
    again[1] = dataclasses.replace(again[1], status=STOPPED)
    assert numbers(rank_configurations([*trials, *again], "val_loss")) == [[2, 6], [1], [3], [0]]


def test_each_of_the_best_configurations_is_confirmed_once() -> None:
    trials = [make_trial(n, loss, layers=layers) for n, (loss, layers) in enumerate([(0.3, 1), (0.1, 2), (0.2, 3)])]
    trials.append(make_trial(3, 0.2, layers=2))  # sampled twice: one configuration, of mean 0.15
    trials.append(dataclasses.replace(make_trial(4, 0.01, layers=4), status=STOPPED))
    assert [trial.number for trial in to_confirm(trials, 2, "val_loss")] == [1, 2]
    assert not list(to_confirm(trials, 0, "val_loss"))
    # A bad confirmation does not make room for another configuration.
    for status in (FINISHED, DIVERGED, FAILED):
        again = confirm(trials[1], 5, 0.9, status=status)
        assert [trial.number for trial in to_confirm([*trials, again], 2, "val_loss")] == [2]
