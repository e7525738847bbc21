"""The parts that all benchmarks share: options, figures, the facts of the machine, and the page of all results.

A benchmark is a module with `measure(options, machine) -> Measurement`, which stores nothing, and this main:

    if __name__ == "__main__":
        harness.main(measure, __doc__)

At its end it writes `docs/benchmarks/NAME.json`, and rewrites `docs/benchmarks.md` and `docs/benchmarks.json` from all
such files, so that a long `make bench` can be interrupted and resumed. A quick run (`--quick`) shows that a
benchmark works; its figures mean nothing and go to `build/quick/` instead.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CODE = ("search", "models", "data_pipeline", "analysis", "benchmarks")
_PACKAGES = (
    "ray",
    "tensorflow",
    "keras",
    "optuna",
    "optuna-integration",
    "keras-tuner",
    "autokeras",
    "syne-tune",
    "smac",
    "dehb",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "plotly",
    "dash",
)


@dataclass(frozen=True)
class Options:
    """The options of every benchmark.

    Attributes:
        root: folder of the images; None for the bundled sample.
        weights: of pretrained backbones: "imagenet", a file, or "none" (random: as fast, but useless).
        repeats: how often each figure is measured.
        quick: smallest sizes and one repeat, to see that the benchmark works.
        outside: folder of an outside test set, for the benchmarks that score one after all choices.
    """

    root: str | None = None
    weights: str = "imagenet"
    repeats: int = 3
    quick: bool = False
    outside: str | None = None


@dataclass(frozen=True)
class Quantity:
    """One measured figure.

    Attributes:
        name: what was measured, in words.
        unit: of the values: "s", "MiB", "images/s", "%", "" for plain numbers.
        values: one for each repeat.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(
                f"A quantity needs at least one value. Received: none for {self.name!r}. Measure it, or leave it out."
            )

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Bound:
    """The bound of a figure: at most `value`, or at least."""

    value: float
    at_most: bool = True

    def holds(self, figure: float) -> bool:
        """Whether the figure reaches it."""
        return figure <= self.value if self.at_most else figure >= self.value


@dataclass(frozen=True)
class Comparison:
    """Ours beside a peer measured in the same run; the bound is on ours / peer."""

    ours: Quantity
    peer: Quantity
    bound: Bound

    @property
    def ratio(self) -> float:
        """The medians' ratio, ours / peer."""
        return self.ours.median / self.peer.median

    @property
    def is_reached(self) -> bool:
        """Whether the ratio keeps the bound."""
        return self.bound.holds(self.ratio)


@dataclass(frozen=True)
class Target:
    """A figure of ours that has a bound but no peer; the bound is on the median."""

    quantity: Quantity
    bound: Bound

    @property
    def is_reached(self) -> bool:
        """Whether the median keeps the bound."""
        return self.bound.holds(self.quantity.median)


