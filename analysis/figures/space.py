"""The effect of hyperparameters: slices, contours, importance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis import style
from analysis.figures.panel import TOO_FEW, RunPanel
from analysis.figures.scales import MOST_POINTS, Scale, sampled, scale_of, value_scale, varying
from analysis.load import Run
from search.record import lower_is_better

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = [
    "Contour",
    "Slices",
    "contour",
    "count_best",
    "draw_contour",
    "draw_importance",
    "draw_slices",
    "importance",
    "slices",
]


@dataclass(frozen=True)
class Slices:
    """The metric against each hyperparameter alone.

    Attributes:
        scales: a hyperparameter each; places of N trials.
        values: float64 (N,), the metric.
        trials: int64 (N,), the numbers.
        drawn: int64 (M,), which of the N are drawn as points; medians are of all.
        best: where in the N the best trial stands; `None` without trials.
    """

    metric: str
    scales: tuple[Scale, ...]
    values: NDArray[np.float64]
    trials: NDArray[np.int64]
    drawn: NDArray[np.int64]
    best: int | None


def slices(trials: "pd.DataFrame", metric: str, parameters: Sequence[str]) -> Slices:
    """The metric against each varying hyperparameter, of the trials that have a value."""
    known = trials[trials[metric].notna()]
    values = known[metric].to_numpy(dtype=np.float64)
    best = int(values.argmin() if lower_is_better(metric) else values.argmax()) if len(values) else None
    scales = tuple(scale_of(known[name]) for name in varying(known, parameters))
    return Slices(metric, scales, values, known.index.to_numpy(dtype=np.int64), _drawn(known, metric), best)


def _drawn(known: "pd.DataFrame", metric: str) -> NDArray[np.int64]:
    """Which rows are drawn as points, where there are more than a panel can show."""
    return np.asarray(known.index.get_indexer(sampled(known, MOST_POINTS, known[metric]).index), np.int64)


def draw_slices(found: Slices) -> "go.Figure":
    """A small panel a hyperparameter; the best trial is ringed, medians of categories are dashes.

    The first traces are the trials, one a hyperparameter in their order; medians and rings follow.
    """
    count = max(1, len(found.scales))
    # The fewest empty panels; of equals four in a row, then five, then three.
    columns = min(count, min((4, 5, 3), key=lambda wide: -count % wide))
    rows = math.ceil(count / columns)
    spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(found.values))
    shown = [scale.places + spread if scale.kind == "category" else scale.places for scale in found.scales]
    panels = list(zip(found.scales, shown, [_panel_axes(place) for place in range(count)], strict=False))
    traces = [_trial_points(found, x) | axes for _, x, axes in panels]
    traces += [_medians(scale, found.values) | axes for scale, _, axes in panels if scale.kind == "category"]
    traces += [_best_point(found, x) | axes for _, x, axes in panels]
    # One dictionary, which Plotly checks once: the app draws this figure again at every brush.
    return style.figure(
        traces,
        **_slice_axes(found, columns),
        grid={"rows": rows, "columns": columns, "pattern": "independent", "xgap": 0.12, "ygap": 0.36},
        meta={"rows": rows, "columns": columns, "narrowest": 170},
        height=84 + 220 * rows,
        showlegend=False,
        margin={"t": 16, "b": 72},
    )


def _slice_axes(found: Slices, columns: int) -> dict[str, Any]:
    """Layout of all panels' axes: one value axis for all of them, labelled on the left."""
    axes: dict[str, Any] = {}
    for place, scale in enumerate(found.scales):
        title = {"text": style.plain(style.label(scale.name))}
        # With automatic margins Plotly repeats the layout until all fit, which takes as long as drawing the points.
        axes[_axis("xaxis", place)] = {"title": title, "showgrid": False, "automargin": False, **scale.axis()}
        first = place % columns == 0
        axes[_axis("yaxis", place)] = {
            "type": value_scale(found.values),
            "matches": None if place == 0 else "y",
            "showticklabels": first,
            "automargin": False,
            "title": {"text": style.label(found.metric) if first else ""},
        }
    return axes


