"""Learning curves: training blue, validation orange, the judged epoch and an early stop marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis import style
from analysis.figures.panel import NO_EPOCH, RunPanel, TrialPanel
from analysis.frames import best_trials
from analysis.load import Run
from analysis.scored import Scored
from search import record

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = [
    "LearningCurve",
    "curve_grid",
    "draw_curve_grid",
    "draw_learning_curve",
    "draw_overlay",
    "learning_curve",
]

QUANTITIES = (("loss", "loss"), ("accuracy", "accuracy"))
SIDES = (("train", "training", style.TRAIN), ("val", "validation", style.VALIDATION))


@dataclass(frozen=True)
class LearningCurve:
    """One trial's epochs and what is marked on them.

    Attributes:
        points: epoch, train_loss, val_loss, train_accuracy, val_accuracy; one row an epoch.
        judged: the epoch that the trial is judged by; `None` before the first.
        stopped: the last epoch of a trial that ended early; `None` for the others.
        max_epochs: the most epochs that the trial could have had.
    """

    trial: int
    points: "pd.DataFrame"
    judged: int | None
    stopped: int | None
    max_epochs: int


def learning_curve(trials: "pd.DataFrame", curves: "pd.DataFrame", trial: int) -> LearningCurve:
    """One trial's learning curve.

    Raises:
        ValueError: there is no such trial.
    """
    import pandas as pd

    if trial not in trials.index:
        raise ValueError(
            f"A learning curve must be of one of the run's {len(trials)} trials. Received: {trial!r}. "
            "The numbers are the index of run.trials."
        )
    row: Any = trials.loc[trial]
    columns = ["epoch", *(f"{side}_{quantity}" for quantity, _ in QUANTITIES for side, _, _ in SIDES)]
    points = curves.loc[curves["trial"] == trial, columns].sort_values("epoch").reset_index(drop=True)
    early = row["status"] in record.FINAL and len(points) < row["max_epochs"]
    return LearningCurve(
        trial=trial,
        points=points,
        judged=int(row["epoch"]) if pd.notna(row["epoch"]) else None,
        stopped=int(points["epoch"].iloc[-1]) if early and len(points) else None,
        max_epochs=int(row["max_epochs"]),
    )


def draw_learning_curve(curve: LearningCurve) -> "go.Figure":
    """Loss and accuracy over epochs, side by side."""
    drawn = style.panels(1, len(QUANTITIES), horizontal_spacing=0.14)
    for place, (quantity, title) in enumerate(QUANTITIES, start=1):
        for side, name, color in SIDES:
            drawn.add_scatter(
                **_line(curve, f"{side}_{quantity}", name, color),
                showlegend=place == 1,
                mode="lines+markers" if len(curve.points) <= 30 else "lines",
                marker={"size": 5},
                row=1,
                col=place,
            )
        _mark_judged(drawn, curve, quantity, place)
        drawn.update_xaxes(title_text="epoch", **_epoch_axis(curve), row=1, col=place)
        drawn.update_yaxes(title_text=title, **value_axis(_is_wide(curve.points, quantity)), row=1, col=place)
        if curve.stopped is not None:
            drawn.add_vline(x=curve.stopped, line={"dash": "dot", "width": 1, "color": style.MUTED}, row=1, col=place)
    return drawn.update_layout(showlegend=True)


def curve_grid(trials: "pd.DataFrame", curves: "pd.DataFrame", chosen: Sequence[int]) -> list[LearningCurve]:
    """The learning curves of several trials, in the order given; unknown ones are left out."""
    return [learning_curve(trials, curves, trial) for trial in chosen if trial in trials.index]


def draw_curve_grid(found: Sequence[LearningCurve], columns: int = 3) -> "go.Figure":
    """The loss curves of several trials as small multiples on one scale."""
    columns = min(columns, max(1, len(found)))
    rows = max(1, -(-len(found) // columns))
    drawn = style.panels(
        rows,
        columns,
        shared_yaxes="all",
        horizontal_spacing=0.04,
        vertical_spacing=0.3 / rows if rows > 1 else 0,
        titles=[f"trial {record.trial_name(curve.trial)}" for curve in found],
    )
    for place, curve in enumerate(found):
        cell = {"row": place // columns + 1, "col": place % columns + 1}
        for side, name, color in SIDES:
            drawn.add_scatter(**_line(curve, f"{side}_loss", name, color), showlegend=place == 0, mode="lines", **cell)
        if curve.judged is not None:
            drawn.add_vline(x=curve.judged, line={"dash": "dot", "width": 1, "color": style.MUTED}, **cell)
        drawn.update_xaxes(**_epoch_axis(curve), **cell)
    drawn.update_xaxes(title_text="epoch", row=rows)
    drawn.update_yaxes(**value_axis(any(_is_wide(curve.points, "loss") for curve in found)))
    drawn.update_yaxes(title_text="loss", col=1)
    return drawn.update_layout(height=100 + 170 * rows, legend={"y": 1 + 0.13 / rows}, margin={"t": 64})


def draw_overlay(found: Sequence[LearningCurve]) -> "go.Figure":
    """The validation curves of several trials over each other, a colour a trial."""
    drawn = style.panels(1, len(QUANTITIES), horizontal_spacing=0.14)
    for number, curve in enumerate(found):
        name, color = f"trial {record.trial_name(curve.trial)}", style.series_color(number)
        for place, (quantity, _) in enumerate(QUANTITIES, start=1):
            judged = curve.points["epoch"] == curve.judged
            drawn.add_scatter(
                **_line(curve, f"val_{quantity}", name, color),
                showlegend=place == 1,
                mode="lines+markers",
                marker={
                    "size": [11 if own else 4 for own in judged],
                    "symbol": ["circle-open" if own else "circle" for own in judged],
                },
                row=1,
                col=place,
            )
    longest = max(found, key=lambda curve: curve.max_epochs, default=None)
    for place, (_, title) in enumerate(QUANTITIES, start=1):
        drawn.update_yaxes(title_text=f"validation {title}", row=1, col=place)
    if longest is not None:
        drawn.update_xaxes(title_text="epoch", **_epoch_axis(longest))
    return drawn.update_layout(showlegend=True)


def _line(curve: LearningCurve, column: str, name: str, color: str) -> dict[str, Any]:
    """One column over the epochs; lines of one name share an entry of the legend."""
    return {
        "x": curve.points["epoch"],
        "y": curve.points[column],
        "name": name,
        "legendgroup": name,
        "line": {"color": color, "width": 2},
        "hovertemplate": f"epoch %{{x}}: %{{y:.4f}}<extra>{name}</extra>",
    }


def _mark_judged(drawn: "go.Figure", curve: LearningCurve, quantity: str, place: int) -> None:
    at = curve.points[curve.points["epoch"] == curve.judged]
    if at.empty:
        return
    drawn.add_scatter(
        x=at["epoch"],
        y=at[f"val_{quantity}"],
        name="judged epoch",
        legendgroup="judged",
        showlegend=place == 1,
        mode="markers",
        marker={"size": 13, "symbol": "circle-open", "color": style.VALIDATION, "line": {"width": 2}},
        hovertemplate="epoch %{x}: %{y:.4f}<extra>judged by this epoch</extra>",
        row=1,
        col=place,
    )


def _epoch_axis(curve: LearningCurve) -> dict[str, Any]:
    """An axis up to the most epochs of the trial, so that an early stop leaves empty space."""
    return epoch_axis(max(curve.max_epochs, len(curve.points), 1))


def epoch_axis(last: int) -> dict[str, Any]:
    """Plotly axis settings of the epochs from 1 to `last`; whole numbers only."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, last) if last <= 6 * step or step == last)
    return {
        "range": [0.5, last + 0.5],
        "tickvals": [epoch for epoch in range(1, last + 1) if step == 1 or not epoch % step],
    }


