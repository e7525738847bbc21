"""A made-up result of a benchmark."""

from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Quantity, Target
from benchmarks.record import BenchmarkRecord, Circumstances

MACHINE = Machine("a processor", 2, 24.0, 12.0, 80.0, 300.0, 0.1)
CIRCUMSTANCES = Circumstances(
    machine=MACHINE,
    versions={"python": "3.11.7", "keras": "3.15.1"},
    commit="abc",
    command="python -m benchmarks.example",
    data="600 images",
    repeats=3,
    quick=False,
    finished=1_790_000_000.0,
    seconds=90.0,
)
MEASUREMENT = Measurement(
    question="How long?",
    setting="Two sides.",
    limited_by="one thing",
    physical_limit="another",
    comparisons=(
        Comparison(Quantity("ours", "s", (3.0, 1.0, 2.0)), Quantity("theirs", "s", (4.0, 4.0, 40.0)), Bound(0.6)),
        Comparison(Quantity("ours", "images/s", (9.0,)), Quantity("theirs", "images/s", (5.0,)), Bound(2.0, False)),
    ),
    targets=(Target(Quantity("overhead", "%", (12.0, 8.0, 9.0)), Bound(10.0)),),
    others=(Quantity("memory", "MiB", (12345.6,)),),
    notes=("A note.",),
    picture="example.svg",
)
RECORD = BenchmarkRecord("example", MEASUREMENT, CIRCUMSTANCES)
