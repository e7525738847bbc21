"""What a run writes and how it is read back: its folder, its log of events, and the records that the log adds up to.

The log is the single source of truth. The driver appends one JSON line an event; everything else (trial records,
ASHA's rungs, the Optuna study, the tables) is rebuilt from it. Nothing here needs Ray, TensorFlow or pandas: a run
can be read anywhere, also while it is going on.
"""

from search.record.clock import CLOCK, CLOSED, CONFIRMATIONS, TRIALS, ClockRecord, fold_clock
from search.record.events import apply_event, fold, is_sound, read_event, seal
from search.record.folder import PACKED, RunFolder, RunLog
from search.record.log import EventLog
from search.record.names import inside
from search.record.ranking import rank, rank_configurations, to_confirm
from search.record.scan import Scan, readable, run_names, scan_runs
from search.record.schema import (
    DIVERGED,
    FAILED,
    FINAL,
    FINISHED,
    OWN_FAULT,
    RUNNING,
    SCHEMA_VERSION,
    SHIFTED,
    STOPPED,
    TEST,
    VALIDATION,
    WAITING,
    EarlierTrial,
    EpochRecord,
    Evaluation,
    RecordError,
    RunRecord,
    TrialRecord,
    WarmStart,
    Winner,
    finite,
    from_json,
    lower_is_better,
    to_json,
    trial_name,
)

__all__ = [
    "CLOCK",
    "CLOSED",
    "CONFIRMATIONS",
    "DIVERGED",
    "FAILED",
    "FINAL",
    "FINISHED",
    "OWN_FAULT",
    "PACKED",
    "RUNNING",
    "SCHEMA_VERSION",
    "SHIFTED",
    "STOPPED",
    "TEST",
    "TRIALS",
    "VALIDATION",
    "WAITING",
    "ClockRecord",
    "EarlierTrial",
    "EpochRecord",
    "Evaluation",
    "EventLog",
    "RecordError",
    "RunFolder",
    "RunLog",
    "RunRecord",
    "Scan",
    "TrialRecord",
    "WarmStart",
    "Winner",
    "apply_event",
    "finite",
    "fold",
    "fold_clock",
    "from_json",
    "inside",
    "is_sound",
    "lower_is_better",
    "rank",
    "rank_configurations",
    "read_event",
    "readable",
    "run_names",
    "scan_runs",
    "seal",
    "to_confirm",
    "to_json",
    "trial_name",
]
