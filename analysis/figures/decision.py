"""Decision curves: what acting on a model's probabilities is worth, beside treating all and treating none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis import style
from analysis.figures.panel import TrialPanel
from analysis.scored import NOT_SCORED, OF_FINDINGS, Scored
from search.record.prevalence import at_prevalence

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = ["DecisionCurve", "decision_curves", "draw_decision_curves"]

THRESHOLDS = np.linspace(0, 0.995, 200)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over `THRESHOLDS`; that of treating none is 0.

    Attributes:
        name: the class that is treated.
        prevalence: its share, in (0, 1).
        model: float64 (200,), of treating where the model's probability reaches the threshold.
        treat_all: float64 (200,).
    """

    name: str
    prevalence: float
    model: NDArray[np.float64]
    treat_all: NDArray[np.float64]


def decision_curves(
    predictions: "pd.DataFrame", classes: Sequence[str], shares: Sequence[float] = (), prevalence: float | None = None
) -> list[DecisionCurve]:
    """Net benefit: true positives less false positives times the odds of the threshold, a share of all images.

    One curve for two classes (the second is treated), else one a class against the rest. Of two classes, the
    probabilities are first brought to the prevalence.

    Args:
        predictions: `label` and `p_<class>`, a row an image.
        classes: K names.
        shares: of the K classes, at which the probabilities hold; empty: they are taken as they are.
        prevalence: of the second of two classes; None for the images' own.

    Source: Vickers and Elkin 2006, 'Decision curve analysis'.
    """
    labels = predictions["label"].to_numpy(dtype=np.int64)
    p = predictions[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float64)
    if not np.isfinite(p).all():
        return []
    curves = []
    for k in (1,) if len(classes) == 2 else range(len(classes)):
        positive = labels == k
        if positive.all() or not positive.any():
            continue
        share = float(positive.mean()) if prevalence is None else prevalence
        at = at_prevalence(p, shares, share) if len(classes) == 2 and shares else p
        treated = at[:, k][:, None] >= THRESHOLDS  # (N, 200)
        model = _net_benefit(treated[positive].mean(axis=0), treated[~positive].mean(axis=0), share)
        ones = np.ones_like(THRESHOLDS)
        curves.append(DecisionCurve(classes[k], share, model, _net_benefit(ones, ones, share)))
    return curves


def _net_benefit(
    sensitivity: NDArray[np.float64], fallout: NDArray[np.float64], prevalence: float
) -> NDArray[np.float64]:
    odds = THRESHOLDS / (1 - THRESHOLDS)
    return np.asarray(sensitivity * prevalence - fallout * (1 - prevalence) * odds, np.float64)


def draw_decision_curves(curves: Sequence[DecisionCurve]) -> "go.Figure":
    """Net benefit against the threshold, up to where a model is of no more use; dotted: treat all, and treat none."""
    legend = {"orientation": "v", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top"}
    if len(curves) > 1:  # one would lie on the other's curve
        legend |= {"x": 1.02, "xanchor": "left"}
    drawn = style.figure(height=340, showlegend=True, legend=legend, margin={"t": 16})
    for place, curve in enumerate(curves):
        color = style.ACCENT if len(curves) == 1 else style.series_color(place)
        treated, share = style.plain(curve.name), f"{curve.prevalence:.3g}"
        for name, benefit, dash in (
            (f"model: {treated}, prevalence {share}", curve.model, "solid"),
            (f"treat all as {treated}", curve.treat_all, "dot"),
        ):
            drawn.add_scatter(
                x=THRESHOLDS,
                y=benefit,
                mode="lines",
                name=name,
                line={"color": color, "width": 2 if dash == "solid" else 1, "dash": dash},
                hovertemplate="threshold %{x:.2f}, net benefit %{y:.4f}<extra></extra>",
            )
    drawn.add_scatter(
        x=[0, 1], y=[0, 0], mode="lines", name="treat none", line={"color": style.MUTED, "width": 1}, hoverinfo="skip"
    )
    top = max(curve.prevalence for curve in curves)
    useful = [THRESHOLDS[curve.model > 0].max(initial=curve.prevalence) for curve in curves]
    drawn.update_xaxes(title_text="threshold probability", range=[0, min(1.0, 1.1 * max(useful))])
    return drawn.update_yaxes(title_text="net benefit", range=[-0.2 * top, 1.05 * top])


def _decision(scored: Scored) -> "Drawn":
    if scored.run.record.is_multilabel:
        return OF_FINDINGS
    predictions = scored.predictions(next(iter(scored.evaluations), ""))
    if predictions.empty:
        return NOT_SCORED
    exported = scored.exported
    shares, prevalence = (exported.shares, exported.prevalence) if exported else ((), None)
    curves = decision_curves(predictions, scored.run.classes, shares, prevalence)
    return (
        draw_decision_curves(curves)
        if curves
        else "The images are all of one class, or the probabilities are not numbers."
    )


TRIAL_PANELS = (
    TrialPanel(
        "decision",
        "Decision curve",
        "Net benefit of treating where the probability reaches a threshold: true positives, less false positives times "
        "the odds of the threshold, a share of all images. The exported model is drawn at the stated prevalence "
        "(evaluate.prevalence), or at that of the test images, with its probabilities brought there.",
        _decision,
    ),
)
