"""The parts of a page: sections of blocks, which show a plot, a table, pictures or a text of each run.

The report writes blocks as HTML; the app makes components of their tables.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.export import cell_text, folded, headings, is_number
from analysis.figures.gallery import Mistake
from analysis.load import Run
from search.record import trial_name

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Cell:
    """A table's cell; `kind` is its class in the page's style, `chip` that of a coloured label in it."""

    text: str
    kind: str = ""
    chip: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table ready for a page: its head and its rows."""

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Part:
    """One run in a block: a plot, a table, all trials, pictures, a text, or the reason why there is nothing.

    Attributes:
        label: `Figure 3: `, filled in when the page is put together.
        plot, trials: JSON.
        note: a line under a table.
    """

    run: str
    key: str = ""
    label: str = ""
    reason: str = ""
    plot: str = ""
    height: int = 320
    table: PageTable | None = None
    trials: str = ""
    gallery: tuple[Mistake, ...] = ()
    text: str = ""
    note: str = ""


@dataclass(frozen=True)
class Block:
    """A figure, table or text, of each run; the runs stand side by side.

    Attributes:
        width: of a page with room for it: `full`, `half` or `third`.
        closed: whether the reader opens it by a click.
    """

    title: str
    caption: str
    parts: tuple[Part, ...]
    width: str = "full"
    closed: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; `short` is its name in the contents."""

    key: str
    short: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


def table_of(frame: "pd.DataFrame", texts: Sequence[str] = ()) -> PageTable:
    """A frame as a table for a page, numbers aligned to the right and written as people read them.

    Args:
        frame: its index is not shown.
        texts: columns of prose, which may wrap.
    """
    names = [str(name) for name in frame.columns]
    kinds = ["text" if name in texts else "number" if is_number(frame[name]) else "" for name in frame.columns]
    head = tuple(Cell(title, kind) for title, kind in zip(headings(names), kinds, strict=True))
    rows = tuple(
        tuple(_cell(value, name, kind) for value, name, kind in zip(row, names, kinds, strict=True))
        for row in frame.itertuples(index=False, name=None)
    )
    return PageTable(head, rows)


def _cell(value: Any, name: str, kind: str) -> Cell:
    if name in _TRIAL_NUMBERS and not is_absent(value):
        return Cell(trial_name(int(value)), kind)
    text = cell_text(value)
    return Cell(text, kind, text.replace(" ", "-") if name == "verdict" else "")


_TRIAL_NUMBERS = ("trial", "first", "second")  # columns of trial numbers, which are names and not amounts


def is_absent(value: Any) -> bool:
    """Whether a cell holds nothing: `None`, NaN or pandas' NA."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def shown_columns(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with intervals folded and without empty columns, such as DeLong's test with three classes."""
    return folded(frame).dropna(axis="columns", how="all")


def figure_part(run: Run, key: str, drawn: "go.Figure | str") -> Part:
    """A panel of a run as a part of a block; a text instead of a figure is the reason why there is none."""
    if isinstance(drawn, str):
        return Part(run.name, reason=drawn)
    return Part(run.name, key, plot=plot_json(drawn), height=int(drawn.layout.height or 320))


def plot_json(drawn: "go.Figure") -> str:
    """A figure's data and layout as JSON for a script element; the page brings the template."""
    from plotly.io.json import to_json_plotly

    content = drawn.to_dict()
    content["layout"].pop("template", None)
    return _escaped(str(to_json_plotly(content)))


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    return _escaped(json.dumps(value, separators=(",", ":"), allow_nan=False))


def _escaped(content: str) -> str:
    # A string in the JSON may hold </script> or <!--, which would end the element early.
    return content.replace("<", "\\u003c")
