"""What the tests of the GPU check share."""

from search import record
from search.record import TrialRecord
from tests.conftest import make_epoch


def make_trial(number: int = 0, begin: float = 0.0, status: str = record.FINISHED, reason: str = "") -> TrialRecord:
    """Three epochs of 10, 2 and 2 s from a moment on."""
    lengths = (10.0, 2.0, 2.0)
    epochs = [
        make_epoch(place + 1, 0.5, seconds=length, time=begin + sum(lengths[: place + 1]))
        for place, length in enumerate(lengths)
    ]
    return TrialRecord(number, {}, 0, 3, status=status, reason=reason, epochs=epochs)
