"""Backbones with a head: freezing, sharing, greyscale, saving. MobileNetV2 stands in, for its size."""

import numpy as np
import pytest

from models.backbones import BACKBONES, Backbone, WeightsError, build_backbone
from models.head import layer_seeds
from models.layers import total_count
from models.parts import frozen_part, trainable_part
from models.registry import built_feature_numbers, feature_numbers
from models.transfer import (
    TransferConfig,
    build_transfer,
    build_transfer_trainable,
    check_cut,
    transfer_cut,
    transfer_layers,
)

SHAPE = (40, 33, 1)
CUT = "block_16_expand_relu"


@pytest.fixture(scope="module")
def images():
    """Four random grey images, float32 (4, 40, 33, 1) in [0, 1]."""
    return np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("mobilenetv2", (64, 64, 3))


@pytest.fixture(scope="module")
def weights(backbone):
    """Random weights that keep the signal alive to the last layer; Keras' own would let it fade to 1e-8."""
    draw = np.random.default_rng(2)

    def fill(weight):
        if weight.name != "kernel":
            return np.full(weight.shape, weight.name in ("gamma", "moving_variance"), np.float32)
        inputs = np.prod(weight.shape[:2] if weight.shape[-1] == 1 else weight.shape[:3])
        return draw.normal(0, np.sqrt(2 / inputs), weight.shape).astype(np.float32)

    return [fill(weight) for weight in backbone.weights]


@pytest.fixture(scope="module", params=["all", "none", CUT])
def model(request, weights):
    config = TransferConfig("mobilenetv2", dropout=0.3, frozen=request.param)
    return build_transfer(config, SHAPE, 3, weights)


def run(model, images, training=False):
    """The model's output as a float32 array, without the seconds that predict() takes to compile."""
    import keras

    return keras.ops.convert_to_numpy(keras.ops.cast(model(images, training=training), "float32"))


def counted(model):
    """(total, trainable) parameters of a built model."""
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return model.count_params(), trainable


def names(model):
    return [layer.name for layer in model.layers[1:]]


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("all", ["prepare", "frozen", "pooling", "head"]),
        ("none", ["prepare", "thawed", "pooling", "head"]),
        (CUT, ["prepare", "frozen", "thawed", "pooling", "head"]),
    ],
    indirect=["model"],
)
def test_the_chain_leaves_out_the_empty_part(model, parts):
    assert names(model) == parts


def test_the_two_parts_together_are_the_model(model, images):
    fixed, trained = frozen_part(model), trainable_part(model)
    features = images if fixed is None else run(fixed, images)
    expected = run(model, images)
    assert expected.shape == (4, 3)
    assert np.ptp(expected, axis=0).max() > 0.01  # images that all look alike would prove nothing
    np.testing.assert_allclose(run(trained, features), expected, rtol=1e-4)
    assert {id(weight) for weight in trained.trainable_weights} == {id(w) for w in model.trainable_weights}
    assert (fixed is None) == (trained is model)
    if fixed is not None:
        assert fixed.trainable_weights == []


# Keras 3.15 converts its variables in a way that numpy 2 warns of when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_model_predicts_freezes_and_splits_the_same(model, images, tmp_path):
    import keras

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(run(loaded, images), run(model, images), rtol=1e-5)
    assert names(loaded) == names(model)
    assert counted(loaded) == counted(model)
    assert names(trainable_part(loaded)) == names(trainable_part(model))


def test_training_moves_the_trainable_part_only(weights, images):
    model = build_transfer(TransferConfig("mobilenetv2", frozen=CUT, dense=(4,)), SHAPE, 2, weights)
    frozen, thawed = model.get_layer("frozen"), model.get_layer("thawed")
    held, moving, features = frozen.get_weights(), thawed.get_weights(), run(frozen_part(model), images)
    model.compile("sgd", "binary_crossentropy", jit_compile=False)  # as a search on CPUs
    model.fit(images, np.array([0.0, 1.0, 0.0, 1.0]), epochs=1, verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(held, frozen.get_weights(), strict=True))
    assert not any(np.array_equal(*pair) for pair in zip(moving, thawed.get_weights(), strict=True))
    np.testing.assert_array_equal(run(frozen_part(model), images, training=True), features)


@pytest.mark.parametrize("model", ["all"], indirect=True)
def test_a_wholly_frozen_backbone_hands_over_pooled_features(model):
    assert frozen_part(model).output_shape == trainable_part(model).input_shape == (None, 1280)


