"""Panels: a figure with its title and caption, as the report and the app show it.

A panel with nothing to show gives the reason in words, so that no page has an empty chart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from analysis import style
from analysis.load import Run
from analysis.scored import Scored

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    Drawn: TypeAlias = "go.Figure | str"  # a figure, or the reason why there is none


def _fits_all(run: Run) -> bool:
    return True


NO_EPOCH = "No epoch is recorded yet."
TOO_FEW = "Too few trials, or none that differ: at least eight with a validation value are needed."


@dataclass(frozen=True)
class RunPanel:
    """A figure of many trials.

    Attributes:
        key: its name on a page and in addresses.
        section: where the report shows it.
        title, caption: in words.
        draw: from a run and those of its trials that are chosen.
        width: of a page with room for it: `full`, `half` or `third`.
        fits: whether it has something to say about a run; the report leaves it out where it does of none.
    """

    key: str
    section: str
    title: str
    caption: str
    draw: "Callable[[Run, pd.DataFrame], Drawn]"
    width: str = "full"
    fits: Callable[[Run], bool] = _fits_all


@dataclass(frozen=True)
class TrialPanel:
    """A figure of one model; the learning curve of one that averages several trials is its best member's.

    Attributes:
        key: its name on a page.
        title, caption: in words.
        draw: from a model with its results.
        width: of a page with room for it: `full`, `half` or `third`.
    """

    key: str
    title: str
    caption: str
    draw: "Callable[[Scored], Drawn]"
    width: str = "full"


def chosen_curves(run: Run, trials: "pd.DataFrame") -> "pd.DataFrame":
    """The epochs of the chosen trials."""
    if len(trials) == len(run.trials):
        return run.curves
    return run.curves[run.curves["trial"].isin(trials.index)]


def restyle(drawn: "Drawn", theme: style.Theme) -> "Drawn":
    """The same panel in a theme."""
    return drawn if isinstance(drawn, str) else style.restyled(drawn, theme)
