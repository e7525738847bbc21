"""Predictions against the truth: confusion, ROC and precision-recall with bands, calibration, accuracy against size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis import style
from analysis.figures.panel import NO_EPOCH, RunPanel, TrialPanel
from analysis.figures.scales import MOST_POINTS, sampled
from analysis.load import Run
from analysis.scored import NOT_SCORED, OF_FINDINGS, Scored
from analysis.statistics import (
    Reliability,
    bootstrap_weights,
    expected_calibration_error,
    predicted_event,
    reliability,
    vary_apart,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = [
    "Band",
    "Confusion",
    "calibration",
    "confusion",
    "draw_calibration",
    "draw_confusion",
    "draw_precision",
    "draw_roc",
    "draw_size_and_score",
    "precision_bands",
    "roc_bands",
    "size_and_score",
]

GRID = np.linspace(0, 1, 101)
RESAMPLES = 400


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: rows are true classes, columns predicted ones.

    Attributes:
        counts: int64 (K, K).
        shares: float64 (K, K), of each true class; NaN for a class without images.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    shares: NDArray[np.float64]


def confusion(counts: ArrayLike, classes: Sequence[str]) -> Confusion:
    """A confusion matrix with its row shares."""
    found = np.asarray(counts, np.int64)
    rows = found.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(rows > 0, found / rows, np.nan)
    return Confusion(tuple(classes), found, shares)


def draw_confusion(found: Confusion) -> "go.Figure":
    """Two heat maps on one scale: counts, and shares of each true class."""
    drawn = style.panels(1, 2, ["images", "share of the true class"], horizontal_spacing=0.1)
    texts = (
        [[f"{count:,}" for count in row] for row in found.counts],
        [["" if share != share else f"{share:.1%}" for share in row] for row in found.shares],
    )
    for place, text in enumerate(texts, start=1):
        # Both are coloured by share: counts of classes of different size do not compare.
        add_heat_map(drawn, found.shares, text, found.classes, 1, place)
    drawn.update_xaxes(title_text="predicted", showgrid=False, showline=False, ticks="", type="category")
    drawn.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="", type="category")
    drawn.update_yaxes(title_text="true", col=1)
    drawn.update_yaxes(showticklabels=False, col=2)
    return drawn.update_layout(height=120 + 64 * len(found.classes), margin={"t": 28})


def add_heat_map(
    drawn: "go.Figure",
    shares: NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    classes: Sequence[str],
    row: int,
    col: int,
    size: int = 14,
) -> None:
    """Draw a confusion matrix into a panel of a figure.

    Args:
        drawn: the figure.
        shares: float64 (K, K), in [0, 1] or NaN: how strong the colour of each cell is.
        texts: what stands in each cell, of `size` pixels.
        classes: their K names; rows are true classes, columns predicted ones.
        row: of the panel, from 1.
        col: of the panel, from 1.
        size: of the letters.
    """
    import plotly.graph_objects as go

    names = [style.plain(name) for name in classes]
    heat = go.Heatmap(
        x=names,
        y=names,
        z=shares,
        zmin=0,
        zmax=1,
        colorscale=style.SEQUENTIAL,
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        text=texts,
    )
    drawn.add_trace(heat, row=row, col=col)
    for i, line in enumerate(texts):
        for j, words in enumerate(line):
            drawn.add_annotation(
                x=names[j],
                y=names[i],
                text=words,
                bgcolor="rgba(0,0,0,0)",
                font={"size": size, **({"color": "#ffffff"} if shares[i, j] > 0.6 else {})},
                row=row,
                col=col,
            )


@dataclass(frozen=True)
class Band:
    """A curve over `GRID` with its bootstrap band.

    Attributes:
        name: the class that counts as positive.
        middle, low, high: float64 (101,), the curve and the 2.5 and 97.5 % quantiles, NaN with one patient in a class.
        area, area_low, area_high: the area under it, with its interval; NaN as there.
        base: the area of a random guess: 0.5 for ROC, the share of positives for precision-recall.
    """

    name: str
    middle: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    area: float
    area_low: float
    area_high: float
    base: float


def roc_bands(predictions: "pd.DataFrame", classes: Sequence[str], seed: int = 0) -> list[Band]:
    """Sensitivity against 1 - specificity, with 95 % bands from resampled patients.

    One curve for two classes (the second is positive), else one a class against the rest.
    """
    return _bands(predictions, classes, seed, "roc")


def precision_bands(predictions: "pd.DataFrame", classes: Sequence[str], seed: int = 0) -> list[Band]:
    """Precision against sensitivity, with 95 % bands from resampled patients; classes as in `roc_bands`.

    Precision at a sensitivity is the best one at that sensitivity or a higher one, so that the curve falls.
    """
    return _bands(predictions, classes, seed, "precision")


def _bands(predictions: "pd.DataFrame", classes: Sequence[str], seed: int, kind: str) -> list[Band]:
    labels = predictions["label"].to_numpy(dtype=np.int64)
    if not len(labels):
        return []
    # Row 0 is the sample itself.
    resampled = bootstrap_weights(predictions["patient"].to_numpy(), RESAMPLES, seed)
    weights = np.vstack([np.ones((1, len(labels))), resampled])  # (1 + B, N)
    bands = []
    for k in (1,) if len(classes) == 2 else range(len(classes)):
        positive = labels == k
        scores = predictions[f"p_{classes[k]}"].to_numpy(dtype=np.float64)
        if positive.all() or not positive.any() or not np.isfinite(scores).all():
            continue
        curves, areas = _curves(positive, scores, weights, kind)
        if vary_apart(resampled, positive) and vary_apart(resampled, ~positive):
            low, high = np.nanquantile(curves[1:], (0.025, 0.975), axis=0)
            area_low, area_high = np.nanquantile(areas[1:], (0.025, 0.975))
        else:  # a class of one patient says nothing of others
            low = high = np.full(len(GRID), np.nan)
            area_low = area_high = np.nan
        base = 0.5 if kind == "roc" else float(positive.mean())
        bands.append(Band(classes[k], curves[0], low, high, float(areas[0]), float(area_low), float(area_high), base))
    return bands


def _curves(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64], kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Curves over `GRID`, float64 (B, 101), and the areas under them, float64 (B,), for every row of weights."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of each group of equal scores
    hits = np.cumsum(weights[:, order] * positive[order], axis=1)  # (B, N)
    alarms = np.cumsum(weights[:, order] * ~positive[order], axis=1)  # (B, N)
    tp, fp = hits[:, ends], alarms[:, ends]  # (B, T)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, fallout = tp / hits[:, -1:], fp / alarms[:, -1:]
        precision = tp / (tp + fp)
    rows = len(weights)
    curves, areas = np.full((rows, len(GRID)), np.nan), np.full(rows, np.nan)
    for row in range(rows):
        if not hits[row, -1] or not alarms[row, -1]:
            continue  # a resample without one of the two classes has no curve
        if kind == "roc":
            x, y = np.append(0, fallout[row]), np.append(0, recall[row])
            curves[row], areas[row] = np.interp(GRID, x, y), np.trapezoid(y, x)
        else:
            known = np.nan_to_num(precision[row], nan=1.0)
            steps = np.diff(recall[row], prepend=0)
            areas[row] = float((steps * known).sum())  # average precision
            best_beyond = np.maximum.accumulate(known[::-1])[::-1]
            at = np.minimum(np.searchsorted(recall[row], GRID - 1e-12), len(known) - 1)
            curves[row] = best_beyond[at]
    return curves, areas


def draw_roc(bands: Sequence[Band]) -> "go.Figure":
    """ROC curves with bands; the legend holds the areas and their intervals."""
    drawn = _draw_bands(bands)
    drawn.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": style.MUTED, "dash": "dot", "width": 1},
        showlegend=False,
        hoverinfo="skip",
    )
    drawn.update_xaxes(title_text="1 - specificity", range=[-0.02, 1.02])
    return drawn.update_yaxes(title_text="sensitivity", range=[-0.02, 1.02])


def draw_precision(bands: Sequence[Band]) -> "go.Figure":
    """Precision-recall curves with bands; the legend holds the average precisions and their intervals."""
    drawn = _draw_bands(bands)
    for band in bands:
        drawn.add_hline(y=band.base, line={"color": style.MUTED, "dash": "dot", "width": 1})
    drawn.update_xaxes(title_text="sensitivity (recall)", range=[-0.02, 1.02])
    return drawn.update_yaxes(title_text="precision", range=[-0.02, 1.02])


def _draw_bands(bands: Sequence[Band]) -> "go.Figure":
    # Good curves leave the lower right corner of ROC, and the lower left one of precision, empty.
    legend = {"orientation": "v", "x": 1, "xanchor": "right", "y": 0.03, "yanchor": "bottom"}
    drawn = style.figure(height=340, showlegend=True, legend=legend, margin={"t": 16})
    for place, band in enumerate(bands):
        color = style.ACCENT if len(bands) == 1 else style.series_color(place)
        drawn.add_scatter(
            x=np.concatenate([GRID, GRID[::-1]]),
            y=np.concatenate([band.high, band.low[::-1]]),
            mode="lines",
            fill="toself",
            fillcolor=style.faded(color, 0.18),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        drawn.add_scatter(
            x=GRID,
            y=band.middle,
            mode="lines",
            line={"color": color, "width": 2},
            name=f"{style.plain(band.name)}: {_area_words(band)}",
            hovertemplate="%{x:.2f}, %{y:.3f}<extra></extra>",
        )
    return drawn


def _area_words(band: Band) -> str:
    """The area under a curve with its interval where there is one."""
    between = "" if np.isnan(band.area_low) else f" [{band.area_low:.3f}, {band.area_high:.3f}]"
    return f"{band.area:.3f}{between}"


def calibration(predictions: "pd.DataFrame", classes: Sequence[str]) -> Reliability | None:
    """Predicted probabilities against observed shares; `None` without usable probabilities.

    With two classes, of the second one; with more, of the most probable class.
    """
    p = predictions[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float64)
    if not len(p) or not np.isfinite(p).all():
        return None
    event = predicted_event(predictions["label"].to_numpy(dtype=np.int64), p)
    return reliability(*event, predictions["patient"].to_numpy())


def draw_calibration(found: Reliability) -> "go.Figure":
    """Observed share against predicted probability with 95 % intervals; larger points hold more images."""
    filled = found.count > 0
    observed = found.observed[filled]
    drawn = style.figure(height=340, showlegend=False, margin={"t": 16})
    drawn.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": style.MUTED, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    drawn.add_scatter(
        x=found.predicted[filled],
        y=observed,
        customdata=found.count[filled],
        mode="lines+markers",
        line={"color": style.ACCENT, "width": 1.5},
        marker={"size": 5 + 13 * np.sqrt(found.count[filled] / found.count.max())},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": found.high[filled] - observed,
            "arrayminus": observed - found.low[filled],
            "color": style.faded(style.ACCENT, 0.5),
            "thickness": 1,
            "width": 0,
        },
        hovertemplate="predicted %{x:.2f}, observed %{y:.2f}, %{customdata} images<extra></extra>",
    )
    error = expected_calibration_error(found)
    drawn.add_annotation(x=0, y=1.02, xanchor="left", text=f"expected calibration error {error:.3f}")
    drawn.update_xaxes(title_text="predicted probability", range=[-0.03, 1.03])
    return drawn.update_yaxes(title_text="observed share", range=[-0.03, 1.08])


def size_and_score(trials: "pd.DataFrame", score: str) -> "pd.DataFrame":
    """Parameter count and score of every trial that has both.

    Returns:
        trial, parameters, score, best: whether no other trial is both at most as large and at least as
        good (the Pareto front); ordered by size.
    """
    known = trials.loc[trials[score].notna() & (trials["parameters"] > 0), ["parameters", score]]
    found = known.rename(columns={score: "score"}).rename_axis("trial").reset_index()
    found = found.sort_values(["parameters", "score"], ascending=[True, False], ignore_index=True)
    reached = found["score"].cummax()
    found["best"] = found["score"].gt(reached.shift(fill_value=-np.inf))
    return found


def draw_size_and_score(found: "pd.DataFrame", score: str) -> "go.Figure":
    """Score against parameter count, the Pareto front as stairs."""
    drawn = style.figure(showlegend=True)
    points, front = (_sized(own) for own in (sampled(found, MOST_POINTS, found["score"]), found[found["best"]]))
    drawn.add_scatter(**points, mode="markers", name="trials", marker={"color": style.MUTED, "size": 6, "opacity": 0.6})
    drawn.add_scatter(
        **front,
        mode="lines+markers",
        name="best for their size",
        line={"shape": "hv", "color": style.ACCENT, "width": 2},
        marker={"size": 8},
    )
    smallest, largest = (found["parameters"].min(), found["parameters"].max()) if len(found) else (1, 1)
    factors = (1,) if largest > 100 * smallest else (1, 2, 5)
    ticks = [factor * 10**power for power in range(10) for factor in factors]
    wide = {"type": "log", "tickvals": ticks} if largest > 3 * smallest else {}
    drawn.update_xaxes(title_text="parameters", tickformat="~s", **wide)
    return drawn.update_yaxes(title_text=style.label(score))


def _sized(found: "pd.DataFrame") -> dict[str, Any]:
    """Trials by size and score."""
    return {
        "x": found["parameters"],
        "y": found["score"],
        "customdata": found["trial"],
        "hovertemplate": "trial %{customdata}<br>%{x:,} parameters<br>%{y:.4f}<extra></extra>",
    }


_ONE_CLASS = "The images are all of one class, or the probabilities are not numbers."


def _confusion(scored: Scored) -> "Drawn":
    if scored.run.record.is_multilabel:
        return OF_FINDINGS
    for dataset in scored.evaluations:
        return draw_confusion(confusion(scored.confusion(dataset), scored.run.classes))
    return NOT_SCORED


def _of_predictions(draw: "Callable[[Run, pd.DataFrame], Drawn]") -> "Callable[[Scored], Drawn]":
    """A panel of the predictions on the first set of images that was scored: test, else validation, else another."""

    def panel(scored: Scored) -> "Drawn":
        if scored.run.record.is_multilabel:
            return OF_FINDINGS
        predictions = scored.predictions(next(iter(scored.evaluations), ""))
        return NOT_SCORED if predictions.empty else draw(scored.run, predictions)

    return panel


def _roc(run: Run, predictions: "pd.DataFrame") -> "Drawn":
    bands = roc_bands(predictions, run.classes)
    return draw_roc(bands) if bands else _ONE_CLASS


def _precision(run: Run, predictions: "pd.DataFrame") -> "Drawn":
    bands = precision_bands(predictions, run.classes)
    return draw_precision(bands) if bands else _ONE_CLASS


def _calibration(run: Run, predictions: "pd.DataFrame") -> "Drawn":
    found = calibration(predictions, run.classes)
    return "The probabilities are not numbers." if found is None else draw_calibration(found)


def _size(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = size_and_score(trials, "val_accuracy")
    return NO_EPOCH if found.empty else draw_size_and_score(found, "val_accuracy")


TRIAL_PANELS = (
    TrialPanel(
        "confusion",
        "Confusion",
        "Test images, or validation images where there is no test: rows are true classes.",
        _confusion,
    ),
    TrialPanel(
        "roc",
        "ROC",
        "Areas in the legend; bands hold 95 % of 400 resamples of the patients.",
        _of_predictions(_roc),
        "third",
    ),
    TrialPanel(
        "precision",
        "Precision and recall",
        "Average precision in the legend; dotted lines are what a guess would reach.",
        _of_predictions(_precision),
        "third",
    ),
    TrialPanel(
        "calibration",
        "Calibration",
        "How often what was predicted with some probability came true, with 95 % intervals; larger points hold "
        "more images. On the dotted line a model is as sure as it should be.",
        _of_predictions(_calibration),
        "third",
    ),
)

RUN_PANELS = (
    RunPanel(
        "size",
        "trials",
        "Accuracy against size",
        "The stairs join the trials that no smaller trial beats (the Pareto front).",
        _size,
    ),
)
