from search.record import EVALUATED, Look, fold_looks, looks_words

LOOK = {
    "event": EVALUATED,
    "time": 5.0,
    "images": {"test": 120, "adults": 200},
    "trials": 3,
    "settings": {"ensemble": 5},
}


def test_each_evaluation_is_a_look_at_its_test_sets() -> None:
    events = [{"event": "epoch", "trial": 0}, LOOK, {**LOOK, "time": 9.0, "images": {"test": 120}}]
    first, second = fold_looks(events)
    assert first == Look(5.0, {"test": 120, "adults": 200}, 3, {"ensemble": 5})
    assert second.time == 9.0
    assert looks_words([first, second]) == "test 2, adults 1"


def test_a_log_of_before_records_none() -> None:
    assert fold_looks([{"event": "epoch", "trial": 0}]) == ()
    assert looks_words([]) == ""
