import itertools

import pytest

from models.registry import count_parameters
from search.plan.domains import Choice, Integer, Parameter, Uniform, count_combinations, expand, representatives
from search.plan.spaces import model_settings

LAYERS = Parameter("layers", Integer(1, 3))
FILTERS = Parameter("filters", Integer(4, 256))
DENSE = Parameter("dense", Choice(([], [16])), when=(("filters", (8, 9, 300)), ("layers", (1,))))
DROPOUT = Parameter("dropout", Uniform(0.0, 0.5), when=(("dense", ([16],)),))


def listed(parameters: list[Parameter]) -> int:
    return sum(1 for _ in expand(parameters, lambda parameter: parameter.domain.values))


def test_combinations_are_counted_as_they_are_listed() -> None:
    parameters = [LAYERS, FILTERS, DENSE]
    assert count_combinations(parameters) == listed(parameters) == 3 * 253 + 2
    twice = [Parameter("a", Choice((1, 1, 2))), Parameter("b", Choice((1, 2, 3)), when=(("a", (1,)),))]
    assert count_combinations(twice) == listed(twice) == 2 * 3 + 1


def test_a_count_takes_no_list() -> None:
    many = [Parameter(f"p{place}", Integer(4, 10**9)) for place in range(6)]
    assert count_combinations(many) == (10**9 - 3) ** 6


def test_long_ranges_are_looked_at_by_their_ends_and_by_what_conditions_name() -> None:
    parameters = [LAYERS, FILTERS, DENSE, DROPOUT]
    values = representatives(parameters)
    assert list(values(LAYERS)) == [1, 2, 3]
    assert list(values(FILTERS)) == [4, 7, 8, 9, 10, 256]
    assert list(values(DROPOUT)) == [0.0, 0.5]
    active = {tuple(chosen) for chosen in expand(parameters, values)}
    assert active == {("layers", "filters"), ("layers", "filters", "dense"), ("layers", "filters", "dense", "dropout")}


def test_long_lists_of_numbers_are_looked_at_as_long_ranges() -> None:
    widths = Parameter("filters", Choice((64, *range(4, 60), 8.5)))
    values = representatives([widths, DENSE])
    assert values(widths) == [4, 8, 9, 64]  # 8 and 9 are named by a condition, 300 is not in the list
    names = Parameter("backbone", Choice(tuple(f"net{place}" for place in range(9))))
    assert representatives([names])(names) == names.domain.values


def test_many_short_ranges_are_looked_at_by_their_ends() -> None:
    many = [Parameter(f"p{place}", Integer(1, 8)) for place in range(6)]
    assert sum(1 for _ in expand(many, representatives(many))) == 2**6
    few = many[:4]
    assert sum(1 for _ in expand(few, representatives(few))) == 8**4


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pooling", ["flatten", "average"])
def test_the_largest_model_stands_at_an_end_of_every_range(padding: str, pooling: str) -> None:
    """None in the ranges has more weights than the largest of their ends, but for pixels that a pooling rounds off."""
    fixed = {"backbone": "cnn", "padding": padding, "pooling": pooling, "dense": [32]}

    def largest(layers: list[int], filters: list[int], kernels: list[int], growths: list[float]) -> int:
        return max(
            count_parameters(
                model_settings({**fixed, "layers": a, "filters": b, "kernel": c, "growth": d}), (224, 224, 1), 2
            ).total
            for a, b, c, d in itertools.product(layers, filters, kernels, growths)
        )

    ends = largest([1, 5], [2, 20], [2, 5], [1.0, 2.0])
    assert ends > 0.999 * largest(list(range(1, 6)), list(range(2, 21, 3)), list(range(2, 6)), [1.0, 1.25, 1.5, 2.0])
