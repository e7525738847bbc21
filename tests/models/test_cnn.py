"""CNNs: what is built, what is counted, and what is refused."""

import random

import numpy as np
import pytest

from models.cnn import BATCH_NORM_PLACES, CnnConfig, block_filters, build_cnn, cnn_layers
from models.head import Findings
from models.layers import total_count


def counted(model):
    """(total, trainable) parameters of a built model."""
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return model.count_params(), trainable


def answers(model, images):
    """The model's output as an array, without the seconds that predict() takes to compile."""
    return np.asarray(model(images))


def random_config(draw: random.Random) -> CnnConfig:
    places = [place for place in BATCH_NORM_PLACES if draw.random() < 0.5]
    return CnnConfig(
        layers=draw.randint(1, 3),
        filters=draw.randint(2, 6),
        growth=draw.choice([0.7, 1.0, 1.5, 2.0]),
        kernel=draw.randint(1, 4),
        padding=draw.choice(["valid", "same"]),
        normalize=draw.random() < 0.5,
        batch_norm="+".join(places) or "none",
        pooling=draw.choice(["flatten", "average"]),
        dense=draw.choice([(), (3,), (5, 2)]),
        dropout=draw.choice([0.0, 0.3]),
    )


@pytest.fixture(scope="module")
def images():
    """Four random grey images, float32 (4, 34, 31, 1) in [0, 1]."""
    return np.random.default_rng(0).random((4, 34, 31, 1), dtype=np.float32)


@pytest.mark.parametrize("draw", range(15))
def test_the_arithmetic_counts_what_keras_counts(draw):
    config, classes = random_config(random.Random(draw)), 2 + draw % 3
    count = total_count(cnn_layers(config, (34, 31, 1 + draw % 2), classes))
    model = build_cnn(config, (34, 31, 1 + draw % 2), classes)
    assert counted(model) == (count.total, count.trainable)


def test_filters_grow_from_block_to_block():
    assert block_filters(CnnConfig(layers=4, filters=8, growth=1.5)) == (8, 12, 18, 27)


def test_two_classes_end_in_one_sigmoid_and_more_in_a_softmax(images):
    two = answers(build_cnn(CnnConfig(), (34, 31, 1), 2), images)
    three = answers(build_cnn(CnnConfig(), (34, 31, 1), 3), images)
    assert two.shape == (4, 1)
    assert np.all((two > 0) & (two < 1))
    assert three.shape == (4, 3)
    np.testing.assert_allclose(three.sum(axis=1), 1, rtol=1e-5)


def test_the_seed_fixes_the_weights_and_the_dropout(images):
    config = CnnConfig(layers=2, kernel=1, growth=1.0, filters=1, dense=(8, 8, 8), dropout=0.5)
    first, again, other = (build_cnn(config, (34, 31, 1), 2, seed=seed) for seed in (1, 1, 2))
    for one, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(first(images, training=True), again(images, training=True))
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    square = [weight for weight in first.get_weights() if weight.shape == (8, 8)]
    assert len(square) == 2
    assert not np.array_equal(*square)


def test_building_leaves_the_process_random_state_alone():
    random.seed(3)
    np.random.seed(3)
    expected = random.Random(3).random(), np.random.RandomState(3).random()
    build_cnn(CnnConfig(dropout=0.5), (16, 16, 1), 2)
    assert (random.random(), np.random.random()) == expected


def test_normalize_makes_brightness_and_contrast_of_an_image_irrelevant(images):
    model = build_cnn(CnnConfig(normalize=True), (34, 31, 1), 2)
    plain, faded = answers(model, images), answers(model, 0.3 * images + 0.4)
    np.testing.assert_allclose(plain, faded, atol=1e-3)
    standardized = model.layers[1](images)
    np.testing.assert_allclose(np.std(standardized, axis=(1, 2, 3)), 1, atol=1e-3)
    assert np.all(np.isfinite(answers(model, np.zeros_like(images))))


