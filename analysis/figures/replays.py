"""The report's models, run again: a learning curve and a confusion heat map of each, as in its annex."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis import style
from analysis.claims.published import published_rows
from analysis.figures.curves import SIDES, epoch_axis, value_axis
from analysis.figures.panel import NO_EPOCH, RunPanel
from analysis.figures.predictions import add_heat_map
from analysis.figures.scales import value_scale
from analysis.frames import random_weights
from analysis.load import Run
from analysis.scored import NOT_SCORED

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = [
    "HeatMap",
    "ReplayCurve",
    "draw_heat_maps",
    "draw_replay_curves",
    "heat_maps",
    "replay_curves",
]

COLUMNS = 4
PAGE_WIDTH = 1080  # pixels, of a page with room
NONE_REPLAYED = "No trial replays a row of the report."


@dataclass(frozen=True)
class ReplayCurve:
    """One score of one of the report's models over the epochs, on training and validation images.

    Attributes:
        name: as the report names the model, with its figure in the annex where it has one.
        setting: what tells it from models of the same name.
        repeats: by side (`train`, `val`), float64 (epochs, repeats); NaN where a repeat has no such epoch.
    """

    name: str
    setting: str
    repeats: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class HeatMap:
    """One confusion matrix of one of the report's models on the test set: as printed, or over its repeats.

    Attributes:
        name, setting: as of `ReplayCurve`.
        what: published or measured, and the accuracy, mean and range over the repeats.
        counts: float64 (R, K, K), a matrix for each repeat; rows are true classes, columns predicted ones.
    """

    name: str
    setting: str
    what: str
    counts: NDArray[np.float64]


def replay_curves(run: Run, trials: "pd.DataFrame", score: str) -> list[ReplayCurve]:
    """The curves of the report's models that some trials replay, in the report's order.

    Args:
        run: of the trials.
        trials: those of its trials that are shown.
        score: `loss` or `accuracy`.
    """
    found = []
    for row, own in _replayed(trials):
        epochs = run.curves[run.curves["trial"].isin(own.index)]
        if epochs.empty:
            continue
        columns = {side: f"{side}_{score}" for side, _, _ in SIDES}
        tables = {side: epochs.pivot_table(column, "epoch", "trial", dropna=False) for side, column in columns.items()}
        repeats = {side: table.to_numpy(dtype=np.float64) for side, table in tables.items()}
        found.append(ReplayCurve(_name(run, row, own), _setting(row), repeats))
    return found


def draw_replay_curves(found: Sequence[ReplayCurve], score: str) -> "go.Figure":
    """Small multiples, losses each on a scale of its own: the mean over the repeats thick, each repeat thin."""
    titles = [_title(curve.name, curve.setting) for curve in found]
    drawn = _grid(titles, 150, 44, "all" if score == "accuracy" else False)
    for place, curve in enumerate(found):
        cell = _cell(place)
        for side, name, color in SIDES:
            own = {"name": name, "legendgroup": name, **cell}
            if curve.repeats[side].shape[1] > 1:
                drawn.add_scatter(**_thin_lines(curve.repeats[side], color), showlegend=False, **own)
            drawn.add_scatter(**_mean_line(curve.repeats[side], name, color), showlegend=place == 0, **own)
        drawn.update_xaxes(**epoch_axis(max(len(values) for values in curve.repeats.values())), **cell)
        known = np.concatenate([values.ravel() for values in curve.repeats.values()])
        drawn.update_yaxes(**value_axis(score == "loss" and value_scale(known) == "log"), **cell)
    drawn.update_xaxes(title_text="epoch", row=_cell(len(found) - 1)["row"])
    drawn.update_yaxes(title_text=score, col=1)
    return drawn


def _thin_lines(values: NDArray[np.float64], color: str) -> dict[str, Any]:
    """Every repeat in one trace, with a gap between one and the next; from float64 (epochs, repeats)."""
    gap = np.full((1, values.shape[1]), np.nan)
    epochs = np.append(np.arange(1.0, len(values) + 1), np.nan)
    return {
        "x": np.tile(epochs, values.shape[1]),
        "y": np.vstack([values, gap]).T.ravel().round(4),
        "mode": "lines",
        "line": {"color": style.faded(color, 0.35), "width": 1},
        "hoverinfo": "skip",
    }


def _mean_line(values: NDArray[np.float64], name: str, color: str) -> dict[str, Any]:
    """The mean over the repeats at each epoch; its range is shown where the mouse is."""
    known = np.isfinite(values)
    values = values[known.any(axis=1)]
    spread = np.stack([np.nanmin(values, axis=1), np.nanmax(values, axis=1), np.isfinite(values).sum(axis=1)], axis=1)
    repeated = "<br>%{customdata[0]:.3f} to %{customdata[1]:.3f}, %{customdata[2]} repeats"
    return {
        "x": np.flatnonzero(known.any(axis=1)) + 1,
        "y": np.nanmean(values, axis=1).round(4),
        "customdata": spread.round(4),
        "mode": "lines",
        "line": {"color": color, "width": 2.5},
        "hovertemplate": f"epoch %{{x}}: %{{y:.3f}}{repeated if known.shape[1] > 1 else ''}<extra>{name}</extra>",
    }


def heat_maps(run: Run, trials: "pd.DataFrame") -> list[HeatMap]:
    """The confusion matrices of the report's models that some trials replay: each as printed, if it is, and measured.

    Models without a scored trial are left out; the order is the report's.
    """
    test = run.evaluations[run.evaluations["dataset"] == "test"].set_index("trial")["confusion"]
    found = []
    for row, own in _replayed(trials):
        matrices = np.array([test[trial] for trial in own.index if trial in test.index], np.float64)
        if not len(matrices):
            continue
        printed = {"published": np.array([row.confusion], np.float64)} if isinstance(row.confusion, list) else {}
        for kind, counts in (printed | {"measured": matrices}).items():
            found.append(HeatMap(_name(run, row, own), _setting(row), f"{kind}: {_accuracy(counts)}", counts))
    return found


def _accuracy(counts: NDArray[np.float64]) -> str:
    """The accuracy in words, mean and range over the repeats; from (R, K, K)."""
    accuracies = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
    spread = f" ({accuracies.min():.3f} to {accuracies.max():.3f})" if len(counts) > 1 else ""
    return f"{accuracies.mean():.3f}{spread}"


def draw_heat_maps(found: Sequence[HeatMap], classes: Sequence[str]) -> "go.Figure":
    """Heat maps coloured by the share of the true class; in each cell the images, mean and range over the repeats."""
    titles = [_title(each.name, each.setting, each.what) for each in found]
    drawn = _grid(titles, 50 + 44 * len(classes), 72)
    for place, each in enumerate(found):
        mean = each.counts.mean(axis=0)
        shares = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1)
        texts = [[_images(each.counts[:, i, j]) for j in range(len(classes))] for i in range(len(classes))]
        add_heat_map(drawn, shares, texts, classes, **_cell(place), size=12)
    drawn.update_xaxes(showgrid=False, showline=False, ticks="", type="category")
    drawn.update_xaxes(title_text="predicted", row=_cell(len(found) - 1)["row"])
    drawn.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="", type="category")
    drawn.update_yaxes(title_text="true", col=1)
    return drawn


def _images(counts: NDArray[np.float64]) -> str:
    """A cell's images in words: the mean, and below it the range over the repeats."""
    if len(counts) == 1:
        return f"{counts[0]:.0f}"
    return f"{counts.mean():.0f}<br>{_small(f'{counts.min():.0f} to {counts.max():.0f}')}"


