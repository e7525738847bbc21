"""Operations by arithmetic, against the layers of the built models."""

from typing import Any

import pytest

from benchmarks.flops import VGG16_FEATURES, cnn_flops, head_flops, vgg16_flops
from models.backbones import build_backbone
from models.cnn import CnnConfig, build_cnn


def operations(model: Any) -> int:
    """Two for each weight of a kernel at each place that it is applied to."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = layer.output.shape[1:-1]
            total += 2 * layer.kernel.shape.num_elements() * (places[0] * places[1] if places else 1)
    return total


@pytest.mark.parametrize(
    "config",
    [
        CnnConfig(),
        CnnConfig(2, 4, kernel=4, dense=(16, 8), dropout=0.1),
        CnnConfig(3, 4, padding="same", pooling="average", batch_norm="conv"),
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_cnn(config: CnnConfig, classes: int) -> None:
    assert cnn_flops(config, (33, 47, 1), classes) == operations(build_cnn(config, (33, 47, 1), classes))


def test_vgg16() -> None:
    backbone = build_backbone("vgg16", (64, 64, 3))
    assert vgg16_flops(64) == operations(backbone)
    assert backbone.output.shape[-1] == VGG16_FEATURES


def test_a_head() -> None:
    assert head_flops(512, (64,), 2) == 2 * (512 * 64 + 64)
    assert head_flops(512, (), 3) == 2 * 512 * 3
