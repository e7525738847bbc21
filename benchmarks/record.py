"""The stored result of a benchmark: its findings, and where, with what and when it ran."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measurement import Bound, Comparison, Grid, Machine, Measurement, Quantity, Target


@dataclass(frozen=True)
class Circumstances:
    """Where, with what and when a benchmark was run."""

    machine: Machine
    versions: dict[str, str]
    commit: str
    command: str
    data: str
    repeats: int
    quick: bool
    finished: float  # seconds since 1970
    seconds: float  # that the benchmark took in all


@dataclass(frozen=True)
class BenchmarkRecord:
    """The stored result of a benchmark."""

    name: str
    measurement: Measurement
    circumstances: Circumstances


def write_record(record: BenchmarkRecord, docs: Path) -> None:
    """Store a benchmark's result as `docs/benchmarks/NAME.json`, whole or not at all."""
    path = docs / "benchmarks" / f"{record.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(record), indent=1) + "\n")
    partial.replace(path)


def read_record(path: Path) -> BenchmarkRecord:
    """The stored result of a benchmark."""
    content = json.loads(path.read_text())
    found, around = content["measurement"], content["circumstances"]
    measurement = Measurement(
        **{
            **found,
            "comparisons": tuple(
                Comparison(_quantity(each["ours"]), _quantity(each["peer"]), Bound(**each["bound"]))
                for each in found["comparisons"]
            ),
            "targets": tuple(Target(_quantity(each["quantity"]), Bound(**each["bound"])) for each in found["targets"]),
            "others": tuple(map(_quantity, found["others"])),
            "notes": tuple(found["notes"]),
            "grids": tuple(
                Grid(each["title"], tuple(each["columns"]), tuple(tuple(map(_quantity, row)) for row in each["rows"]))
                for each in found.get("grids", ())
            ),
        }
    )
    circumstances = Circumstances(**{**around, "machine": Machine(**around["machine"])})
    return BenchmarkRecord(content["name"], measurement, circumstances)


def _quantity(content: dict[str, Any]) -> Quantity:
    return Quantity(content["name"], content["unit"], tuple(content["values"]))


def read_records(docs: Path) -> list[BenchmarkRecord]:
    """All stored results, by name."""
    return [read_record(path) for path in sorted((docs / "benchmarks").glob("*.json"))]
