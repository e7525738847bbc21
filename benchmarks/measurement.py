"""What a benchmark is given, its options and the machine, and what it finds: figures, their bounds and peers."""

import statistics
from dataclasses import dataclass


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
