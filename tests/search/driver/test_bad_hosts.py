from search.driver.bad_hosts import MOST_FAULTS, BadHosts


def test_a_trial_avoids_a_host_that_stopped_it_and_others_do_not() -> None:
    hosts = BadHosts(lambda: ["a", "b"])
    assert hosts.avoided_by(7) == ()
    assert not hosts.note_fault(7, "a")
    assert (hosts.avoided_by(7), hosts.avoided_by(8)) == (("a",), ())


def test_a_host_that_stops_trial_after_trial_is_excluded_once() -> None:
    hosts = BadHosts(lambda: ["a", "b"])
    found = [hosts.note_fault(trial, "a") for trial in range(MOST_FAULTS + 1)]
    assert found == [False] * (MOST_FAULTS - 1) + [True, False]
    assert (hosts.avoided_by(99), hosts.excluded, hosts.is_any_left) == (("a",), {"a"}, True)
    assert [hosts.note_fault(trial, "b") for trial in range(MOST_FAULTS)][-1]
    assert not hosts.is_any_left


def test_an_epoch_clears_a_host() -> None:
    hosts = BadHosts(lambda: ["a", "b"])
    for trial in range(10):
        assert not hosts.note_fault(trial, "a")
        hosts.note_epoch("a")
    assert hosts.excluded == set()


def test_where_there_is_no_other_host_a_trial_is_tried_again_on_the_same() -> None:
    hosts = BadHosts(lambda: ["a"])
    hosts.note_fault(0, "a")
    assert hosts.avoided_by(0) == ()
    assert hosts.is_any_left
    hosts.note_fault(0, "a")
    hosts.note_fault(0, "a")
    assert not hosts.is_any_left


def test_a_trial_that_waits_for_hosts_that_were_lost_may_use_the_others_again() -> None:
    usable = {"a", "b"}
    hosts = BadHosts(lambda: usable)
    hosts.note_fault(7, "a")
    assert not hosts.is_stranded(7, hosts.avoided_by(7))  # "b" may be busy
    usable.remove("b")
    assert hosts.is_stranded(7, ("a",))
    assert not hosts.is_stranded(7, hosts.avoided_by(7))
    usable.clear()
    assert hosts.is_stranded(7, ("a",))  # any that comes will do


def test_an_excluded_host_is_not_used_again_for_want_of_others() -> None:
    usable = {"a", "b"}
    hosts = BadHosts(lambda: usable)
    for trial in range(MOST_FAULTS):
        hosts.note_fault(trial, "a")
    assert hosts.is_any_left
    usable.remove("b")
    assert not hosts.is_stranded(99, hosts.avoided_by(99))
    assert hosts.reasons == ["1 host with room no longer used after errors"]  # what a search that waits says
    usable.remove("a")
    assert hosts.reasons == []
