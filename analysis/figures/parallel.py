"""Parallel coordinates: all hyperparameters together, a line a trial."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis import style
from analysis.figures.panel import TOO_FEW, RunPanel
from analysis.figures.scales import MOST_LINES, Scale, sampled, scale_of, varying
from analysis.load import Run
from search.record import lower_is_better

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = ["draw_parallel", "parallel_scales", "place_at"]

ABSENT_HEIGHT = -0.12  # where a trial without the hyperparameter crosses its axis


def parallel_scales(trials: "pd.DataFrame", metric: str, parameters: Sequence[str]) -> list[Scale]:
    """The axes of a parallel-coordinates figure: the varying hyperparameters, then the metric.

    Trials without a value of `metric` have no place and are left out.
    """
    known = sampled(trials[trials[metric].notna()], MOST_LINES, trials.loc[trials[metric].notna(), metric])
    return [scale_of(known[name]) for name in [*varying(known, parameters), metric]]


def draw_parallel(
    scales: Sequence[Scale], brushed: Mapping[str, Sequence[tuple[float, float]]] | None = None
) -> "go.Figure":
    """Parallel coordinates: a line a trial, the best fiftieth orange; a box across an axis brushes it.

    Drawn as plain lines. Plotly's own parallel coordinates need WebGL: a page holds few of those, they take seconds
    without a GPU, and print as a bitmap.

    Args:
        scales: of `parallel_scales`; the last one colours the lines.
        brushed: chosen ranges of places, by column.
    """
    brushed = brushed or {}
    heights = np.column_stack([_heights(scale) for scale in scales])  # (N, A), in [0, 1]; absent below
    chosen = np.ones(len(heights), bool)
    for scale in scales:
        if scale.name in brushed:
            own = np.where(np.isnan(scale.places), scale.absent, scale.places)
            chosen &= np.any([(own >= low) & (own <= high) for low, high in brushed[scale.name]], axis=0)
    values = scales[-1].places if lower_is_better(scales[-1].name) else -scales[-1].places
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(len(values), 1)
    groups = [
        ("not chosen", ~chosen, style.MUTED, 0.08, 1.0),
        ("trials", chosen & (rank >= 0.2), style.MUTED, 0.3, 1.0),
        ("the best fifth", chosen & (rank >= 0.02) & (rank < 0.2), style.ACCENT, 0.5, 1.0),
        ("the best of all", chosen & (rank < 0.02), style.BEST, 1.0, 1.8),
    ]
    traces = [_lines(name, heights[own], color, alpha, width) for name, own, color, alpha, width in groups]
    # Invisible points: without a point in the figure Plotly offers no box.
    axis_feet = {"x": list(range(len(scales))), "y": [0.0] * len(scales), "mode": "markers", "opacity": 0}
    traces.append({"type": "scatter", "hoverinfo": "skip", "showlegend": False, **axis_feet})
    traces += _axis_text(scales)
    return style.figure(
        traces,
        shapes=[mark for place, scale in enumerate(scales) for mark in _axis_marks(place, scale, brushed)],
        xaxis={"visible": False, "range": [-0.55, len(scales) - 0.6], "fixedrange": True},
        yaxis={"visible": False, "range": [-0.2, 1.16], "fixedrange": True},
        height=400,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        meta={"rows": 1, "columns": 1, "narrowest": 90 * len(scales), "parallel": len(scales)},
    )


def _heights(scale: Scale) -> NDArray[np.float64]:
    span = (scale.high - scale.low) or 1.0
    return np.where(np.isnan(scale.places), ABSENT_HEIGHT, (scale.places - scale.low) / span)


def place_at(scale: Scale, height: float) -> float:
    """The place on a scale at a height of the parallel-coordinates figure."""
    if height < ABSENT_HEIGHT / 2:
        return scale.absent
    return scale.low + height * ((scale.high - scale.low) or 1.0)


def _lines(name: str, heights: NDArray[np.float64], color: str, alpha: float, width: float) -> dict[str, Any]:
    """All lines of a group as one path, a gap after each."""
    count, axes = heights.shape
    x = np.tile(np.append(np.arange(axes, dtype=np.float32), np.nan), count)
    y = np.column_stack([heights, np.full(count, np.nan)]).ravel().astype(np.float32)
    line = {"color": style.faded(color, alpha), "width": width}
    return {"type": "scatter", "x": x, "y": y, "mode": "lines", "name": name, "line": line, "hoverinfo": "skip"}


def _axis_text(scales: Sequence[Scale]) -> list[dict[str, Any]]:
    """The axes' names above them and their ticks beside them; as text, because annotations are slow to draw."""
    ticks = [
        (place, (value - scale.low) / ((scale.high - scale.low) or 1.0), text)
        for place, scale in enumerate(scales)
        for value, text in zip(*scale.ticks, strict=True)
    ]
    ticks += [(n, ABSENT_HEIGHT, "absent") for n, scale in enumerate(scales) if np.isnan(scale.places).any()]
    names = [(place, 1.1, style.plain(style.label(scale.name))) for place, scale in enumerate(scales)]
    return [_text(names, 12, "middle center"), _text(ticks, 10, "middle left")]


def _text(entries: Sequence[tuple[float, float, str]], size: int, position: str) -> dict[str, Any]:
    x, y, text = zip(*entries, strict=True) if entries else ((), (), ())
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "text": text,
        "mode": "text",
        "textposition": position,
        "textfont": {"size": size, "shadow": "auto"},
        "hoverinfo": "skip",
    }


def _axis_marks(place: int, scale: Scale, brushed: Mapping[str, Sequence[tuple[float, float]]]) -> list[dict[str, Any]]:
    """The axis, and a thick bar over each part of it that is brushed."""
    foot = ABSENT_HEIGHT if np.isnan(scale.places).any() else 0.0
    marks: list[dict[str, Any]] = [{"type": "line", "x0": place, "x1": place, "y0": foot, "y1": 1.0}]
    span = (scale.high - scale.low) or 1.0
    for low, high in brushed.get(scale.name, ()):
        ends = [ABSENT_HEIGHT if end < scale.low - scale.room else (end - scale.low) / span for end in (low, high)]
        line = {"color": style.BEST, "width": 5}
        marks.append(
            {"type": "line", "x0": place, "x1": place, "y0": ends[0] - 0.01, "y1": ends[1] + 0.01, "line": line}
        )
    return marks


def _parallel(run: Run, trials: "pd.DataFrame") -> "Drawn":
    scales = parallel_scales(trials, run.metric, run.hyperparameters)
    return draw_parallel(scales) if len(scales) > 1 else TOO_FEW


RUN_PANELS = (
    RunPanel(
        "parallel",
        "space",
        "All together",
        "A line a trial, the best ones orange. Draw a box across an axis to keep the lines that pass through it, "
        "across another to narrow them further; "
        "a double click brings all back.",
        _parallel,
    ),
)
