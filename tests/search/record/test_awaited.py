import pytest

from search.record import CONFIRMATIONS, FINISHED, TRIALS, ClockRecord, TrialRecord
from search.record.awaited import Wanted, is_awaited
from tests.conftest import make_epoch


def trial(number: int, loss: float, confirms: int | None = None) -> TrialRecord:
    layers = number if confirms is None else confirms
    epochs = [make_epoch(1, loss)]
    return TrialRecord(number, {"layers": layers}, 0, 1, confirms=confirms, status=FINISHED, epochs=epochs)


OWN = [trial(0, 0.5), trial(1, 0.2), trial(2, 0.3)]
CLOSED_TRIALS = ClockRecord(closed={TRIALS: 60.0})
CLOSED = ClockRecord(closed={TRIALS: 60.0, CONFIRMATIONS: 60.0})


@pytest.mark.parametrize(
    ("trials", "clock", "wanted", "awaited"),
    [
        (OWN, ClockRecord(), Wanted(4, 0, None, "val_loss", "best"), True),
        (OWN, ClockRecord(), Wanted(3, 0, None, "val_loss", "best"), False),
        (OWN, CLOSED_TRIALS, Wanted(4, 0, 60.0, "val_loss", "best"), False),
        (OWN, CLOSED_TRIALS, Wanted(4, 0, 90.0, "val_loss", "best"), True),
        (OWN, CLOSED_TRIALS, Wanted(4, 1, 60.0, "val_loss", "best"), True),
        (OWN, CLOSED, Wanted(4, 1, 60.0, "val_loss", "best"), False),
        ([*OWN, trial(3, 0.4, confirms=1)], ClockRecord(), Wanted(3, 1, None, "val_loss", "best"), False),
        ([*OWN, trial(3, 0.4, confirms=0)], ClockRecord(), Wanted(3, 1, None, "val_loss", "best"), True),
    ],
)
def test_what_is_still_to_begin(trials: list[TrialRecord], clock: ClockRecord, wanted: Wanted, awaited: bool) -> None:
    assert is_awaited(len(OWN), trials, clock, wanted) is awaited
