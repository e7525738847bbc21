from search.record import CONFIRMATIONS, TRIALS, fold_clock


def test_the_clock_is_where_its_last_event_left_it() -> None:
    events = [
        {"event": "clock", "elapsed": 10.0},
        {"event": "epoch", "trial": 0},
        {"event": "closed", "what": TRIALS, "budget": 60.0, "elapsed": 45.5, "reason": "x"},
    ]
    found = fold_clock(events)
    assert found.elapsed == 45.5
    assert found.is_closed(TRIALS, 60.0)
    assert not found.is_closed(CONFIRMATIONS, 60.0)
    # Another budget may leave time for more of them, or there is none.
    assert found.is_closed(TRIALS, 30.0)
    assert not found.is_closed(TRIALS, 90.0)
    assert not found.is_closed(TRIALS, None)


def test_a_log_without_a_clock_has_spent_nothing() -> None:
    assert (fold_clock([]).elapsed, fold_clock([]).closed) == (0.0, {})
