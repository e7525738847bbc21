from typing import Any

import pytest

from search.record import RunFolder, patience
from search.record.patience import patiently


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves; holds how long was slept each time."""
    slept: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", slept.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(slept))
    return slept


class Failing:
    """Work that fails so many times, or for ever."""

    def __init__(self, failures: float, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or OSError("out of reach")

    def __call__(self) -> str:
        self.failures -= 1
        if self.failures >= 0:
            raise self.error
        return "done"


def test_a_storage_that_comes_back_is_waited_for_and_reported_once(clock: list[float]) -> None:
    said: list[str] = []
    assert patiently(Failing(5), 60, said.append) == "done"
    assert clock == [1, 2, 4, 8, 10]
    assert said == [
        "The storage fails (out of reach); tried again for 60 s (run.patience).",
        "The storage works again, after 25 s.",
    ]


def test_patience_ends_and_the_last_error_is_raised(clock: list[float]) -> None:
    with pytest.raises(OSError, match="out of reach"):
        patiently(Failing(1000), 30, lambda text: None)
    assert sum(clock) == 30


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError(), IsADirectoryError()])
def test_an_error_that_no_waiting_fixes_is_raised_at_once(error: OSError, clock: list[float]) -> None:
    with pytest.raises(type(error)):
        patiently(Failing(1, error), 60, lambda text: None)
    assert clock == []


def test_a_storage_that_comes_back_without_the_file_works_again(clock: list[float]) -> None:
    errors, said = [OSError("out of reach"), FileNotFoundError("no such file")], list[str]()

    def work() -> None:
        raise errors.pop(0)

    with pytest.raises(FileNotFoundError):
        patiently(work, 60, said.append)
    assert said[-1] == "The storage works again, after 1 s."


def test_errors_of_an_object_store_s_client_are_waited_for_too(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder("memory://bucket/waiting").patient(60, lambda text: None)
    keep = folder.fs.pipe_file
    failing = Failing(2, RuntimeError("EndpointConnectionError"))  # botocore's errors are not OSErrors

    def pipe(*given: Any) -> None:
        failing()
        keep(*given)

    monkeypatch.setattr(folder.fs, "pipe_file", pipe)
    folder.write(b"kept", "a", "b")
    assert folder.read("a", "b") == b"kept"
    failing.failures = 1000
    with pytest.raises(OSError, match="RuntimeError: EndpointConnectionError"):
        folder.write(b"lost", "a", "b")