def test_batch_norm_stands_where_it_is_asked_for():
    def kinds(batch_norm, dense):
        config = CnnConfig(batch_norm=batch_norm, dense=dense, dropout=0.1)
        return [type(layer).__name__ for layer in build_cnn(config, (8, 8, 1), 2).layers[1:]]

    norm, end = "BatchNormalization", ["Dropout", "Dense"]
    assert kinds("conv", ()) == ["Conv2D", norm, "MaxPooling2D", "Flatten", *end]
    assert kinds("block", ()) == ["Conv2D", "MaxPooling2D", norm, "Flatten", *end]
    assert kinds("flatten", (3,)) == ["Conv2D", "MaxPooling2D", "Flatten", norm, "Dense", *end]
    assert kinds("classifier", (3,)) == ["Conv2D", "MaxPooling2D", "Flatten", "Dense", norm, *end]
    assert kinds("classifier", ()) == kinds("flatten", ()) == kinds("flatten+classifier", ())


# Keras 3.15 converts its variables in a way that numpy 2 warns of when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_model_predicts_the_same(images, tmp_path):
    import keras

    config = CnnConfig(normalize=True, batch_norm="conv+classifier", dense=(4,), dropout=0.2)
    model = build_cnn(config, (34, 31, 1), 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(answers(model, images), answers(loaded, images))


def test_mixed_precision_still_gives_float32_probabilities(images):
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_cnn(CnnConfig(normalize=True, dense=(4,)), (34, 31, 1), 3)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.layers[2].compute_dtype == "bfloat16"
    assert answers(model, images).dtype == np.float32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": 0}, "layers must be a whole number"),
        ({"filters": 2.5}, "filters must be a whole number"),
        ({"kernel": True}, "kernel must be a whole number"),
        ({"growth": 0.0}, "at least one filter"),
        ({"growth": 0.1, "layers": 3}, "at least one filter"),
        ({"growth": "2"}, "growth must be a number"),
        ({"padding": "sam"}, "Did you mean same"),
        ({"pooling": "max"}, "flatten, average"),
        ({"normalize": "yes"}, "normalize must be true or false"),
        ({"batch_norm": "conv+conv"}, "each once"),
        ({"batch_norm": "dense"}, "conv, block, flatten, classifier"),
        ({"dense": [8]}, "dense must be a tuple"),
        ({"dense": (8, 0)}, "dense must be a tuple"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CnnConfig(**values)


def test_blocks_that_leave_nothing_of_the_image_are_refused_before_building():
    config = CnnConfig(layers=4)
    for make in (cnn_layers, build_cnn):
        with pytest.raises(ValueError, match=r"28 x 28 images, of which block 4 leaves nothing"):
            make(config, (28, 28, 1), 2)
    assert cnn_layers(CnnConfig(layers=4, padding="same"), (28, 28, 1), 2)


def test_one_class_or_a_flat_image_is_refused():
    with pytest.raises(ValueError, match="at least 2 classes"):
        cnn_layers(CnnConfig(), (28, 28, 1), 1)
    with pytest.raises(ValueError, match="height, width, channels"):
        cnn_layers(CnnConfig(), (28, 28), 2)


@pytest.mark.parametrize("count", [2, 3])
def test_findings_end_in_a_sigmoid_each(images, count):
    model = build_cnn(CnnConfig(filters=2), (34, 31, 1), Findings(count))
    p = answers(model, images)
    assert p.shape == (4, count)
    assert model.layers[-1].activation.__name__ == "sigmoid"
    expected = total_count(cnn_layers(CnnConfig(filters=2), (34, 31, 1), Findings(count)))
    assert counted(model) == (expected.total, expected.trainable)


def test_one_finding_is_refused():
    with pytest.raises(ValueError, match=r"at least 2 classes\. Received: 1"):
        Findings(1)
