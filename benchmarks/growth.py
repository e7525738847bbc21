"""How the time of a search grows: with its trials, with the images, and with the nodes of a cluster.

`python -m benchmarks.growth [--root FOLDER]`; on the full set and 2 cores about 20 minutes. Draws
`docs/benchmarks/growth.svg`, for which plotly's kaleido needs Chrome or Chromium.

Times are from the start of the first epoch to the end of the last trial; what comes before (imports, data, Ray) does
not depend on the work. Nodes are Ray nodes of one CPU each in this machine (ray.cluster_utils.Cluster): they show what
the driver and the object store cost, not what a second machine would give. Beyond this machine's cores they share CPUs.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity
from benchmarks.searches import Search, data_words, fixed_words, listed_words, run_search
from data_pipeline.dataset import list_dataset
from data_pipeline.settings import DataSettings

PICTURE = "growth.svg"
TRIALS, IMAGES, NODES = "trials", "images", "nodes"
FACTORS = {TRIALS: (1, 2, 4, 8), IMAGES: (1, 2, 4), NODES: (1, 2, 4)}
STRAIGHT = Bound(1.1)  # of the straight line through the first point: the noise of a shared machine
EPOCHS, QUICK_EPOCHS = 3, 1
SIZE = 112  # the curves have the same shape at 224, for four times the time
NODE_TRIALS = 8
STORE_BYTES = 10**9  # of each node's object store: the full set takes a quarter of it
FIXED = {
    "backbone": "cnn",
    "batch_size": 32,
    "augment": "none",
    "class_weights": "none",
    "layers": 1,
    "filters": 8,
    "kernel": 3,
    "batch_norm": "none",
    "dense": [16],
    "dropout": 0.2,
}


@dataclass(frozen=True)
class Curve:
    """Seconds at each factor: of trials, images or nodes.

    Attributes:
        seconds: for each factor a value for each repeat.
        startup: seconds that each of these commands took before its first epoch.
    """

    seconds: Mapping[int, Sequence[float]]
    startup: Sequence[float]


def measure(options: Options, machine: Machine) -> Measurement:
    """The three curves."""
    picture = harness.picture_path(options, PICTURE)
    draw({}, machine.cores, picture)  # without a browser to draw with, this fails now and not in an hour
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as folder:
        bench = _Bench(options, machine, Path(folder))
        curves = {TRIALS: bench.over_trials(), IMAGES: bench.over_images(), NODES: bench.over_nodes()}
    draw(curves, machine.cores, picture)
    return summarize(curves, machine)


def summarize(curves: Mapping[str, Curve], machine: Machine) -> Measurement:
    """The measurement that these curves make."""
    return Measurement(
        question="Does the time of a search grow as its work does, and fall as the nodes grow in number?",
        setting=f"CNNs of one layer and 8 filters, {EPOCHS} epochs at {SIZE} x {SIZE}, one thread each. Trials: one a "
        f"core, then 2, 4, 8 times as many. Images: a quarter, half, all. Nodes: {NODE_TRIALS} trials on 1, 2, 4 Ray "
        "nodes of one CPU inside this machine. From the begin of the first epoch to the end of the last trial. The "
        "peer is the straight line through the first point.",
        comparisons=tuple(
            Comparison(
                Quantity(f"{what} x {factor}", "s", tuple(curve.seconds[factor])),
                Quantity("straight line", "s", (straight_line(what, curve, factor, machine.cores),)),
                STRAIGHT,
            )
            for what, curve in curves.items()
            for factor in list(curve.seconds)[1:]
        ),
        others=tuple(
            Quantity(f"{what}: before the first epoch of each command", "s", tuple(curve.startup))
            for what, curve in curves.items()
        ),
        limited_by=f"training, on all {machine.cores} cores.",
        physical_limit=f"a straight line; with nodes only up to {machine.cores}, the cores of this machine.",
        notes=(
            *(f"A line fitted over {what}: {_fitted(curves[what])}" for what in (TRIALS, IMAGES)),
            f"The knee over nodes at {machine.cores} is this machine's: more nodes share its cores.",
        ),
        picture=PICTURE,
    )


def straight_line(what: str, curve: Curve, factor: int, cores: int) -> float:
    """Seconds at this factor if they grew with it (trials, images) or fell with it until every core has a node."""
    first = Quantity(what, "s", tuple(curve.seconds[1])).median
    return first / min(factor, cores) if what == NODES else first * factor


def fit_line(curve: Curve) -> tuple[float, float]:
    """The seconds that do not grow with the factor, and those that each unit of it adds, by least squares."""
    factors = [factor for factor, seconds in curve.seconds.items() for _ in seconds]
    slope, offset = np.polyfit(factors, [each for seconds in curve.seconds.values() for each in seconds], 1)
    return float(offset), float(slope)


def _fitted(curve: Curve) -> str:
    offset, slope = fit_line(curve)
    return f"{offset:.1f} s that do not grow, and {slope:.1f} s for each time x 1."


def draw(curves: Mapping[str, Curve], cores: int, path: Path) -> None:
    """Draw the curves' medians with their straight lines, as a small SVG."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 3, subplot_titles=["trials", "images", "nodes of one CPU"], horizontal_spacing=0.08)
    for column, (what, curve) in enumerate(curves.items(), start=1):
        factors = list(curve.seconds)
        medians = [Quantity(what, "s", tuple(curve.seconds[factor])).median for factor in factors]
        lines = [straight_line(what, curve, factor, cores) for factor in factors]
        measured = {"x": factors, "y": medians, "mode": "lines+markers", "name": "measured", "line_color": "#1f5fa8"}
        straight = {"x": factors, "y": lines, "mode": "lines", "name": "straight line", "line_color": "#999999"}
        for trace in (measured, {**straight, "line_dash": "dash"}):
            figure.add_trace(go.Scatter(**trace, showlegend=column == 1), row=1, col=column)
        figure.update_xaxes(tickvals=factors, ticktext=[f"x{factor}" for factor in factors], row=1, col=column)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="seconds", row=1, col=1)
    figure.update_layout(template="plotly_white", width=900, height=300, margin={"l": 50, "r": 10, "t": 40, "b": 30})
    figure.write_image(path)


