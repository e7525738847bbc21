"""Parts: a chain is cut between what training never changes and what it does. More in test_transfer.py."""

import numpy as np
import pytest

from models.parts import chain, frozen_part, trainable_part


def part(name):
    """One part of a chain on three numbers."""
    import keras

    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)], name=name)


@pytest.fixture(params=[("frozen", "pooling", "head"), ("frozen", "thawed", "pooling", "head"), ("thawed", "head")])
def names(request):
    return request.param


def make_chain(names):
    return chain([part(name) for name in names], (3,), "model")


def test_the_parts_share_the_weights_of_the_model_and_make_it_up(names):
    model, values = make_chain(names), np.ones((2, 3), np.float32)
    fixed, trained = frozen_part(model), trainable_part(model)
    assert (fixed is None) == ("frozen" not in names)
    weights = [] if fixed is None else fixed.weights
    weights = [*weights, *trained.weights]
    assert {id(weight) for weight in weights} == {id(weight) for weight in model.weights}
    features = values if fixed is None else fixed(values)
    np.testing.assert_allclose(trained(features), model(values), rtol=1e-6)


def test_a_pooling_right_after_the_frozen_part_belongs_to_it():
    assert [layer.name for layer in frozen_part(make_chain(("frozen", "pooling", "head"))).layers[1:]] == [
        "frozen",
        "pooling",
    ]
