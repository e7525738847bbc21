"""Layers: what their counts add up to."""

from models.counts import NOTHING, ParameterCount
from models.layers import Layer, batch_norm_layer, dense_layer, total_count


def test_the_counts_of_layers_add_up():
    layers = [Layer("input", (4, 4, 3)), batch_norm_layer((4, 4, 3)), dense_layer("dense 5", 48, 5)]
    assert [layer.shape for layer in layers] == [(4, 4, 3), (4, 4, 3), (5,)]
    assert total_count(layers) == ParameterCount(12 + 49 * 5, 6 + 49 * 5)
    assert total_count([]) == NOTHING


def test_one_layer_of_unknown_trainable_parameters_makes_the_sum_unknown():
    layers = [dense_layer("dense 2", 3, 2), Layer("backbone", (1, 1, 3), ParameterCount(10, None))]
    assert total_count(layers) == ParameterCount(18, None)
