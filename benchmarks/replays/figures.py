"""What the courses of many seeds amount to: regret over time and mean ranks, with intervals, and their picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.replays.simulation import Course

BUDGETS = (5, 10, 20, 50, 100)  # full trainings
RESAMPLES = 2_000
_COLORS = (  # red, green, blue
    "31,95,168",
    "120,120,120",
    "42,157,111",
    "224,123,34",
    "155,80,160",
    "190,60,70",
    "90,70,50",
    "0,160,180",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % bootstrap interval; float64 arrays of one shape."""

    low: Floats
    mean: Floats
    high: Floats


def estimate(values: Floats) -> Estimate:
    """The mean over the first axis (seeds), with percentiles of the means of resampled seeds, their draws fixed."""
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    counts = np.array([np.bincount(draw, minlength=len(values)) for draw in draws])
    means = np.tensordot(counts, values, axes=1) / len(values)  # (RESAMPLES, ...)
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return Estimate(low, values.mean(axis=0), high)


def regrets_at(courses: Sequence[Course], seconds: Floats, regrets: Floats) -> Floats:
    """The regret of every seed's choice at these moments, (seeds, moments)."""
    return np.array([course.regrets_at(seconds, regrets) for course in courses])


def ranks(regrets: Mapping[str, Floats]) -> dict[str, Floats]:
    """The rank of every way among all, 1 the lowest regret, for each seed and moment: (seeds, moments).

    Ways that chose equally well share the mean of their ranks.
    """
    ranked = rankdata(np.array(list(regrets.values())), axis=0)
    return dict(zip(regrets, ranked, strict=True))


@dataclass(frozen=True)
class Panel:
    """The regrets over time with so many workers.

    Attributes:
        workers: that were simulated.
        minutes: of the simulated clock, (moments,).
        lines: of each way that is drawn.
    """

    workers: int
    minutes: Floats
    lines: Mapping[str, Estimate]


def draw(panels: Sequence[Panel], ours: str, path: Path) -> None:
    """Draw regret over time, a panel for each number of workers, as a small SVG; bands are 95 % intervals."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = [f"{panel.workers} workers" for panel in panels]
    figure = make_subplots(1, max(1, len(panels)), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.02)
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colors = dict(zip(names, _COLORS, strict=False))
    for column, panel in enumerate(panels, 1):
        for name, line in panel.lines.items():
            band = {"x": panel.minutes, "mode": "lines", "line_width": 0, "showlegend": False, "hoverinfo": "skip"}
            fill = {"fill": "tonexty", "fillcolor": f"rgba({colors[name]},0.15)"}
            mean = {"x": panel.minutes, "y": line.mean, "mode": "lines", "name": name, "legendgroup": name}
            style = {"color": f"rgb({colors[name]})", "width": 3 if name == ours else 1.5}
            figure.add_trace(go.Scatter(y=line.low, **band), row=1, col=column)
            figure.add_trace(go.Scatter(y=line.high, **band, **fill), row=1, col=column)
            figure.add_trace(go.Scatter(**mean, line=style, showlegend=column == 1), row=1, col=column)
    figure.update_xaxes(type="log", title_text="simulated minutes")
    figure.update_yaxes(type="log")
    figure.update_yaxes(title_text="mean regret", row=1, col=1)
    legend = {"orientation": "h", "y": -0.25}
    figure.update_layout(
        template="plotly_white", width=1000, height=430, margin={"l": 60, "r": 10, "t": 40, "b": 30}, legend=legend
    )
    figure.write_image(path)
