"""Which worker process trained which trial, and when."""

from typing import TYPE_CHECKING

from analysis import style
from analysis.figures.panel import NO_EPOCH, RunPanel, chosen_curves
from analysis.load import Run

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = ["draw_timeline", "timeline"]


def timeline(trials: "pd.DataFrame", curves: "pd.DataFrame") -> "pd.DataFrame":
    """The stretches of epochs that each worker process trained.

    Args:
        trials: with their status.
        curves: the epochs, with their host and process.

    Returns:
        trial, worker (`host, process 12`), status, start and end (minutes since the first epoch began); one row a
        stretch of epochs that a process trained of one trial without another between them. A trial has several
        where it waited at a rung or its process was lost.
    """
    worker = curves["host"].astype(str) + ", process " + curves["process"].astype(int).astype(str)
    epochs = curves[["trial"]].assign(
        worker=worker,
        start=curves["time"] - curves["seconds"],
        end=curves["time"],
        status=curves["trial"].map(trials["status"]),
    )
    epochs = epochs.sort_values(["worker", "end"], kind="stable")
    is_first = (epochs["trial"] != epochs["trial"].shift()) | (epochs["worker"] != epochs["worker"].shift())
    spans = epochs.groupby(is_first.cumsum()).agg(
        trial=("trial", "first"),
        worker=("worker", "first"),
        status=("status", "first"),
        start=("start", "min"),
        end=("end", "max"),
    )
    zero = spans["start"].min()
    return spans.assign(start=(spans["start"] - zero) / 60, end=(spans["end"] - zero) / 60).reset_index(drop=True)


def draw_timeline(spans: "pd.DataFrame") -> "go.Figure":
    """A lane a worker, a bar a stretch of a trial, coloured by how the trial ended."""
    import numpy as np

    workers = sorted(spans["worker"].unique())
    lane = spans["worker"].map({worker: place for place, worker in enumerate(workers)})
    drawn = style.figure(height=max(180, 110 + 34 * min(len(workers), 20)))
    for status in (status for status in style.STATUS if (spans["status"] == status).any()):
        own = spans["status"] == status
        start, end, y = spans.loc[own, "start"], spans.loc[own, "end"], lane[own]
        gap = np.full(len(start), np.nan)
        # One line with gaps instead of a bar each: thousands of trials stay one SVG path.
        drawn.add_scatter(
            x=np.column_stack([start, end, gap]).ravel(),
            y=np.column_stack([y, y, gap]).ravel(),
            customdata=np.repeat(spans.loc[own, "trial"].to_numpy(), 3),
            name=status,
            mode="lines",
            line={"color": style.STATUS[status], "width": 12 if len(workers) <= 20 else 4},
            hovertemplate="trial %{customdata}, minute %{x:.1f}<extra></extra>",
        )
    drawn.update_yaxes(
        tickvals=list(range(len(workers))),
        ticktext=[style.plain(worker) for worker in workers],
        range=[len(workers) - 0.4, -0.6],
        showgrid=False,
    )
    return drawn.update_xaxes(title_text="minutes since the first trial began", rangemode="tozero")


def _timeline(run: Run, trials: "pd.DataFrame") -> "Drawn":
    spans = timeline(trials, chosen_curves(run, trials))
    return NO_EPOCH if spans.empty else draw_timeline(spans)


RUN_PANELS = (
    RunPanel(
        "timeline",
        "search",
        "Who worked when",
        "A lane a worker process, a bar a trial, or a part of one that waited at a rung.",
        _timeline,
    ),
)
