"""Filters of trials: conditions in the page's address, so that a link shows the same trials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray

from analysis import style
from analysis.figures import Scale, place_at, scale_of

if TYPE_CHECKING:
    import pandas as pd

ABSENT = "absent"  # in a condition, a trial without the hyperparameter


@dataclass(frozen=True)
class Filter:
    """Conditions; a chosen trial meets all of them.

    Attributes:
        ranges: lowest and highest value, by column.
        choices: the chosen categories, by column; `ABSENT` for trials without the hyperparameter.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have a condition."""
        return (*self.ranges, *self.choices)

    def chosen(self, trials: "pd.DataFrame") -> "pd.DataFrame":
        """The trials that meet all conditions; a condition on a missing column is ignored."""
        kept = np.ones(len(trials), bool)
        for name, (low, high) in self.ranges.items():
            if name in trials:
                numbers = _numbers(trials[name])
                kept &= (numbers >= low) & (numbers <= high)
        for name, names in self.choices.items():
            if name in trials:
                kept &= _has_category(scale_of(trials[name]), names)
        return trials[kept]

    def with_range(self, name: str, low: float, high: float) -> "Filter":
        """The filter with a range of numbers, which replaces an earlier condition on the column."""
        return replace(self.without(name), ranges={**self.without(name).ranges, name: (low, high)})

    def with_choice(self, name: str, names: Sequence[str]) -> "Filter":
        """The filter with chosen categories, which replace an earlier condition on the column."""
        return replace(self.without(name), choices={**self.without(name).choices, name: tuple(names)})

    def without(self, name: str) -> "Filter":
        """The filter without the condition on a column."""
        return Filter(
            {key: value for key, value in self.ranges.items() if key != name},
            {key: value for key, value in self.choices.items() if key != name},
        )

    def only(self, names: Iterable[str]) -> "Filter":
        """The filter with the conditions on these columns alone."""
        found = self
        for name in set(self.columns) - set(names):
            found = found.without(name)
        return found

    def words(self) -> dict[str, str]:
        """Each condition as people read it, by column."""
        found = {name: f"{style.label(name)} {low:.4g} to {high:.4g}" for name, (low, high) in self.ranges.items()}
        return found | {name: f"{style.label(name)} {' or '.join(names)}" for name, names in self.choices.items()}

    def pairs(self) -> list[tuple[str, str]]:
        """The conditions as pairs of an address: `min.dropout=0.1`, `max.dropout=0.3`, `is.augment=none`."""
        found = []
        for name, (low, high) in self.ranges.items():
            found += [(f"min.{name}", f"{low:.8g}"), (f"max.{name}", f"{high:.8g}")]
        return found + [(f"is.{name}", value) for name, values in self.choices.items() for value in values]


def read_filter(pairs: Iterable[tuple[str, str]]) -> Filter:
    """The conditions in an address; pairs that are no condition, or hold no number, are ignored."""
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    choices: dict[str, list[str]] = {}
    for key, value in pairs:
        kind, _, name = key.partition(".")
        if kind == "is" and name:
            choices.setdefault(name, []).append(value)
        elif kind in ("min", "max") and name:
            try:
                (lows if kind == "min" else highs)[name] = float(value)
            except ValueError:
                continue
    names = dict.fromkeys([*lows, *highs])
    ranges = {name: (lows.get(name, -np.inf), highs.get(name, np.inf)) for name in names}
    return Filter(ranges, {name: tuple(values) for name, values in choices.items() if name not in ranges})


@dataclass(frozen=True)
class Address:
    """The part of a page's address after its path.

    Attributes:
        run: the run's folder name; empty for the newest.
        trial: the trial's number, on the page of one trial.
        compared: the numbers of the trials to compare.
        sort: the column that the table is sorted by, with a minus in front for the largest first.
        page: of the table, 0 for the first.
    """

    run: str = ""
    trial: int | None = None
    compared: tuple[int, ...] = ()
    sort: str = ""
    page: int = 0
    filter: Filter = field(default_factory=Filter)

    def query(self) -> str:
        """The query of the address, with its question mark; empty where every value is the default."""
        pairs = [("run", self.run)] if self.run else []
        pairs += [("trial", str(self.trial))] if self.trial is not None else []
        pairs += [("compare", str(number)) for number in self.compared]
        pairs += self.filter.pairs()
        pairs += [("sort", self.sort)] if self.sort else []
        pairs += [("page", str(self.page))] if self.page else []
        return f"?{urlencode(pairs)}" if pairs else ""


def read_address(query: str) -> Address:
    """The address of a query; parts that cannot be read are ignored."""
    pairs = parse_qsl((query or "").lstrip("?"))
    given = dict(pairs)
    numbers = [int(value) for key, value in pairs if key == "compare" and value.isdigit()]
    trial, page = given.get("trial", ""), given.get("page", "")
    return Address(
        run=given.get("run", ""),
        trial=int(trial) if trial.isdigit() else None,
        compared=tuple(dict.fromkeys(numbers)),
        sort=given.get("sort", ""),
        page=int(page) if page.isdigit() else 0,
        filter=read_filter(pairs),
    )


def brush_axes(current: Filter, scales: Sequence[Scale], box: Mapping[str, Sequence[float]]) -> Filter:
    """The conditions after a box was drawn across axes of a parallel-coordinates figure.

    Args:
        current: the conditions before.
        scales: the figure's axes.
        box: Plotly's range of the box, `{"x": [left, right], "y": [bottom, top]}`.
    """
    left, right = sorted(box["x"])
    bottom, top = sorted(box["y"])
    for place, scale in enumerate(scales):
        if left <= place <= right:
            current = _with_places(current, scale, place_at(scale, bottom), place_at(scale, top))
    return current


def brushed_places(current: Filter, scales: Sequence[Scale]) -> dict[str, list[tuple[float, float]]]:
    """The conditions as ranges of places on the axes that have one."""
    found: dict[str, list[tuple[float, float]]] = {}
    for scale in scales:
        if scale.name in current.ranges and scale.kind != "category":
            low, high = current.ranges[scale.name]
            # Rounding in the address must not drop the trial at the end of the range.
            slack = 1e-6 * (scale.high - scale.low)
            ends = _place(scale, low, scale.low) - slack, _place(scale, high, scale.high) + slack
            found[scale.name] = [ends]
        elif scale.name in current.choices:
            wanted = current.choices[scale.name]
            places = [float(place) for place, name in enumerate(scale.categories) if name in wanted]
            places += [scale.absent] if ABSENT in wanted else []
            found[scale.name] = [(place - 0.3, place + 0.3) for place in sorted(places)]
    return {name: ranges for name, ranges in found.items() if ranges}


def brush_points(current: Filter, trials: "pd.DataFrame", numbers: Sequence[int], columns: Sequence[str]) -> Filter:
    """The conditions after a box was drawn around points: on each column, the range of these trials."""
    inside = trials.loc[trials.index.isin(numbers)]
    if inside.empty:
        return current
    for name in columns:
        scale = scale_of(trials[name])
        if scale.kind == "category":
            own = scale.places[trials.index.isin(inside.index)]
            names = [scale.categories[int(place)] for place in np.unique(own[np.isfinite(own)])]
            current = current.with_choice(name, names) if names else current
        else:
            values = _numbers(inside[name])
            current = current.with_range(name, float(np.nanmin(values)), float(np.nanmax(values)))
    return current


def _with_places(current: Filter, scale: Scale, low: float, high: float) -> Filter:
    if scale.kind == "category":
        names = [name for place, name in enumerate(scale.categories) if low <= place <= high]
        names += [ABSENT] if np.isnan(scale.places).any() and low <= scale.absent else []
        return current.with_choice(scale.name, names) if names else current
    low, high = max(low, scale.low), min(high, scale.high)
    if low > high:
        return current
    return current.with_range(scale.name, *((10**low, 10**high) if scale.kind == "log" else (low, high)))


def _place(scale: Scale, value: float, otherwise: float) -> float:
    if not np.isfinite(value) or (scale.kind == "log" and value <= 0):
        return otherwise
    return float(np.log10(value)) if scale.kind == "log" else value


def _has_category(scale: Scale, names: Sequence[str]) -> NDArray[np.bool_]:
    wanted = [place for place, name in enumerate(scale.categories) if name in names]
    kept = np.isin(scale.places, wanted)
    return kept | np.isnan(scale.places) if ABSENT in names else kept


def _numbers(values: "pd.Series[Any]") -> NDArray[np.float64]:
    return values.to_numpy(dtype=np.float64, na_value=np.nan)
