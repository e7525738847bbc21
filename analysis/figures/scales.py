"""Axes for hyperparameters of any kind, and samples of trials small enough to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis import style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_LINES", "MOST_POINTS", "Scale", "sampled", "scale_of", "varying"]

MOST_LINES = 800  # trials in a figure of lines; more only blacken the page
MOST_POINTS = 200  # in a panel of points, of which a page may have ten
LONG_TICK = 10  # letters of a category; a longer one is broken at each "+"


@dataclass(frozen=True)
class Scale:
    """The values of one column as places on an axis.

    Attributes:
        kind: `log`, `linear` or `category`.
        places: float64 (N,): log10 of the value, the value, or the category's index; NaN where absent.
        categories: the category names in the order of their places; empty for numbers.
    """

    name: str
    kind: str
    places: NDArray[np.float64]
    categories: tuple[str, ...] = ()

    @property
    def low(self) -> float:
        """The smallest place; 0 where there is none."""
        return float(np.nanmin(self.places)) if np.isfinite(self.places).any() else 0.0

    @property
    def high(self) -> float:
        """The largest place; 1 where there is none."""
        return float(np.nanmax(self.places)) if np.isfinite(self.places).any() else 1.0

    @property
    def room(self) -> float:
        """Free space beyond the first and last place in a drawing."""
        return 0.5 if self.kind == "category" else (0.03 * (self.high - self.low) or 0.5)

    @property
    def absent(self) -> float:
        """The place of absent values in a drawing: clearly below the lowest one."""
        return self.low - 3 * self.room

    @property
    def ticks(self) -> tuple[list[float], list[str]]:
        """The places of ticks and their labels, ready for Plotly."""
        if self.kind == "category":
            return [float(place) for place in range(len(self.categories))], [style.plain(n) for n in self.categories]
        if self.kind == "log":
            return _log_ticks(self.low, self.high)
        return _round_ticks(self.low, self.high)

    def axis(self) -> dict[str, Any]:
        """Plotly axis settings for a drawing whose data are `places`."""
        values, text = self.ticks
        text = [name.replace("+", "+<br>") if len(name) > LONG_TICK else name for name in text]
        margin = 0.06 * (self.high - self.low) if self.kind != "category" else 0.5
        if self.kind == "category":
            bounds = [-0.5, max(len(self.categories), 1) - 0.5]
        else:
            bounds = [self.low - (margin or 0.5), self.high + (margin or 0.5)]
        return {"tickvals": values, "ticktext": text, "range": bounds}


def scale_of(values: "pd.Series[Any]") -> Scale:
    """The scale of a column: text is categories, numbers sampled over orders of magnitude are logarithmic.

    At most six whole or repeated numbers are categories too: layers, batch sizes, the learning rates of a grid.
    """
    import pandas as pd

    name = str(values.name)
    numeric = values.dtype != object and pd.api.types.is_numeric_dtype(values)
    numeric = numeric and not pd.api.types.is_bool_dtype(values)
    if not numeric:
        known = [value for value in values.unique() if not _is_absent(value)]
        return _categories(name, values, sorted(known, key=_natural))
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known_numbers = np.unique(numbers[np.isfinite(numbers)])
    whole = bool((known_numbers == np.round(known_numbers)).all())
    if len(known_numbers) <= 6 and (whole or len(numbers) >= 2 * len(known_numbers)):
        return _categories(name, values, [int(n) if whole else float(n) for n in known_numbers])
    if _is_logarithmic(numbers[np.isfinite(numbers)]):
        return Scale(name, "log", np.log10(numbers))
    return Scale(name, "linear", numbers)


def sampled(frame: "pd.DataFrame", most: int, values: "pd.Series[float] | None" = None) -> "pd.DataFrame":
    """At most `most` rows, evenly spread; with `values`, both tenths at their ends are kept first.

    The order of the rows stays. The same rows are left out at every call.
    """
    if len(frame) <= most:
        return frame
    kept = np.zeros(len(frame), bool)
    if values is not None:
        order = np.argsort(values.to_numpy(dtype=np.float64, na_value=np.nan), kind="stable")
        kept[order[: most // 10]] = True
        kept[order[-(most // 10) :]] = True
    free = np.flatnonzero(~kept)
    wanted = most - int(kept.sum())
    kept[free[np.linspace(0, len(free) - 1, wanted).astype(int)]] = True
    return frame[kept]


def varying(trials: "pd.DataFrame", parameters: Sequence[str]) -> list[str]:
    """The hyperparameters that differ between trials, in the order given."""
    return [name for name in parameters if name in trials and trials[name].nunique(dropna=False) > 1]


def value_scale(values: ArrayLike) -> str:
    """`log` for positive values over more than a factor of thirty, `linear` otherwise; NaN is left out."""
    numbers = np.asarray(values, np.float64)
    known = numbers[np.isfinite(numbers)]
    return "log" if len(known) and known.min() > 0 and known.max() > 30 * known.min() else "linear"


def _categories(name: str, values: "pd.Series[Any]", known: Sequence[Any]) -> Scale:
    place = {value: float(index) for index, value in enumerate(known)}
    places = np.array([np.nan if _is_absent(value) else place[value] for value in values], np.float64)
    return Scale(name, "category", places, tuple(_category_name(value) for value in known))


def _category_name(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-")
    return str(value) or "none"


def _is_absent(value: Any) -> bool:
    return value is None or value != value


def _is_logarithmic(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers span a factor of thirty and crowd at its low end, which evenly sampled ones do not."""
    if not len(numbers) or numbers.min() <= 0:
        return False
    return bool(numbers.max() > 30 * numbers.min() and np.median(numbers) < numbers.max() / 5)


def _natural(value: Any) -> tuple[Any, ...]:
    """A key that sorts `8`, `16`, `16-8` as numbers and puts words after them."""
    parts = str(value).split("-")
    if all(part.isdigit() for part in parts):
        return (0, [int(part) for part in parts], "")
    return (1, [], str(value))


def _round_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Two to five round numbers from `low` to `high`."""
    if not high > low:
        return [low], [_short(low)]
    unit = 10.0 ** np.floor(np.log10(high - low))
    for factor in (5, 2, 1, 0.5, 0.25, 0.2):
        step = factor * unit
        ticks = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
        if len(ticks) >= 3:
            break
    return [float(tick) for tick in ticks], [_short(float(tick)) for tick in ticks]


def _short(number: float) -> str:
    if number and (abs(number) < 1e-3 or abs(number) >= 1e5):
        return f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{number:.3g}"


def _log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Powers of ten from `low` to `high` (both log10); with fewer than two of them, 2 and 5 too."""
    span = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        ticks = [(np.log10(factor) + power, _short(factor * 10.0**power)) for power in span for factor in factors]
        inside = [(float(place), text) for place, text in ticks if low - 0.02 <= place <= high + 0.02]
        if len(inside) >= 2:
            break
    inside = inside[:: -(-len(inside) // 4)]  # at most four: panels are small
    return [place for place, _ in inside], [text for _, text in inside]
