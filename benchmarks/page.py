"""The page of all results, `docs/benchmarks.md`, made from the stored ones."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measurement import Bound, Comparison, Quantity, Target
from benchmarks.record import BenchmarkRecord, Circumstances, read_records
from search.record.counting import counted


def write_page(docs: Path) -> None:
    """Rewrite `benchmarks.md` and `benchmarks.json` from the stored results."""
    records = read_records(docs)
    (docs / "benchmarks.md").write_text(page(records))
    (docs / "benchmarks.json").write_text(json.dumps([asdict(record) for record in records], indent=1) + "\n")


def page(records: Sequence[BenchmarkRecord]) -> str:
    """The page of all results, in Markdown."""
    head = (
        "# Benchmarks\n\n"
        "Made by `make bench` from the results in [benchmarks/](benchmarks); do not edit by hand. A figure is the "
        "median over the repeats, with the smallest and the largest in brackets; a ratio is ours / peer, both "
        "measured in the same run.\n"
    )
    return "\n".join([head, *map(section, records)])


def section(record: BenchmarkRecord) -> str:
    """One benchmark's part of the page, in Markdown."""
    found, around = record.measurement, record.circumstances
    lines = [f"## {record.name}", "", found.question, "", f"    {around.command}", "", found.setting, ""]
    if found.comparisons:
        lines += ["| ours | | peer | | ratio | to reach | reached |", "|---|---|---|---|---|---|---|"]
        lines += [_comparison_row(each) for each in found.comparisons] + [""]
    if found.targets:
        lines += ["| figure | | to reach | reached |", "|---|---|---|---|"]
        lines += [_target_row(each) for each in found.targets] + [""]
    for grid in found.grids:
        lines += [f"| {grid.title} | {' | '.join(grid.columns)} |", "|---" * (1 + len(grid.columns)) + "|"]
        lines += [f"| {row[0].name} | {' | '.join(map(format_quantity, row))} |" for row in grid.rows] + [""]
    if found.others:
        lines += ["| also measured | |", "|---|---|"]
        lines += [f"| {each.name} | {format_quantity(each)} |" for each in found.others] + [""]
    if found.picture:
        lines += [f"![{record.name}](benchmarks/{found.picture})", ""]
    lines += [f"- Limited now by: {found.limited_by}", f"- Physical limit: {found.physical_limit}"]
    lines += [f"- {note}" for note in found.notes]
    return "\n".join([*lines, "", _circumstances_line(around), ""])


def _comparison_row(row: Comparison) -> str:
    cells = (
        row.ours.name,
        format_quantity(row.ours),
        row.peer.name,
        format_quantity(row.peer),
        format_number(row.ratio),
        _format_bound(row.bound, ""),
        "yes" if row.is_reached else "no",
    )
    return f"| {' | '.join(cells)} |"


def _target_row(row: Target) -> str:
    bound = _format_bound(row.bound, row.quantity.unit)
    reached = "yes" if row.is_reached else "no"
    return f"| {row.quantity.name} | {format_quantity(row.quantity)} | {bound} | {reached} |"


def _circumstances_line(around: Circumstances) -> str:
    machine = around.machine
    versions = ", ".join(f"{name} {number}" for name, number in around.versions.items())
    quick = " **A quick run: its figures mean nothing.**" if around.quick else ""
    return (
        f"{around.data}; {counted(around.repeats, 'repeat')} in {around.seconds / 60:.0f} min, ended "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(around.finished))} UTC; commit {around.commit or 'unknown'}; "
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB, load {machine.load:g} when it began: "
        f"copies {machine.copy_gb_per_s:.1f} GB/s (one thread, read + written), multiplies matrices at "
        f"{machine.gemm_gflops:.0f} GFLOP/s (float32), decodes {machine.decode_megapixels_per_s:.0f} megapixels/s "
        f"(one thread); {versions}.{quick}"
    )


def format_quantity(quantity: Quantity) -> str:
    """Median, unit and spread: `12.3 s (11.9 to 14.0)`."""
    unit = f" {quantity.unit}" if quantity.unit else ""
    if len(quantity.values) == 1:
        return f"{format_number(quantity.median)}{unit}"
    low, high = quantity.spread
    return f"{format_number(quantity.median)}{unit} ({format_number(low)} to {format_number(high)})"


def format_number(value: float) -> str:
    """Three significant digits, thousands parted: `1,234`, `12.3`, `0.0123`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _format_bound(bound: Bound, unit: str) -> str:
    return f"at {'most' if bound.at_most else 'least'} {format_number(bound.value)}{f' {unit}' if unit else ''}"