def _axis(name: str, place: int) -> str:
    return name if place == 0 else f"{name}{place + 1}"


def _panel_axes(place: int) -> dict[str, str]:
    return {"xaxis": _axis("x", place), "yaxis": _axis("y", place)}


def _trial_points(found: Slices, x: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x[found.drawn],
        "y": found.values[found.drawn],
        "customdata": found.trials[found.drawn],
        "mode": "markers",
        "marker": {"color": style.ACCENT, "size": 5, "opacity": 0.55},
        "hovertemplate": "trial %{customdata}: %{y:.4f}<extra></extra>",
    }


def _best_point(found: Slices, x: NDArray[np.float64]) -> dict[str, Any]:
    place = slice(0, 0) if found.best is None else slice(found.best, found.best + 1)
    return {
        "type": "scatter",
        "x": x[place],
        "y": found.values[place],
        "customdata": found.trials[place],
        "mode": "markers",
        "marker": {"symbol": "circle-open", "size": 12, "color": style.BEST, "line": {"width": 2}},
        "hovertemplate": "best: trial %{customdata}, %{y:.4f}<extra></extra>",
    }


def _medians(scale: Scale, values: NDArray[np.float64]) -> dict[str, Any]:
    """A dash at the median of each category."""
    places = [place for place in range(len(scale.categories)) if (scale.places == place).any()]
    return {
        "type": "scatter",
        "x": places,
        "y": [float(np.median(values[scale.places == place])) for place in places],
        "mode": "markers",
        "marker": {"symbol": "line-ew", "size": 26, "line": {"width": 2, "color": style.MUTED}},
        "hovertemplate": "median %{y:.4f}<extra></extra>",
    }


@dataclass(frozen=True)
class Contour:
    """The metric over two hyperparameters.

    Attributes:
        x, y: the two scales; places of N trials.
        values: float64 (N,), the metric.
        drawn: int64 (M,), which of the N are drawn as points; the surface is of all.
        x_grid, y_grid: float64 (G,) and (H,), where the surface is known.
        surface: float64 (H, G), the mean of nearby trials; NaN where no trial is near.
    """

    metric: str
    x: Scale
    y: Scale
    values: NDArray[np.float64]
    trials: NDArray[np.int64]
    drawn: NDArray[np.int64]
    x_grid: NDArray[np.float64]
    y_grid: NDArray[np.float64]
    surface: NDArray[np.float64]


def contour(trials: "pd.DataFrame", metric: str, x: str, y: str) -> Contour:
    """The metric over two hyperparameters, as a mean of nearby trials.

    A trial's weight is a Gaussian with the width of a tenth of each axis; in a category only its own trials count. This
    neither invents values between distant trials nor follows every outlier. Loss is averaged as its logarithm.
    """
    known = trials[trials[metric].notna() & trials[x].notna() & trials[y].notna()]
    values = known[metric].to_numpy(dtype=np.float64)
    scales = scale_of(known[x]), scale_of(known[y])
    grids = [_grid(scale) for scale in scales]
    near = [_nearness(scale, grid) for scale, grid in zip(scales, grids, strict=True)]  # (G, N), (H, N)
    logarithmic = value_scale(values) == "log"
    weight = near[1] @ near[0].T  # (H, G)
    total = (near[1] * (np.log(values) if logarithmic else values)) @ near[0].T  # (H, G)
    with np.errstate(invalid="ignore", divide="ignore"):
        surface = np.where(weight > 0.2, total / weight, np.nan)
    surface = np.exp(surface) if logarithmic else surface
    numbers = known.index.to_numpy(dtype=np.int64)
    drawn = _drawn(known, metric)
    return Contour(metric, scales[0], scales[1], values, numbers, drawn, grids[0], grids[1], surface)