def _grid(titles: Sequence[str], height: int, beside: int, shared: str | bool = False) -> "go.Figure":
    """An empty figure with a panel for each title, at most `COLUMNS` side by side.

    Args:
        titles: of the panels.
        height: of a panel, in pixels.
        beside: pixels between two panels of a row, for the labels of the right one.
        shared: `all` where the panels have one y axis.
    """
    rows = -(-len(titles) // COLUMNS)
    free = rows * COLUMNS - len(titles)
    cells: list[Any] = [[{}] * COLUMNS] * (rows - 1) + [[{}] * (COLUMNS - free) + [None] * free]
    title = 17 * max(text.count("<br>") + 1 for text in titles)
    between, top, bottom = title + 52, title + 56, 52  # pixels: between two rows are ticks and titles
    inner = rows * height + (rows - 1) * between
    spacing = between / inner if rows > 1 else 0
    options = {"shared_yaxes": shared, "horizontal_spacing": beside / PAGE_WIDTH, "vertical_spacing": spacing}
    drawn = style.panels(rows, COLUMNS, titles, narrowest=190 + beside, specs=cells, **options)
    drawn.update_annotations(align="left")
    drawn.update_layout(height=inner + top + bottom, margin={"t": top, "b": bottom})
    drawn.update_layout(legend={"yref": "container", "y": 1, "yanchor": "top"})
    return drawn.update_layout(meta=drawn.layout.meta | {"between": between, "beside": beside})


def _cell(place: int) -> dict[str, int]:
    """The row and the column of a panel, each from 1."""
    return {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}


def _title(name: str, *more: str) -> str:
    """A panel's title: its model, and below it in a softer colour what more there is to say."""
    lines = "<br>".join(style.plain(text) for text in more if text)
    return f'{name}<br><span style="color:{style.MUTED};font-size:11px">{lines}</span>'


def _small(text: str) -> str:
    return f'<span style="font-size:9px">{text}</span>'


def _replayed(trials: "pd.DataFrame") -> "list[tuple[Any, pd.DataFrame]]":
    """The report's rows that some trials replay, each with its trials, in the report's order."""
    published: Any = published_rows().astype({"batch_size": float}).reset_index().itertuples(index=False)
    own = {str(row): trials[trials["row"] == row] for row in trials["row"].unique() if row}
    return [(row, own[row.row]) for row in published if row.row in own]


def _name(run: Run, row: Any, own: "pd.DataFrame") -> str:
    """A model as the report names it: `Figure A: model 1`."""
    figure = f"Figure {row.figure}: " if isinstance(row.figure, str) else ""
    random = ", random weights" if random_weights(run)[own.index].any() else ""
    return f"{figure}{style.plain(row.model)}{random}"


def _setting(row: Any) -> str:
    """The training that the report prints of a model; empty where it prints none."""
    parts = []
    if np.isfinite(row.learning_rate):
        parts.append(f"learning rate {row.learning_rate:.2g}".replace("e-0", "e-"))
    if np.isfinite(row.batch_size):
        parts.append(f"batch {row.batch_size:.0f}")
    return ", ".join(parts + (["augmented"] if row.augment == "report" else []))


def _curves(score: str) -> "Callable[[Run, pd.DataFrame], Drawn]":
    def drawn(run: Run, trials: "pd.DataFrame") -> "Drawn":
        if not len(_replayed(trials)):
            return NONE_REPLAYED
        found = replay_curves(run, trials, score)
        return draw_replay_curves(found, score) if found else NO_EPOCH

    return drawn


def _heat_maps(run: Run, trials: "pd.DataFrame") -> "Drawn":
    if not len(_replayed(trials)):
        return NONE_REPLAYED
    found = heat_maps(run, trials)
    return draw_heat_maps(found, run.classes) if found else NOT_SCORED


_CURVES_CAPTION = "Training blue, validation orange: thick the mean over the repeats, thin each repeat."

_IS_REPLAY = operator.attrgetter("is_replay")

RUN_PANELS = (
    RunPanel(
        "replay-loss",
        "published",
        "The loss of each of the report's models",
        f"{_CURVES_CAPTION} Each model has a scale of its own, as in the annex.",
        _curves("loss"),
        fits=_IS_REPLAY,
    ),
    RunPanel(
        "replay-accuracy",
        "published",
        "The accuracy of each of the report's models",
        f"{_CURVES_CAPTION} One scale.",
        _curves("accuracy"),
        fits=_IS_REPLAY,
    ),
    RunPanel(
        "replay-confusion",
        "published",
        "The confusion of each of the report's models on the test set",
        "Images by true and predicted class, coloured by the share of the true class: as the report prints them, where "
        "it does, and measured, the mean over the repeats with the fewest and the most. Above each is its accuracy.",
        _heat_maps,
        fits=_IS_REPLAY,
    ),
)