def _is_wide(points: "pd.DataFrame", quantity: str) -> bool:
    """Whether it is a loss over more than a factor of thirty, which needs a logarithmic axis."""
    values = points[[f"train_{quantity}", f"val_{quantity}"]].to_numpy().ravel()
    values = values[values > 0]
    return quantity == "loss" and len(values) > 0 and bool(values.max() > 30 * values.min())


def value_axis(wide: bool) -> dict[str, Any]:
    """Plotly axis settings of losses or accuracies; where they are `wide`, logarithmic with ticks at powers of ten."""
    return {"type": "log", "dtick": 1} if wide else {"type": "linear"}


def _learning_curve(scored: Scored) -> "Drawn":
    curve = learning_curve(scored.run.trials, scored.run.curves, scored.trial)
    return "No epoch of this trial is recorded." if curve.points.empty else draw_learning_curve(curve)


def _best_curves(run: Run, trials: "pd.DataFrame") -> "Drawn":
    chosen = [trial for trial in best_trials(run, len(run.trials)) if trial in trials.index][:6]
    found = curve_grid(run.trials, run.curves, chosen)
    return draw_curve_grid(found) if found else NO_EPOCH


TRIAL_PANELS = (
    TrialPanel(
        "curve",
        "Learning curves",
        "Training blue, validation orange. The ring marks the epoch that the trial is judged by; "
        "a dotted line, where there is one, the epoch after which it was stopped.",
        _learning_curve,
    ),
)

RUN_PANELS = (
    RunPanel(
        "grid",
        "search",
        "The best trials' losses",
        "Training blue, validation orange; one scale.",
        _best_curves,
        fits=lambda run: not run.is_replay,  # whose page has the curves of all its models
    ),
)
