"""The one door: names and plain parameters in, configurations, counts and models out."""

import subprocess
import sys

import numpy as np
import pytest

from models.backbones import BACKBONES
from models.cnn import CnnConfig
from models.registry import BUILDERS, build_model, count_parameters, model_config, model_parameters
from models.transfer import TransferConfig


def test_every_backbone_has_a_family():
    assert dict(BUILDERS) == {"cnn": "cnn"} | dict.fromkeys(BACKBONES, "transfer")


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
    with pytest.raises(ValueError, match=r"a CNN has none. Received: 1 arrays"):
        build_model(CnnConfig(), (32, 32, 1), 2, weights=[np.zeros(1)])


def test_configurations_and_counts_need_no_tensorflow():
    code = (
        "import sys; from models.registry import PUBLISHED, count_parameters as count\n"
        "assert sum(count(row.config, (224, 224, 1), row.classes).total for row in PUBLISHED.values()) > 0\n"
        "print(sorted({'keras', 'tensorflow', 'ray', 'pandas'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
