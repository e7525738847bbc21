"""Backbones: their numbers against Keras, and where weights come from. No test leaves the machine."""

import numpy as np
import pytest

from models.backbones import (
    BACKBONES,
    Backbone,
    WeightsError,
    build_backbone,
    find_backbone,
    load_backbone_weights,
    weights_hash,
)
from models.transfer import possible_cuts

# Keras 3.15 converts its variables in a way that numpy 2 warns of when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KERAS_DOWNLOAD = "keras.src.utils.file_utils.get_file"


@pytest.fixture(scope="module")
def small():
    return build_backbone("mobilenetv2", (32, 32, 3))


@pytest.fixture(scope="module")
def built(request):
    """A name of BACKBONES and its model, for images of any size unless its padding depends on the size built for."""
    size = (75, 97) if request.param.startswith("mobilenet") else (None, None)
    return request.param, build_backbone(request.param, (*size, 3))


# The published rows build the other backbones whole: tests/models/test_published.py.
@pytest.mark.parametrize("built", sorted(BACKBONES.keys() - {"resnet50", "resnet101", "resnet152v2"}), indirect=True)
def test_the_numbers_of_a_backbone_are_those_of_the_built_one(built):
    name, model = built
    backbone = find_backbone(name)
    assert model.count_params() == backbone.parameters
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == backbone.statistics
    shape = model.compute_output_shape((None, 75, 97, 3))[1:]
    assert shape == (backbone.last_side(75), backbone.last_side(97), backbone.features)
    assert backbone.cut in possible_cuts(model)


@pytest.mark.parametrize(
    "built", ["vgg16", "resnet50", "resnet50v2", "densenet121", "efficientnetv2b0", "convnexttiny"], indirect=True
)
def test_the_last_maps_of_every_size_are_those_of_keras(built):
    name, model = built
    backbone = find_backbone(name)
    for height, width in zip(range(32, 82), range(82, 132), strict=True):
        shape = model.compute_output_shape((1, height, width, 3))
        assert shape[1:3] == (backbone.last_side(height), backbone.last_side(width))


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv3large"])  # their padding depends on the size built for
@pytest.mark.parametrize("size", [(33, 34), (64, 63), (100, 131)])
def test_the_last_maps_of_a_mobilenet_are_those_of_keras(name, size):
    backbone = find_backbone(name)
    shape = build_backbone(name, (*size, 3)).output_shape[1:3]
    assert shape == (backbone.last_side(size[0]), backbone.last_side(size[1]))


def test_a_constructor_need_not_live_in_the_module_of_its_preprocessing(monkeypatch):
    entry = Backbone("mobilenet_v3", "MobileNetV3Small", 939_120, 12_576, 576, "expanded_conv_7_add")
    monkeypatch.setitem(BACKBONES, "mobilenetv3small", entry)
    model = build_backbone("mobilenetv3small", (75, 97, 3))
    assert model.count_params() == entry.parameters
    assert model.output_shape[1:] == (entry.last_side(75), entry.last_side(97), entry.features)


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean resnet50"):
        load_backbone_weights("resnet5O", "none")


def test_none_means_no_weights():
    assert load_backbone_weights("vgg16", "none") is None


def test_a_file_gives_the_arrays_that_it_holds(small, tmp_path):
    file = tmp_path / "small.weights.h5"
    small.save_weights(file)
    arrays = load_backbone_weights("mobilenetv2", str(file))
    assert all(np.array_equal(*pair) for pair in zip(arrays, small.get_weights(), strict=True))


def test_a_missing_or_foreign_or_broken_file_is_refused(small, tmp_path):
    foreign, broken = tmp_path / "foreign.weights.h5", tmp_path / "broken.weights.h5"
    small.save_weights(foreign)
    broken.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match="there is no file"):
        load_backbone_weights("mobilenetv2", str(tmp_path / "missing.weights.h5"))
    with pytest.raises(WeightsError, match=r"weights of VGG16 without its top.*foreign\.weights\.h5"):
        load_backbone_weights("vgg16", str(foreign))
    with pytest.raises(WeightsError, match=r"broken\.weights\.h5, which Keras refuses"):
        load_backbone_weights("mobilenetv2", str(broken))


def test_imagenet_weights_come_through_keras_download(small, tmp_path, monkeypatch):
    import keras

    (tmp_path / "origin").mkdir()
    small.save_weights(tmp_path / "origin" / "small.weights.h5")

    def get_local(fname, origin, **options):
        stand_in = (tmp_path / "origin" / "small.weights.h5").as_uri()
        return keras.utils.get_file(f"{fname}.weights.h5", stand_in, cache_dir=tmp_path)

    monkeypatch.setattr(KERAS_DOWNLOAD, get_local)
    arrays = load_backbone_weights("mobilenetv2", "imagenet")
    assert weights_hash(arrays) == weights_hash(small.get_weights())


def test_a_failed_download_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    import keras

    def get_from_closed_port(fname, origin, **options):
        return keras.utils.get_file(fname, f"http://127.0.0.1:9/{fname}", cache_dir=tmp_path / "cache")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(KERAS_DOWNLOAD, get_from_closed_port)
    with pytest.raises(WeightsError) as failure:
        load_backbone_weights("vgg16", "imagenet")
    message = str(failure.value)
    assert "http://127.0.0.1:9/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in message
    assert str(tmp_path / "keras" / "models") in message
    assert "weights=FILE" in message


def test_the_hash_sees_values_shapes_and_types():
    array = np.arange(6, dtype=np.float32)
    different = [array, array + 1, array.reshape(2, 3), array.astype(np.float64), array[::-1]]
    assert len({weights_hash([one]) for one in different}) == len(different)
    assert weights_hash([array]) == weights_hash([array.copy()])
    assert weights_hash([array, array]) != weights_hash([array])
    assert len(weights_hash([])) == 64