def draw_contour(found: Contour) -> "go.Figure":
    """The surface, with the trials that it was made from on top."""
    import plotly.graph_objects as go

    logarithmic = value_scale(found.values) == "log"
    surface = np.log10(found.surface) if logarithmic else found.surface
    known = surface[np.isfinite(surface)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    bar_ticks = np.linspace(low, high, 4)
    shared = {
        "x": found.x_grid,
        "y": found.y_grid,
        "z": surface,
        "customdata": found.surface,
        "zmin": low,
        "zmax": high,
        "colorscale": style.GOOD_TO_BAD,
        "reversescale": not lower_is_better(found.metric),
        "colorbar": {
            "thickness": 10,
            "outlinewidth": 0,
            "title": {"text": style.label(found.metric), "side": "right", "font": {"size": 11}},
            "tickvals": bar_ticks,
            "ticktext": [f"{10**tick if logarithmic else tick:.3g}" for tick in bar_ticks],
        },
        "hovertemplate": "%{customdata:.4f}<extra>mean of nearby trials</extra>",
    }
    gaps = {name: 1 for name, scale in (("xgap", found.x), ("ygap", found.y)) if scale.kind == "category"}
    smooth = found.x.kind != "category" and found.y.kind != "category"
    trace = go.Contour(**shared, ncontours=12, line={"width": 0}) if smooth else go.Heatmap(**shared, **gaps)
    drawn = style.figure([trace], height=360, margin={"t": 16})
    drawn.add_scatter(
        x=found.x.places[found.drawn],
        y=found.y.places[found.drawn],
        customdata=np.column_stack([found.trials, found.values])[found.drawn] if len(found.values) else None,
        mode="markers",
        marker={"size": 4, "color": "rgba(255,255,255,0.85)", "line": {"width": 0.8, "color": "#3a424d"}},
        hovertemplate="trial %{customdata[0]}: %{customdata[1]:.4f}<extra></extra>",
        showlegend=False,
    )
    drawn.update_xaxes(title_text=style.plain(style.label(found.x.name)), showgrid=False, **found.x.axis())
    return drawn.update_yaxes(title_text=style.plain(style.label(found.y.name)), showgrid=False, **found.y.axis())


MOST_STUDIED = 3000  # trials; the evaluator takes a second for them
FEWEST_BEST = 5  # trials whose density PED-ANOVA compares with that of all


def count_best(trials: int) -> int:
    """The number of trials that `importance` counts as the best: a tenth, and at least five."""
    return max(FEWEST_BEST, math.ceil(trials / 10))


def importance(trials: "pd.DataFrame", metric: str, parameters: Sequence[str]) -> "pd.DataFrame":
    """The share of the best trials' advantage that each hyperparameter explains, by Optuna's PED-ANOVA.

    The study is rebuilt in memory from the trials; conditional hyperparameters are assessed too. The best are
    `count_best` of the trials that have a value.

    Returns:
        parameter, importance (sums to 1), the most important first; no rows where the best would be more than a third.

    Source: Watanabe et al. 2023, 'PED-ANOVA' (IJCAI); `optuna.importance`.
    """
    import optuna
    import pandas as pd

    known = trials[trials[metric].notna()]
    names = varying(known, parameters)
    empty = pd.DataFrame({"parameter": pd.Series(dtype=object), "importance": pd.Series(dtype=float)})
    if len(known) < 3 * FEWEST_BEST or not names:
        return empty
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        studied = sampled(known, MOST_STUDIED)
        share = count_best(len(studied)) / len(studied)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        study = _study(studied, metric, names)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=names)
    finally:
        optuna.logging.set_verbosity(verbosity)
    known_only = {name: share for name, share in found.items() if math.isfinite(share)}
    return pd.DataFrame({"parameter": list(known_only), "importance": list(known_only.values())})


