"""The one door: names and plain parameters in, configurations, counts and models out."""

import subprocess
import sys

import numpy as np
import pytest

from models.backbones import BACKBONES, find_backbone
from models.cnn import CnnConfig
from models.registry import (
    FAMILIES,
    build_model,
    build_trainable_part,
    count_parameters,
    feature_cut,
    layer_table,
    model_config,
    model_parameters,
    model_values,
)
from models.transfer import TransferConfig


def test_every_name_has_a_family():
    assert {name: family.config for name, family in FAMILIES.items()} == {"cnn": CnnConfig} | dict.fromkeys(
        BACKBONES, TransferConfig
    )
    assert all(family.pretrained == (name in BACKBONES) for name, family in FAMILIES.items())


@pytest.mark.parametrize("backbone", FAMILIES)
def test_a_configuration_knows_its_name_and_gives_its_values_back(backbone):
    config = model_config(backbone, {"dense": [16, 8]})
    assert config.backbone == backbone
    values = model_values(config)
    assert tuple(values) == ("backbone", *model_parameters(backbone))
    assert values["dense"] == [16, 8]
    assert model_config(values.pop("backbone"), values) == config


def test_parameters_become_a_hashable_configuration():
    cnn = model_config("cnn", {"layers": 2, "dense": [16, 8]})
    assert cnn == CnnConfig(layers=2, dense=(16, 8))
    vgg = model_config("vgg16", {"frozen": "block4_pool", "dense": []})
    assert vgg == TransferConfig("vgg16", frozen="block4_pool", dense=())
    assert len({cnn, vgg}) == 2


def test_the_parameters_of_a_family_are_its_fields():
    assert "kernel" in model_parameters("cnn")
    assert model_parameters("resnet50") == ("pooling", "dense", "dropout", "frozen")


def test_unknown_names_offer_the_nearest():
    with pytest.raises(ValueError, match="Did you mean resnet50"):
        model_config("resnet-50", {})
    with pytest.raises(ValueError, match=r"'filtres'\. Did you mean filters"):
        model_config("cnn", {"filtres": 8})
    with pytest.raises(ValueError, match=r"A parameter of vgg16.*'kernel'.*Valid: pooling, dense, dropout, frozen"):
        model_config("vgg16", {"kernel": 3})
    with pytest.raises(ValueError, match="'backbone'"):
        model_config("vgg16", {"backbone": "resnet50"})


def test_build_and_count_serve_both_families():
    for config in (CnnConfig(), TransferConfig("vgg16", dense=(2,))):
        model = build_model(config, (32, 32, 1), 2, seed=1)
        assert count_parameters(config, (32, 32, 1), 2).total == model.count_params()


def test_a_cnn_takes_no_backbone_weights():
    for build in (build_model, build_trainable_part):
        with pytest.raises(ValueError, match=r"weights must be None for cnn.*Received: 1 arrays"):
            build(CnnConfig(), (32, 32, 1), 2, weights=[np.zeros(1)])


@pytest.mark.parametrize(
    "config",
    [
        CnnConfig(2, 4, normalize=True, batch_norm="conv+block+flatten+classifier", dense=(6, 3), dropout=0.25),
        CnnConfig(2, 4, pooling="average"),
    ],
)
def test_the_layers_of_a_cnn_are_those_that_keras_builds(config):
    model = build_model(config, (33, 30, 1), 3)
    built = [(tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    listed = [(layer.shape, layer.count.total) for layer in layer_table(config, (33, 30, 1), 3)]
    assert listed == built


def test_the_layers_of_a_transfer_model_hold_its_backbone_as_one():
    table = layer_table(TransferConfig("vgg16", pooling="flatten", dense=(4,), dropout=0.5), (70, 97, 1), 2)
    assert [(layer.name, layer.shape, layer.count.total) for layer in table] == [
        ("input", (70, 97, 1), 0),
        ("vgg16", (2, 3, 512), find_backbone("vgg16").parameters),
        ("flatten", (3072,), 0),
        ("dense 4", (4,), 3073 * 4),
        ("dropout 0.5", (4,), 0),
        ("sigmoid", (1,), 5),
    ]


def test_only_frozen_parts_have_a_cut():
    cuts = [feature_cut(TransferConfig("vgg16", frozen=frozen)) for frozen in ("all", "none", "block4_pool")]
    assert cuts == ["all, average", None, "block4_pool"]
    assert feature_cut(CnnConfig()) is None


def test_the_trainable_part_of_a_model_with_nothing_frozen_is_the_model():
    config = CnnConfig(filters=2)
    part, model = (build(config, (16, 16, 1), 2, seed=3) for build in (build_trainable_part, build_model))
    assert all(np.array_equal(*pair) for pair in zip(part.get_weights(), model.get_weights(), strict=True))


def test_configurations_and_counts_need_no_tensorflow():
    code = (
        "import sys; from models.registry import PUBLISHED, count_parameters as count\n"
        "assert sum(count(row.config, (224, 224, 1), row.classes).total for row in PUBLISHED.values()) > 0\n"
        "print(sorted({'keras', 'tensorflow', 'ray', 'pandas'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
