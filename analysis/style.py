"""Colours, fonts and axes of the figures and pages, light and dark.

Traces have colours that read on both backgrounds. What differs (ink, grid, hover boxes) stands in the two templates,
so that a page changes its theme without drawing its figures again.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search import record

if TYPE_CHECKING:
    import plotly.graph_objects as go

# As in the report's annex: "la courbe blue qui est le train et la orange qui représente la validation".
TRAIN = "#3b7dc4"
VALIDATION = "#e07b22"
TEST = "#2a9d7f"

ACCENT = TRAIN  # the subject of a figure
BEST = VALIDATION  # the best trial
MUTED = "#8a93a0"  # everything else

STATUS = {
    record.FINISHED: "#2a9d7f",
    record.STOPPED: "#9aa3b0",
    record.DIVERGED: "#c9569b",
    record.FAILED: "#d0453e",
    record.RUNNING: "#3b7dc4",
    record.WAITING: "#c8ced6",
}

# For classes, runs and compared trials; neither the blue of training nor the orange of validation.
SERIES = ("#2a9d7f", "#8f6bc0", "#c9569b", "#b5892e", "#4aa3b8", "#7a8b3a", "#d0675a", "#6b7a90")

# Few is transparent, so that the scale works on white and on black.
SEQUENTIAL = ((0.0, "rgba(59,125,196,0.05)"), (0.5, "rgba(59,125,196,0.55)"), (1.0, "rgba(59,125,196,1.0)"))
# From good to bad; the bad end, which is less interesting, is grey.
GOOD_TO_BAD = ((0.0, "#14507f"), (0.25, "#3b8ab8"), (0.55, "#9cc3c9"), (1.0, "#d8d5cd"))
FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True)
class Theme:
    """The colours that differ between light and dark.

    Attributes:
        ink, soft: colours of text, and of text that matters less.
        line: of rules, axes and borders.
        grid: of grid lines.
        paper, panel: backgrounds of the page, and of what lies on it.
        accent: of links and of what is chosen.
        veil: behind text that lies on lines.
    """

    name: str
    ink: str
    soft: str
    line: str
    grid: str
    paper: str
    panel: str
    accent: str
    veil: str


LIGHT = Theme(
    "light", "#1d232b", "#5b6572", "#c9ced6", "#edeff2", "#ffffff", "#f7f8fa", "#1f5f9f", "rgba(255,255,255,0.7)"
)
DARK = Theme("dark", "#e4e7eb", "#a0a9b5", "#454d59", "#2a3039", "#14171c", "#1c2027", "#84b6ec", "rgba(20,23,28,0.7)")
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def template(theme: Theme) -> dict[str, Any]:
    """The Plotly template of a theme, as plain data."""
    axis = {
        "gridcolor": theme.grid,
        "linecolor": theme.line,
        "tickcolor": theme.line,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "title": {"font": {"size": 12, "color": theme.soft}, "standoff": 8},
        "tickfont": {"size": 11, "color": theme.soft},
    }
    layout = {
        "font": {"family": FONT, "size": 12, "color": theme.ink},
        "paper_bgcolor": theme.paper,
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(SERIES),
        "margin": {"l": 56, "r": 16, "t": 36, "b": 48},
        "xaxis": axis,
        "yaxis": axis,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 11, "color": theme.soft}},
        "hoverlabel": {"bgcolor": theme.panel, "bordercolor": theme.line, "font": {"color": theme.ink, "size": 12}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.line, "activecolor": theme.soft},
        "annotationdefaults": {"font": {"size": 12, "color": theme.ink}, "showarrow": False, "bgcolor": theme.veil},
        "shapedefaults": {"line": {"color": theme.line, "width": 1}},
        "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 10, "tickfont": {"color": theme.soft, "size": 11}}},
    }
    return {"layout": layout}


def figure(traces: Sequence[Any] = (), **layout: Any) -> "go.Figure":
    """A Plotly figure of `traces` in the house style and the light theme."""
    import plotly.graph_objects as go

    return go.Figure(data=list(traces), layout={"template": template(LIGHT), "height": 320, **layout})


def panels(rows: int, columns: int, titles: Sequence[str] = (), narrowest: int = 240, **options: Any) -> "go.Figure":
    """An empty figure of `rows` x `columns` panels in the house style.

    Args:
        rows: at least one.
        columns: at least one.
        titles: of the panels, row by row.
        narrowest: pixels that a panel needs; a page with less room stacks the panels (by `meta`).
        **options: of Plotly's make_subplots.
    """
    from plotly.subplots import make_subplots

    drawn = make_subplots(rows=rows, cols=columns, **options)
    for place, title in enumerate(titles):
        # Tied to its panel's axes: it moves with them when a page stacks the panels.
        axis = "" if place == 0 else str(place + 1)
        drawn.add_annotation(
            x=0,
            y=1,
            xref=f"x{axis} domain",
            yref=f"y{axis} domain",
            text=title,
            xanchor="left",
            yanchor="bottom",
            bgcolor="rgba(0,0,0,0)",
        )
    meta = {"rows": rows, "columns": columns, "narrowest": narrowest}
    return restyled(drawn, LIGHT).update_layout(height=320, meta=meta)


def restyled(drawn: "go.Figure", theme: Theme) -> "go.Figure":
    """The same figure in another theme; `drawn` itself is changed and returned."""
    # Assigned, not updated: Plotly takes a tenth of a second to merge one template into another.
    drawn.layout.template = template(theme)
    return drawn


def variables(theme: Theme) -> str:
    """The theme as CSS custom properties: `--ink: #1d232b; ...`."""
    names = ("ink", "soft", "line", "grid", "paper", "panel", "accent")
    own = {name: getattr(theme, name) for name in names}
    shared = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "font": FONT}
    return " ".join(f"--{name}: {value};" for name, value in (own | shared).items())


def faded(color: str, alpha: float) -> str:
    """A `#rrggbb` colour as `rgba(...)` with the given opacity."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def series_color(place: int) -> str:
    """The colour of the series at `place`; the colours repeat after the last one."""
    return SERIES[place % len(SERIES)]


def plain(text: object) -> str:
    """Text escaped for Plotly, whose labels take a few HTML tags; names from runs must not be read as tags."""
    return html.escape(str(text), quote=False)


def label(name: str) -> str:
    """A column's name as people read it: `val_auc` -> `validation AUC`."""
    return LABELS.get(name, name.replace("_", " "))


LABELS: Mapping[str, str] = {
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
    "val_balanced_accuracy": "validation balanced accuracy",
    "val_auc": "validation AUC",
    "val_sensitivity": "validation sensitivity",
    "val_specificity": "validation specificity",
    "shifted_loss": "shifted validation loss",
    "shifted_accuracy": "shifted validation accuracy",
    "shifted_balanced_accuracy": "shifted validation balanced accuracy",
    "shifted_auc": "shifted validation AUC",
    "test_auc": "test AUC",
}
