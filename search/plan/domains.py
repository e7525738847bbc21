"""The domains of hyperparameters, and the configurations that hyperparameters with conditions make."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ALL_OF = 8  # values of a hyperparameter: so many are all looked at, more of them by their ends
_MOST = 10_000  # models that are looked at, if more than their ends


@dataclass(frozen=True)
class Choice:
    """One of several values of any JSON type."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        """Whether it is one of the values."""
        return value in self.values

    @property
    def labels(self) -> tuple[Any, ...]:
        """The values as scalars: a list or a mapping is represented by its JSON text."""
        return tuple(value if _is_scalar(value) else json.dumps(value) for value in self.values)

    def value(self, label: Any) -> Any:
        """The value of a label."""
        return self.values[self.labels.index(label)]

    def label(self, value: Any) -> Any:
        """The label of a value."""
        return value if _is_scalar(value) else json.dumps(value)


@dataclass(frozen=True)
class Uniform:
    """A real number in [low, high], uniform or log-uniform."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: Any) -> bool:
        """Whether it is a number between the ends."""
        return is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high], uniform or log-uniform."""

    low: int
    high: int
    log: bool = False

    def __contains__(self, value: Any) -> bool:
        """Whether it is a whole number between the ends."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def values(self) -> range:
        """All whole numbers of the domain."""
        return range(self.low, self.high + 1)


Domain = Choice | Uniform | Integer


@dataclass(frozen=True)
class Parameter:
    """A named hyperparameter, its domain, and the values of earlier parameters that make it active."""

    name: str
    domain: Domain
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether it has a single value."""
        domain = self.domain
        return len(domain.values) == 1 if isinstance(domain, Choice) else domain.low == domain.high

    def is_active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the values chosen so far make this parameter part of the configuration."""
        return all(name in chosen and chosen[name] in values for name, values in self.when)


def expand(
    parameters: Sequence[Parameter], values: Callable[[Parameter], Iterable[Any]], chosen: Mapping[str, Any] = {}
) -> Iterator[dict[str, Any]]:
    """Every configuration of the parameters, in their order, with these values of each where it is active."""
    if not parameters:
        yield dict(chosen)
        return
    first, rest = parameters[0], parameters[1:]
    if not first.is_active(chosen):
        yield from expand(rest, values, chosen)
        return
    for value in values(first):
        yield from expand(rest, values, {**chosen, first.name: value})


def count_combinations(parameters: Sequence[Parameter], chosen: Mapping[str, Any] = {}) -> int:
    """How many configurations the parameters have, none of them continuous; counted without listing them."""
    if not parameters:
        return 1
    first, rest = parameters[0], parameters[1:]
    if not first.is_active(chosen):
        return count_combinations(rest, chosen)
    groups = value_groups(first, rest)
    return sum(len(group) * count_combinations(rest, {**chosen, first.name: group[0]}) for group in groups)


def value_groups(parameter: Parameter, later: Iterable[Parameter]) -> list[Sequence[Any]]:
    """The values of a parameter that is not continuous, in groups that make the same later parameters active.

    Raises:
        ValueError: it is continuous.
    """
    domain = parameter.domain
    if isinstance(domain, Uniform):
        raise ValueError(f"A continuous parameter has no list of values. Received: {parameter.name}. Leave it out.")
    named = [value for each in later for name, values in each.when if name == parameter.name for value in values]
    if isinstance(domain, Choice):
        own = [[value for value in domain.values if value == each] for each in _unique(named)]
        return [group for group in (*own, [value for value in domain.values if value not in named]) if group]
    known = sorted(int(value) for value in _unique(named) if value in domain.values)
    cuts = [domain.low - 1, *known, domain.high + 1]
    between = (range(low + 1, high) for low, high in itertools.pairwise(cuts))
    return [group for group in (*([value] for value in known), *between) if group]


def _unique(values: Iterable[Any]) -> list[Any]:
    """The values without repetition; they may be lists, which are not hashable."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def representatives(parameters: Sequence[Parameter]) -> Callable[[Parameter], Sequence[Any]]:
    """The values of each parameter that stand for all when the models of a space are checked and measured.

    They are all listed values that are no numbers, both ends of a continuous range, and all numbers of a short
    range or list. Of a long one, they are both ends, the values that conditions name, and both ends of what lies
    between these. This is sound because a model depends on a number in one direction: if any width, depth or kernel
    in a range is too small or too large for the images, then an end is; and the number of weights is largest at an
    end (it grows with every width; with depth and kernel it is the sum of a growing and a shrinking part, each
    convex but for pixels that a pooling rounds off, less than a thousandth). If all of it makes more than 10,000
    models, short ones count as long ones: the largest model is then still the largest, and the smallest is that of
    the ends.
    """

    def ends(parameter: Parameter, all_of: int) -> Sequence[Any]:
        domain = parameter.domain
        if isinstance(domain, Uniform):
            return list(dict.fromkeys((domain.low, domain.high)))
        is_list = isinstance(domain, Choice)
        if len(domain.values) <= all_of or (is_list and not all(map(is_number, domain.values))):
            return domain.values
        groups = value_groups(parameter, parameters)
        ordered = map(sorted, groups) if is_list else groups  # a range is ordered, and may be too long to be sorted
        return sorted({value for group in ordered for value in (group[0], group[-1])})

    most = math.prod(len(ends(parameter, _ALL_OF)) for parameter in parameters)
    return lambda parameter: ends(parameter, _ALL_OF if most <= _MOST else 2)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def is_number(value: Any) -> bool:
    """Whether it is a finite number; True, which Python takes for 1, is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
