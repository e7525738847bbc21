import pytest

from search.plan.pace import Pace, confirmation_seconds, duration_text, evaluation_seconds
from search.plan.settings import SearchSettings
from search.record import TrialRecord
from tests.conftest import make_epoch


def make_trial(
    number: int, *seconds: float, gap: float = 0.0, started: float = 100.0, after: float = 3.0
) -> TrialRecord:
    """A trial whose first epoch begins some seconds after its start, and each later one after a gap."""
    trial, now = TrialRecord(number, {}, 0, 4, started=started), started + after
    for epoch, each in enumerate(seconds, 1):
        now += each
        trial.epochs.append(make_epoch(epoch, 0.5, seconds=each, time=now))
        now += gap
    return trial


def test_nothing_is_known_before_the_first_epoch() -> None:
    pace = Pace([TrialRecord(0, {}, 0, 4)])
    assert (pace.has_epochs, pace.epoch(), pace.start, pace.slowest) == (False, 0.0, 0.0, 0.0)


def test_tracing_in_the_first_epoch_counts_to_the_start() -> None:
    trial = make_trial(0, 12.0, 2.0, 2.0)
    pace = Pace([trial])
    assert pace.epoch(trial) == pace.epoch() == 2.0
    assert pace.start == pytest.approx(3.0 + 10.0)
    assert pace.epoch(make_trial(1, 13.0)) == 3.0  # less the ten seconds of tracing


def test_an_epoch_after_a_pause_is_traced_again() -> None:
    paused = make_trial(0, 9.0, 8.0, gap=60.0)
    assert Pace([paused]).epoch(paused) == 3.0  # less five seconds, before any tracing was measured
    assert Pace().epoch(make_trial(1, 1.0)) == pytest.approx(0.1)


def test_a_new_trial_is_given_the_lower_median_and_finished_ones_the_slowest() -> None:
    pace = Pace(make_trial(number, *[float(number)] * 2) for number in range(1, 9))
    assert pace.epoch() == 4.0
    assert pace.slowest == 4.0
    pace.add(make_trial(9, *[7.0] * 4))
    assert pace.slowest == 7.0


def test_first_epochs_tell_of_a_new_trial_only_while_there_are_no_others() -> None:
    """One trial's graphs may take longer to trace than another's, which would stop a search for good."""
    pace = Pace([make_trial(0, 30.0)])
    assert pace.epoch() == 25.0
    pace.add(make_trial(1, 3.0, 1.0, 1.0))
    assert pace.epoch() == 1.0
    pace.add(make_trial(2, 30.0))
    assert pace.epoch() == 1.0


def test_old_trials_are_forgotten() -> None:
    pace = Pace(make_trial(number, 50.0, 50.0) for number in range(5))
    for number in range(5, 80):
        pace.add(make_trial(number, 1.0, 1.0))
    assert pace.slowest == pace.epoch() == 1.0


def test_what_is_kept_for_the_last_steps_is_bounded() -> None:
    pace = Pace([make_trial(0, *[10.0] * 4)])
    search = SearchSettings(confirm=3, max_epochs=4)
    assert evaluation_seconds(pace, 600.0, trials=5, at_a_time=2) == 15.0 + 3.0 + 30.0
    assert evaluation_seconds(pace, 60.0, trials=50, at_a_time=2) == 30.0
    assert evaluation_seconds(Pace(), 20.0, trials=5, at_a_time=2) == 5.0
    each = 1.1 * (3.0 + 40.0)
    assert confirmation_seconds(pace, 600.0, search, at_a_time=2) == pytest.approx(2 * each)
    assert confirmation_seconds(pace, 150.0, search, at_a_time=2) == pytest.approx(each)
    assert confirmation_seconds(pace, 100.0, search, at_a_time=2) == 0.0
    assert confirmation_seconds(pace, 600.0, SearchSettings(max_epochs=4), at_a_time=2) == 0.0
    assert confirmation_seconds(Pace(), 600.0, search, at_a_time=2) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (40, "40 s"),
        (125, "2 min 5 s"),
        (1800, "30 min"),
        (5400, "1 h 30 min"),
        (7205, "2 h 5 s"),
        (-3, "0 s"),
    ],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