class _Bench:
    """The runs of one session: where their folders are, and what they have in common."""

    def __init__(self, options: Options, machine: Machine, folder: Path) -> None:
        self._options = options
        self._cores = machine.cores
        self._folder = folder
        self._count = 0

    def over_trials(self) -> Curve:
        """One trial a core, then 2, 4 and 8 times as many."""
        return self._curve(TRIALS, lambda factor: self._search(factor * self._cores, self._options.root))

    def over_images(self) -> Curve:
        """A quarter of the images, half, all."""
        most = max(FACTORS[IMAGES])
        roots = {factor: self._folder / f"images-x{factor}" for factor in FACTORS[IMAGES]}
        for factor, root in roots.items():
            copy_share(self._options.root, most // factor, root)
        return self._curve(IMAGES, lambda factor: self._search(2 * self._cores, str(roots[factor])))

    def over_nodes(self) -> Curve:
        """The same trials on 1, 2 and 4 nodes of one CPU."""

        def search(nodes: int) -> Search:
            trials = 2 if self._options.quick else NODE_TRIALS
            with cluster(nodes) as address:
                return self._search(trials, self._options.root, {"RAY_ADDRESS": address})

        return self._curve(NODES, search)

    def _curve(self, what: str, search: Any) -> Curve:
        factors = FACTORS[what][:2] if self._options.quick else FACTORS[what]
        found = {factor: [search(factor) for _ in range(self._options.repeats)] for factor in factors}
        startup = [each.seconds - each.training_seconds for searches in found.values() for each in searches]
        return Curve({factor: [each.training_seconds for each in found[factor]] for factor in found}, startup)

    def _search(self, trials: int, root: str | None, environment: Mapping[str, str] | None = None) -> Search:
        rates = [0.001 * (1 + place / 100) for place in range(trials)]
        epochs = QUICK_EPOCHS if self._options.quick else EPOCHS
        words = ["space=plain2", *fixed_words(FIXED), *listed_words({"learning_rate": rates})]
        words += ["search.searcher=grid", "search.scheduler=none", f"search.max_epochs={epochs}"]
        self._count += 1
        words += [f"data.size={SIZE}"]
        words += data_words(root, self._folder / "cache")
        return run_search(words, self._folder, f"growth-{self._count}", environment)


def copy_share(root: str | None, every: int, target: Path) -> None:
    """Copy each `every`-th image of a data set, in the order of its ids, to a folder of the same layout."""
    for row in list_dataset(DataSettings(root=root)).rows[::every]:
        path = target / row.image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(row.path, path)


@contextmanager
def cluster(nodes: int, cpus: int = 1) -> Iterator[str]:
    """The address of a Ray cluster of so many nodes, all in this machine, for as long as the block lasts."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": cpus, "object_store_memory": STORE_BYTES}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            made.add_node(**node)
        yield str(made.address)
    finally:
        made.shutdown()


if __name__ == "__main__":
    harness.main(measure, __doc__)