@pytest.mark.parametrize(
    ("pooling", "dense", "frozen"),
    [("average", (), "all"), ("flatten", (7, 5), "all"), ("flatten", (3,), "none")],
)
def test_the_arithmetic_counts_what_keras_counts(pooling, dense, frozen, weights):
    config = TransferConfig("mobilenetv2", pooling, dense, 0.2, frozen)
    count = total_count(transfer_layers(config, (75, 97, 1), 3))
    assert counted(build_transfer(config, (75, 97, 1), 3, weights)) == (count.total, count.trainable)


def test_the_count_of_a_named_cut_knows_the_total_only(model):
    count = total_count(transfer_layers(TransferConfig("mobilenetv2", frozen=CUT), SHAPE, 3))
    assert count.trainable is None
    assert count.total == model.count_params()


@pytest.mark.parametrize("module", ["vgg16", "resnet_v2", "densenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_reach_the_backbone_as_its_own_preprocessing_makes_them(module, channels, monkeypatch):
    import keras

    def build_tiny(include_top, weights, input_shape):
        image = keras.Input(input_shape)
        return keras.Model(image, keras.layers.Conv2D(4, 32)(image))

    origin = getattr(keras.applications, module)
    monkeypatch.setattr(keras.applications, "Tiny", build_tiny, raising=False)
    monkeypatch.setitem(BACKBONES, "tiny", Backbone(module, "Tiny", 12_292, 0, 4, "none"))
    model = build_transfer(TransferConfig("tiny"), (32, 32, channels), 2)
    pictures = np.random.default_rng(1).random((2, 32, 32, channels), dtype=np.float32)
    colour = np.repeat(pictures, 3, axis=-1) if channels == 1 else pictures
    prepared = run(model.get_layer("prepare"), pictures)
    np.testing.assert_allclose(prepared, origin.preprocess_input(colour * 255), rtol=1e-5, atol=1e-4)


def test_a_frozen_backbone_drops_nothing_during_training(monkeypatch):
    import keras

    def build_dropping(include_top, weights, input_shape):
        image = keras.Input(input_shape)
        return keras.Model(image, keras.layers.Dropout(0.5)(keras.layers.Conv2D(4, 32)(image)))

    monkeypatch.setattr(keras.applications, "Dropping", build_dropping, raising=False)
    monkeypatch.setitem(BACKBONES, "dropping", Backbone("vgg16", "Dropping", 12_292, 0, 4, "none"))
    pictures = np.random.default_rng(1).random((8, 32, 32, 3), dtype=np.float32)
    frozen, thawed = (
        build_transfer(TransferConfig("dropping", frozen=each), (32, 32, 3), 2) for each in ("all", "none")
    )
    np.testing.assert_array_equal(run(frozen, pictures, training=True), run(frozen, pictures))
    assert not np.array_equal(run(thawed, pictures, training=True), run(thawed, pictures))


def test_the_seed_fixes_backbone_and_head():
    config = TransferConfig("mobilenetv2", dense=(4,))
    first, again, other = (build_transfer(config, SHAPE, 2, seed=seed) for seed in (1, 1, 2))
    for one, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    kernels = [w for w in zip(first.get_weights(), other.get_weights(), strict=True) if w[0].ndim > 1]
    assert len(kernels) == 54  # 52 convolutions of the backbone, 2 dense layers
    assert not any(np.array_equal(*pair) for pair in kernels)


def test_the_weights_of_a_seed_stay_those_of_earlier_runs(monkeypatch):
    """Each layer takes its seed in the order in which Keras clones: also side by side, and in a model in the model."""
    import keras

    def build_branched(include_top, weights, input_shape):
        image = keras.Input(input_shape)
        x = keras.layers.Conv2D(4, 8, strides=8, name="first")(image)
        wide = keras.Sequential([keras.layers.Conv2D(5, 1), keras.layers.DepthwiseConv2D(2)], name="within")(x)
        narrow = keras.layers.Conv2D(5, 2, name="beside")(x)
        return keras.Model(image, keras.layers.BatchNormalization()(keras.layers.Add()([narrow, wide])))

    def reseed(layer):
        config = layer.get_config()
        for name, value in config.items():
            if name.endswith("_initializer") and value and "seed" in value["config"]:
                value["config"]["seed"] = next(seeds)
        return type(layer).from_config(config)

    monkeypatch.setattr(keras.applications, "Branched", build_branched, raising=False)
    monkeypatch.setitem(BACKBONES, "branched", Backbone("vgg16", "Branched", 0, 0, 5, "none"))
    seeds = layer_seeds(next(layer_seeds(3)))  # the backbone takes the first of the model's
    cloned = keras.models.clone_model(
        build_branched(False, None, (32, 32, 3)), clone_function=reseed, recursive=True
    ).get_weights()
    held = build_transfer(TransferConfig("branched"), (32, 32, 3), 2, seed=3).get_layer("frozen").get_weights()
    assert len(held) == 12
    assert all(np.array_equal(*pair) for pair in zip(held, cloned, strict=True))


@pytest.mark.parametrize("name", ["mobilenetv3large", "densenet121", "efficientnetv2b0", "convnexttiny"])
# Keras 3.15 converts its variables in a way that numpy 2 warns of when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_an_entry_is_all_that_a_backbone_takes(name, tmp_path):
    """Grey images, a cut, seeded weights, both parts and a saved file need no code of its own."""
    import keras

    config = TransferConfig(name, dense=(), frozen="early")
    model, again = (build_transfer(config, (64, 64, 1), 2, seed=1) for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), again.get_weights(), strict=True))
    pictures = np.random.default_rng(1).random((2, 64, 64, 1), dtype=np.float32)
    expected = run(model, pictures)
    features = run(frozen_part(model), pictures)
    np.testing.assert_allclose(run(trainable_part(model), features), expected, rtol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(run(loaded, pictures), expected, rtol=1e-5)


def test_early_shares_the_features_of_the_layer_it_stands_for(backbone):
    early, named = (TransferConfig("mobilenetv2", frozen=each) for each in ("early", "block_12_add"))
    assert transfer_cut(early) == transfer_cut(named) == "block_12_add"
    check_cut(backbone, early)


@pytest.mark.parametrize("model", ["all"], indirect=True)
def test_given_weights_are_the_backbones_and_misfits_are_refused(model, weights):
    held = model.get_layer("frozen").get_weights()
    assert all(np.array_equal(*pair) for pair in zip(held, weights, strict=True))
    with pytest.raises(WeightsError, match=r"Received: 259 arrays.*load_backbone_weights"):
        build_transfer(TransferConfig("mobilenetv2"), SHAPE, 2, weights[:-1])


def test_mixed_precision_still_gives_float32_probabilities(weights, images):
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_transfer(TransferConfig("mobilenetv2"), SHAPE, 3, weights)
        halves = run(trainable_part(model), run(frozen_part(model), images))
    finally:
        keras.config.set_dtype_policy(policy)
    whole = run(model, images)
    assert model(images).dtype == "float32"
    assert model.get_layer("prepare").output.dtype == "float32"
    np.testing.assert_allclose(whole, halves, atol=2e-2)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        ("block_13_expand_rel", "Did you mean block_13_expand_relu"),
        ("zzz", "Did you mean"),
        ("block_14_project", r"no connection jumps over.*block_13_project_BN"),
        ("out_relu", "the whole backbone is 'all'"),
    ],
)
def test_an_impossible_cut_names_the_nearest_possible_one(frozen, message, backbone):
    with pytest.raises(ValueError, match=message):
        check_cut(backbone, TransferConfig("mobilenetv2", frozen=frozen))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "vgg61"}, "Did you mean vgg16"),
        ({"pooling": "max"}, "average, flatten"),
        ({"dense": 128}, "dense must be a tuple"),
        ({"dropout": -0.1}, "dropout must be in"),
        ({"frozen": True}, "frozen must be 'all', 'early', 'none' or"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TransferConfig(**{"backbone": "vgg16"} | values)


@pytest.mark.parametrize("shape", [(31, 40, 1), (40, 40, 2)])
def test_images_no_backbone_takes_are_refused_before_building(shape):
    for make in (transfer_layers, build_transfer, build_transfer_trainable):
        with pytest.raises(ValueError, match="at least 32 x 32 pixels, 1 or 3 channels"):
            make(TransferConfig("vgg16"), shape, 2)


@pytest.mark.parametrize(
    ("frozen", "pooling", "numbers"),
    [
        ("all", "average", 1280),
        ("all", "flatten", 2 * 2 * 1280),
        (CUT, "average", 2 * 2 * 960),
        ("none", "average", None),
    ],
)
def test_how_much_leaves_the_frozen_part_is_known_before_it_is_computed(
    frozen: str, pooling: str, numbers: int | None
) -> None:
    config = TransferConfig("mobilenetv2", pooling=pooling, frozen=frozen)
    assert feature_numbers(config, SHAPE) == (numbers if frozen == "all" else None)
    if numbers is None:
        with pytest.raises(ValueError, match="Features need a frozen part"):
            built_feature_numbers(config, SHAPE)
    else:
        assert built_feature_numbers(config, SHAPE) == numbers
