"""What is said while a search waits for workers."""

from types import SimpleNamespace

from search.driver.waiting import Patience, WorkerWatch, newer_reasons, older_reasons


class Time:
    """A clock that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def patience(said: list[str], time: Time, reasons: tuple[str, ...] = ()) -> Patience:
    return Patience("a host with 1 GPU", said.append, lambda: reasons, time)


def polled(watched: Patience, time: Time, seconds: int) -> None:
    for _ in range(seconds):
        watched.poll()
        time.now += 1


def test_a_wait_is_said_after_half_a_minute_and_then_ever_more_seldom() -> None:
    said: list[str] = []
    time = Time()
    watched = patience(said, time, ("2 of gpu starting",))
    polled(watched, time, 30)
    assert not said
    polled(watched, time, 1)
    assert said == ["Waiting 30 s for a host with 1 GPU: 2 of gpu starting. See `ray status`."]
    polled(watched, time, 3600)
    assert 6 < len(said) < 12
    watched.reset()
    polled(watched, time, 30)
    assert len(said) < 12


def test_where_ray_knows_nothing_that_is_said() -> None:
    said: list[str] = []
    time = Time()
    polled(patience(said, time), time, 31)
    assert "Ray knows of no host that is starting" in said[0]


def test_a_search_waits_while_no_trial_has_a_process() -> None:
    said: list[str] = []
    time = Time()
    watch = WorkerWatch(patience(said, time))

    def pass_time() -> int:
        before = len(said)
        for _ in range(40):
            watch.poll()
            time.now += 1
        return len(said) - before

    assert pass_time() == 1
    watch.started(3)
    watch.started(4)
    watch.ended(3)
    assert pass_time() == 0
    watch.ended(4)
    assert pass_time() == 1


def test_the_newer_autoscalers_reasons() -> None:
    launch = SimpleNamespace(ray_node_type_name="gpu_spot", count=2, details=None)
    node = SimpleNamespace(ray_node_type_name="gpu_spot")
    failed = SimpleNamespace(ray_node_type_name="gpu", count=1, details="MaxSpotInstanceCountExceeded")
    status = SimpleNamespace(pending_launches=[launch], pending_nodes=[node], failed_launches=[failed])
    assert newer_reasons(status) == [
        "3 of gpu_spot starting",
        "gpu could not be started (MaxSpotInstanceCountExceeded)",
    ]
    assert newer_reasons(SimpleNamespace(pending_launches=[], pending_nodes=[], failed_launches=[])) == []


def test_the_older_autoscalers_reasons() -> None:
    why = {"category": "InsufficientInstanceCapacity", "description": "no g5.2xlarge left"}
    known = {
        "gpu_spot": {"is_available": False, "unavailable_node_information": why},
        "cpu": {"is_available": True, "unavailable_node_information": None},
    }
    report = {
        "pending_launches": {"cpu": 1},
        "pending_nodes": [["10.0.0.1", "cpu", "setting-up"]],
        "failed_nodes": [["10.0.0.2", "gpu_spot"]],
        "node_availability_summary": {"node_availabilities": known},
    }
    assert older_reasons({"autoscaler_report": report}) == [
        "2 of cpu starting",
        "gpu_spot could not be started (InsufficientInstanceCapacity: no g5.2xlarge left)",
        "1 of gpu_spot failed after their start",
    ]
    assert older_reasons({"load_metrics_report": {}}) == []
