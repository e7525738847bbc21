"""The data set: the report's figures 1 to 4, with measured counts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis import style
from analysis.figures.panel import RunPanel
from analysis.load import Run

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from analysis.figures.panel import Drawn

__all__ = ["draw_split_counts", "split_counts"]

# The report's order: figure 1 train, figure 2 test, figure 3 validation.
SPLITS = ("train", "test", "validation")
_SPLIT_COLORS = {"train": style.TRAIN, "test": style.TEST, "validation": style.VALIDATION}


def split_counts(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> "pd.DataFrame":
    """How many images of each class are in each split.

    Args:
        counts: per split, a number a class, as `RunRecord.data["counts"]`.
        classes: the class names in the same order.

    Returns:
        split, label, images, share (of the split); one row a split and class.
    """
    import pandas as pd

    rows = [
        {"split": split, "label": label, "images": int(number), "share": number / max(sum(counts[split]), 1)}
        for split in SPLITS
        if split in counts
        for label, number in zip(classes, counts[split], strict=False)
    ]
    return pd.DataFrame(rows, columns=["split", "label", "images", "share"])


def draw_split_counts(found: "pd.DataFrame") -> "go.Figure":
    """The report's figures 1 to 4: classes within train, test and validation; then the splits' shares."""
    import plotly.graph_objects as go

    titles = ["1  train", "2  test", "3  validation", "4  all images by split"]
    drawn = style.panels(2, 2, horizontal_spacing=0.16, vertical_spacing=0.22, titles=titles)
    panels = [found[found["split"] == split] for split in SPLITS]
    for place, (split, panel) in enumerate(zip(SPLITS, panels, strict=True)):
        bars = _bars([str(label) for label in panel["label"]], panel["images"].tolist(), [_SPLIT_COLORS[split]])
        drawn.add_trace(go.Bar(**bars), row=place // 2 + 1, col=place % 2 + 1)
    totals = [int(panel["images"].sum()) for panel in panels]
    drawn.add_trace(go.Bar(**_bars(SPLITS, totals, [_SPLIT_COLORS[split] for split in SPLITS])), row=2, col=2)
    drawn.update_xaxes(showgrid=False, showline=False, showticklabels=False, ticks="", rangemode="tozero")
    drawn.update_yaxes(showgrid=False, showline=False, ticks="", autorange="reversed", type="category")
    for place in range(1, 5):
        biggest = max([*(panels[place - 1]["images"] if place < 4 else totals), 1])
        drawn.update_xaxes(range=[0, 1.5 * biggest], row=(place - 1) // 2 + 1, col=(place - 1) % 2 + 1)
    return drawn.update_layout(height=340, showlegend=False, bargap=0.35)


def _bars(names: Sequence[str], numbers: Sequence[int], colors: Sequence[str]) -> dict[str, object]:
    total = max(sum(numbers), 1)
    return {
        "x": list(numbers),
        "y": [style.plain(name) for name in names],
        "orientation": "h",
        "marker": {"color": colors[0] if len(colors) == 1 else list(colors)},
        "text": [f"{number:,}  {number / total:.0%}" for number in numbers],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }


def _data(run: Run, _: "pd.DataFrame") -> "Drawn":
    if run.record.is_multilabel:
        return "An image may show several findings: the table of images counts them."
    counts = split_counts(run.record.data.get("counts", {}), run.classes)
    return "The run's record holds no counts." if counts.empty else draw_split_counts(counts)


RUN_PANELS = (RunPanel("data", "data", "The report's figures 1 to 4", "Images by class and split.", _data),)