def _study(known: "pd.DataFrame", metric: str, names: Sequence[str]) -> Any:
    """An Optuna study in memory with a finished trial a row."""
    import optuna

    scales = {name: scale_of(known[name]) for name in names}
    distributions: dict[str, Any] = {name: _distribution(scale) for name, scale in scales.items()}
    columns = {name: _optuna_values(scale) for name, scale in scales.items()}
    study = optuna.create_study(direction="minimize" if lower_is_better(metric) else "maximize")
    trials = []
    for place, value in enumerate(known[metric]):
        own = {name: columns[name][place] for name in names if columns[name][place] is not None}
        held = {name: distributions[name] for name in own}
        trials.append(optuna.trial.create_trial(params=own, distributions=held, value=float(value)))
    study.add_trials(trials)
    return study


def _distribution(scale: Scale) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if scale.kind == "category":
        return CategoricalDistribution(scale.categories)
    if scale.kind == "log":
        return FloatDistribution(10**scale.low * (1 - 1e-9), 10**scale.high * (1 + 1e-9), log=True)
    return FloatDistribution(scale.low, scale.high)


def _optuna_values(scale: Scale) -> list[Any]:
    if scale.kind == "category":
        return [None if math.isnan(place) else scale.categories[int(place)] for place in scale.places]
    values = 10**scale.places if scale.kind == "log" else scale.places
    return [None if math.isnan(value) else float(value) for value in values]


def draw_importance(found: "pd.DataFrame") -> "go.Figure":
    """Bars, the most important on top, each with its share at its end."""
    import plotly.graph_objects as go

    shown = found[::-1]
    bars = go.Bar(
        x=shown["importance"],
        y=[style.plain(style.label(name)) for name in shown["parameter"]],
        orientation="h",
        marker={"color": style.ACCENT},
        text=[f"{share:.0%}" for share in shown["importance"]],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        width=0.62,
    )
    drawn = style.figure([bars], height=max(160, 70 + 26 * len(found)), margin={"t": 8, "r": 48})
    drawn.update_xaxes(title_text="importance", tickformat=".0%", rangemode="tozero")
    return drawn.update_yaxes(showgrid=False, showline=False, ticks="")


def _grid(scale: Scale) -> NDArray[np.float64]:
    if scale.kind == "category":
        return np.arange(max(len(scale.categories), 1), dtype=np.float64)
    return np.linspace(scale.low, scale.high, 40)


def _nearness(scale: Scale, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of every trial at every grid place, float64 (G, N)."""
    distance = grid[:, None] - scale.places[None, :]  # (G, N)
    if scale.kind == "category":
        return np.asarray(distance == 0, dtype=np.float64)
    width = 0.1 * (scale.high - scale.low) or 1.0
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2), dtype=np.float64)


def _importance(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = importance(trials, run.metric, run.hyperparameters)
    return TOO_FEW if found.empty else draw_importance(found)


def _contour(run: Run, trials: "pd.DataFrame") -> "Drawn":
    pair = contour_pair(trials, run.metric, run.hyperparameters)
    return TOO_FEW if pair is None else draw_contour(contour(trials, run.metric, *pair))


def contour_pair(trials: "pd.DataFrame", metric: str, parameters: Sequence[str]) -> tuple[str, str] | None:
    """The two most important hyperparameters that enough trials have; `None` with fewer than two."""
    ranked = importance(trials, metric, parameters)["parameter"]
    # A hyperparameter of one backbone alone would leave most of the surface empty.
    common = [str(name) for name in ranked if trials[name].notna().mean() > 0.5]
    return (common[0], common[1]) if len(common) > 1 else None


def _slices(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = slices(trials, run.metric, run.hyperparameters)
    return draw_slices(found) if found.scales else TOO_FEW


RUN_PANELS = (
    RunPanel(
        "importance",
        "space",
        "Importance",
        "How much each hyperparameter sets the best trials, a tenth or five, apart from all (PED-ANOVA).",
        _importance,
        width="half",
    ),
    RunPanel(
        "contour",
        "space",
        "The two that matter most",
        "Mean of nearby trials; white where none is near. Points are trials.",
        _contour,
        width="half",
    ),
    RunPanel(
        "slices",
        "space",
        "One at a time",
        "Points are trials, 200 of them at the most; dashes are medians, the ring is the best trial.",
        _slices,
    ),
)
