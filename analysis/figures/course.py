"""How a search went: best so far, and ASHA's rungs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis import style
from analysis.figures.panel import NO_EPOCH, RunPanel, chosen_curves
from analysis.figures.scales import MOST_POINTS, sampled, value_scale
from analysis.load import Run
from search import record
from search.record.rungs import rung_epochs

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = ["Rungs", "best_so_far", "draw_best_so_far", "draw_rungs", "rungs"]


def best_so_far(curves: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """The best validation value found after so many epochs of all trials together.

    Returns:
        One row for each time the best fell (or rose), and one for the end: spent (epochs), best, trial.
    """
    import pandas as pd

    ordered = curves.sort_values(["time", "trial", "epoch"], kind="stable")
    values = pd.to_numeric(ordered[metric]).reset_index(drop=True)
    best = values.cummin() if record.lower_is_better(metric) else values.cummax()
    best = best.ffill()
    found = pd.DataFrame({"spent": range(1, len(best) + 1), "best": best, "trial": ordered["trial"].to_numpy()})
    improved = found["best"].notna() & (found["best"] != found["best"].shift())
    # The last row carries the line to the end; its trial is the one that holds the record.
    found["trial"] = found["trial"].where(improved).ffill()
    if len(improved):
        improved.iloc[-1] = found["best"].notna().iloc[-1]
    return found[improved].astype({"trial": int}).reset_index(drop=True)


def draw_best_so_far(found: Mapping[str, "pd.DataFrame"], metric: str) -> "go.Figure":
    """Stairs of the best value against epochs spent, a line a run (by its name)."""
    drawn = style.figure(showlegend=len(found) > 1)
    for place, (name, steps) in enumerate(found.items()):
        drawn.add_scatter(
            x=steps["spent"],
            y=steps["best"],
            customdata=steps["trial"],
            name=style.plain(name),
            mode="lines+markers",
            line={"shape": "hv", "width": 2, "color": style.ACCENT if len(found) == 1 else style.series_color(place)},
            marker={"size": 5},
            hovertemplate="after %{x} epochs: %{y:.4f}<br>trial %{customdata}<extra></extra>",
        )
    drawn.update_xaxes(title_text="epochs spent, all trials together", rangemode="tozero")
    return drawn.update_yaxes(title_text=f"best {style.label(metric)}")


@dataclass(frozen=True)
class Rungs:
    """The trials that ASHA compared at each rung, and those that it promoted.

    Attributes:
        epochs: the rungs, lowest first.
        points: trial, rung (epoch), value (the best up to there), went_on; one row a trial and rung.
        reached: rung, reached, went_on: how many trials; one row a rung.
    """

    metric: str
    epochs: tuple[int, ...]
    points: "pd.DataFrame"
    reached: "pd.DataFrame"


def rungs(curves: "pd.DataFrame", metric: str, search: Mapping[str, Any]) -> Rungs | None:
    """ASHA's rungs of a run; `None` for a run without ASHA, or one too short for a rung.

    Args:
        curves: the run's epochs.
        metric: what trials were compared by.
        search: the run's `search` settings.
    """
    if search.get("scheduler") != "asha":
        return None
    asha = search.get("asha", {})
    epochs = rung_epochs(
        int(search.get("max_epochs", 1)), int(asha.get("grace_period", 1)), float(asha.get("reduction_factor", 3))
    )
    by_trial = curves.sort_values(["trial", "epoch"]).groupby("trial")
    last = by_trial["epoch"].max()
    best = by_trial[metric].cummin() if record.lower_is_better(metric) else by_trial[metric].cummax()
    points = curves[["trial", "epoch"]].assign(**{metric: best})[curves["epoch"].isin(epochs)]
    points = points.rename(columns={"epoch": "rung", metric: "value"}).dropna().reset_index(drop=True)
    if points.empty:
        return None
    points["went_on"] = points["trial"].map(last) > points["rung"]
    reached = points.groupby("rung")["went_on"].agg(reached="size", went_on="sum").reset_index()
    return Rungs(metric, epochs, points, reached)


def draw_rungs(found: Rungs) -> "go.Figure":
    """Each rung's trials by value: those that went on, and those that were stopped there."""
    drawn = style.figure()
    ticks = [f"epoch {row.rung}<br>{row.went_on} of {row.reached} went on" for row in found.reached.itertuples()]
    place_of = {rung: place for place, rung in enumerate(found.reached["rung"])}
    points = sampled(found.points, MOST_POINTS, found.points["value"])
    for went_on, name, color in ((True, "went on", style.TEST), (False, "ended here", style.MUTED)):
        own = points[points["went_on"] == went_on]
        # Spread by trial number, the same at every drawing; steps of the golden ratio leave no clumps.
        spread = (own["trial"] * 0.618034) % 1 - 0.5
        drawn.add_scatter(
            x=own["rung"].map(place_of) + 0.5 * spread,
            y=own["value"],
            customdata=own["trial"],
            name=name,
            mode="markers",
            marker={"color": color, "size": 6, "opacity": 0.75},
            hovertemplate="trial %{customdata}: %{y:.4f}<extra></extra>",
        )
    drawn.update_xaxes(
        tickvals=list(place_of.values()), ticktext=ticks, range=[-0.5, len(place_of) - 0.5], showgrid=False
    )
    return drawn.update_yaxes(title_text=style.label(found.metric), type=value_scale(found.points["value"]))


def _best_so_far(run: Run, trials: "pd.DataFrame") -> "Drawn":
    steps = best_so_far(chosen_curves(run, trials), run.metric)
    return NO_EPOCH if steps.empty else draw_best_so_far({run.name: steps}, run.metric)


def _rungs(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = rungs(chosen_curves(run, trials), run.metric, run.record.config.get("search", {}))
    return (
        "Without ASHA, or before its first rung: no trial was stopped by comparison."
        if found is None
        else (draw_rungs(found))
    )


RUN_PANELS = (
    RunPanel(
        "best",
        "search",
        "Best so far",
        "The best validation value found, against the epochs that all trials have spent together.",
        _best_so_far,
        width="half",
    ),
    RunPanel(
        "rungs",
        "search",
        "ASHA's rungs",
        "At each rung a trial waits until it is among the best of those that came there; then it goes on.",
        _rungs,
        width="half",
    ),
)