@dataclass(frozen=True)
class Grid:
    """A table of figures of many rivals in the same circumstances.

    Attributes:
        title: what the figures are, in words.
        columns: the circumstances.
        rows: of each rival, one figure a column; a figure's name is the rival's.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Quantity, ...], ...]


@dataclass(frozen=True)
class Measurement:
    """The findings of one benchmark.

    Attributes:
        question: what it asks, a sentence.
        setting: what was run on which data, what a figure includes, how a peer was scaled: all that a reader needs.
        comparisons: ours beside peers.
        targets: figures with a bound and no peer.
        others: figures that explain the former.
        limited_by: what limits ours now.
        physical_limit: what the machine itself would allow, in figures.
        notes: what else should be known, a sentence each.
        grids: tables of many rivals.
        picture: file in `docs/benchmarks/`, or empty.
    """

    question: str
    setting: str
    limited_by: str
    physical_limit: str
    comparisons: tuple[Comparison, ...] = ()
    targets: tuple[Target, ...] = ()
    others: tuple[Quantity, ...] = ()
    notes: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    picture: str = ""


@dataclass(frozen=True)
class Machine:
    """The measured limits of a machine.

    Attributes:
        processor: as the system names it.
        cores: that this process may use.
        memory_gib: of the machine.
        copy_gb_per_s: bytes read plus bytes written a second, in 10^9, by one thread copying a large array.
        gemm_gflops: float32 operations a second, in 10^9, by all threads in a product of two 2048 x 2048 matrices.
        decode_megapixels_per_s: grey JPEG pixels decoded a second by one thread, in 10^6.
        load: processes that wanted a CPU when the benchmark began (the system's one-minute average).
    """

    processor: str
    cores: int
    memory_gib: float
    copy_gb_per_s: float
    gemm_gflops: float
    decode_megapixels_per_s: float
    load: float


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


def main(
    measure: Callable[[Options, Machine], Measurement],
    description: str | None,
    repeats: int = 3,
    data: Callable[[Options], str] = lambda options: describe_data(options.root),
) -> None:
    """Measure from the command line, store the result and rewrite the page.

    Args:
        measure: the benchmark.
        description: the module's docstring, shown as help.
        repeats: the default of `--repeats`.
        data: what was measured on, in words.
    """
    module = Path(sys.modules[measure.__module__].__file__ or "")
    name = module.parent.name if module.stem == "__main__" else module.stem  # of a package, or of a module
    options = parse_options(sys.argv[1:], description, repeats)
    started = time.time()
    machine = measure_machine()
    measurement = measure(options, machine)
    circumstances = Circumstances(
        machine=machine,
        versions=package_versions(),
        commit=code_commit(),
        command=command_line(name, options, repeats),
        data=data(options),
        repeats=options.repeats,
        quick=options.quick,
        finished=time.time(),
        seconds=time.time() - started,
    )
    record = BenchmarkRecord(name, measurement, circumstances)
    docs = output_folder(options)
    write_record(record, docs)
    write_page(docs)
    print(section(record))


def repeated(
    name: str, options: Options, once: Callable[[int], Mapping[str, Any]], folder: Path | None = None
) -> list[dict[str, Any]]:
    """The result of each repeat of a long benchmark; those that this commit has measured already are read.

    Args:
        name: of the benchmark.
        options: of the command line; other images or weights are other repeats.
        once: measures the repeat of a number; what it returns must be JSON.
        folder: where repeats are kept, `build/repeats` unless given.
    """
    commit = code_commit()
    given = hashlib.sha256(f"{describe_data(options.root)} {options.weights} {options.quick}".encode()).hexdigest()[:12]
    place = (folder or ROOT / "build" / "repeats") / f"{name}-{commit}-{given}"
    is_known = bool(commit) and not commit.endswith("-dirty")
    found = []
    for number in range(options.repeats):
        path = place / f"{number}.json"
        if not (is_known and path.is_file()):
            place.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(once(number)))
            partial.replace(path)
        found.append(json.loads(path.read_text()))
    return found


def parse_options(words: Sequence[str], description: str | None, repeats: int = 3) -> Options:
    """The options of a command line; `--quick` means one repeat unless `--repeats` is given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of images (default: the bundled sample)")
    parser.add_argument("--weights", default="imagenet", help="imagenet | FILE | none (default: imagenet)")
    parser.add_argument("--repeats", type=int, help=f"default: {repeats}")
    parser.add_argument("--quick", action="store_true", help="smallest sizes; the figures mean nothing")
    parser.add_argument("--outside", help="folder of an outside test set, where one is scored (default: none)")
    given = parser.parse_args(words)
    if given.repeats is not None and given.repeats < 1:
        parser.error(f"--repeats must be at least 1. Received: {given.repeats}. Try --repeats 3.")
    times = given.repeats or (1 if given.quick else repeats)
    return Options(given.root, given.weights, times, given.quick, given.outside)


def output_folder(options: Options) -> Path:
    """The folder of results: `docs/`, or for a quick run `build/quick/`, so that no quick figure is ever published."""
    return ROOT / "build" / "quick" if options.quick else ROOT / "docs"


def picture_path(options: Options, file: str) -> Path:
    """The file of a benchmark's picture; its folder is made if necessary."""
    path = output_folder(options) / "benchmarks" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def timed(work: Callable[[], Any]) -> float:
    """How long `work` takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident_mib() -> float:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def command_line(name: str, options: Options, repeats: int) -> str:
    """The command that repeats the measurement, with placeholders for its folders."""
    words = [f"python -m benchmarks.{name}"]
    words += ["--root FOLDER"] if options.root else []
    words += ["--outside OUTSIDE"] if options.outside else []
    if options.weights != "imagenet":
        words += ["--weights none" if options.weights == "none" else "--weights FILE"]
    words += ["--quick"] if options.quick else []
    words += [f"--repeats {options.repeats}"] if options.repeats != (1 if options.quick else repeats) else []
    return " ".join(words)


def describe_data(root: str | None) -> str:
    """The data set in words: how many images, and the fingerprint of their files and labels."""
    from data_pipeline.dataset import DataSettings, list_dataset

    manifest = list_dataset(DataSettings(root=root))
    which = "the bundled sample: figures for the full set will differ" if root is None else "--root FOLDER"
    return f"{len(manifest.rows):,} images ({which}), fingerprint {manifest.fingerprint[:12]}"


def data_fingerprint(root: str | None) -> str:
    """The beginning of the data set's fingerprint: names folders of searches that are kept."""
    from data_pipeline.dataset import DataSettings, list_dataset

    return list_dataset(DataSettings(root=root)).fingerprint[:12]


def package_versions() -> dict[str, str]:
    """Python and the packages that matter here, those that are installed."""
    found = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_commit(code: Sequence[str] = CODE) -> str:
    """The last commit that touched code, marked when code differs from it; empty outside a git checkout.

    Stored results do not change it, so that a session of benchmarks stays at one commit.

    Args:
        code: files and folders.
    """
    commit = _git(["log", "-1", "--format=%h", "--abbrev=12", "--", *code])
    return f"{commit}-dirty" if commit and _git(["status", "--porcelain", "--", *code]) else commit


def _git(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def measure_machine() -> Machine:
    """The facts of this machine; takes about two seconds."""
    from search.driver.environment import describe_environment

    load = os.getloadavg()[0]  # before the measurements themselves raise it
    environment = describe_environment()
    return Machine(
        processor=environment["processor"],
        cores=len(os.sched_getaffinity(0)),
        memory_gib=environment["memory_gib"],
        copy_gb_per_s=_copy_speed(),
        gemm_gflops=_gemm_speed(),
        decode_megapixels_per_s=_decode_speed(),
        load=round(load, 2),
    )


def _copy_speed(megabytes: int = 256) -> float:
    source = np.ones(megabytes * 10**6, np.uint8)
    target = np.empty_like(source)
    target[:] = source  # the pages of the target are made here, not in the timed copies
    fastest = min(timed(lambda: np.copyto(target, source)) for _ in range(5))
    return 2 * source.nbytes / fastest / 1e9


def _gemm_speed(side: int = 2048) -> float:
    matrix = np.random.default_rng(0).random((side, side), np.float32)
    product = np.empty_like(matrix)
    # So many because shared machines have slow moments: a benchmark could beat a limit that was measured in one.
    fastest = min(timed(lambda: np.matmul(matrix, matrix, out=product)) for _ in range(40))
    return 2 * side**3 / fastest / 1e9


def _decode_speed(images: int = 200) -> float:
    import cv2

    def decode() -> list[Any]:
        return [cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) for data in encoded]

    files = sorted((ROOT / "data_pipeline" / "sample").rglob("*.jpeg"))[:images]
    encoded = [np.fromfile(file, np.uint8) for file in files]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    fastest = min(timed(decode) for _ in range(3))
    cv2.setNumThreads(threads)
    return float(sum(image.size for image in decode()) / fastest / 1e6)


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
        f"{around.data}; {around.repeats} repeats in {around.seconds / 60:.0f} min, ended "
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
