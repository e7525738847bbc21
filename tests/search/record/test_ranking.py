from search.record import TrialRecord, rank, rank_configurations
from tests.conftest import make_epoch


def make_trial(number: int, *losses: float, layers: int = 1, max_epochs: int = 5) -> TrialRecord:
    epochs = [make_epoch(place, loss) for place, loss in enumerate(losses, 1)]
    return TrialRecord(number, {"layers": layers}, seed=number, max_epochs=max_epochs, epochs=epochs)


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
