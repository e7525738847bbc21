import pytest

from search import record
from search.plan import scheduler, settings
from search.plan.asha import Asha
from search.plan.scheduler import build_scheduler, epochs_line, expected_epochs
from search.plan.space_file import read_space
from search.plan.spaces import last_epochs
from search.plan.words import load_settings
from search.record import TrialRecord
from tests.conftest import make_epoch


def test_every_scheduler_that_may_be_asked_for_can_be_built() -> None:
    assert set(scheduler.SCHEDULERS) == set(settings.SCHEDULERS)
    assert isinstance(build_scheduler(load_settings(["space=plain2"]).search, 3), Asha)


@pytest.mark.parametrize(
    ("overrides", "expected", "most"),
    [
        (["space=report3"], 7 * 10 + 20, 7 * 10 + 20),
        (["space=report3", "search.repeats=3"], 270, 270),
        (["space=plain2", "search.scheduler=none"], 160, 160),
        (["space=plain2"], 16 * 1 + 4 * 3 + 1 * 6, 160),
    ],
)
def test_epochs_of_a_search(overrides: list[str], expected: float, most: int) -> None:
    settings = load_settings(overrides)
    assert expected_epochs(read_space(settings), settings) == expected
    assert sum(last_epochs(read_space(settings), settings)) == most


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([], "epochs: about 34 expected under ASHA, of 160"),
        (["search.scheduler=none"], "epochs: 160 at the most, no early stopping"),
        (
            ["search.confirm=3"],
            "epochs: about 34 expected under ASHA, of 160; up to 30 more confirm the 3 best configurations",
        ),
        (
            ["search.confirm=30", "search.num_trials=2", "search.scheduler=none"],
            "epochs: 20 at the most, no early stopping; up to 20 more confirm the 2 best configurations",
        ),
    ],
)
def test_a_dry_run_says_how_many_epochs_a_search_takes(overrides: list[str], line: str) -> None:
    settings = load_settings(["space=plain2", *overrides])
    assert epochs_line(read_space(settings), settings) == line


def test_without_a_scheduler_every_trial_trains_to_its_end() -> None:
    search = load_settings(["space=plain2", "search.scheduler=none"]).search
    none, trial = build_scheduler(search, 3), TrialRecord(0, {}, 0, 7)
    none.place(trial)
    assert (none.target(trial), none.promote(), none.drop(), none.judged_epochs(trial)) == (7, None, [], 0)
    trial.epochs.append(make_epoch(1, 0.5))
    none.place(trial)
    assert (none.target(trial), none.promote(), none.drop(), none.judged_epochs(trial)) == (7, None, [], 0)
    trial.status = record.DIVERGED
    assert none.judged_epochs(trial) == 1
