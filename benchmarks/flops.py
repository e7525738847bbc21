"""Floating-point operations that training must do, by arithmetic: what no implementation can do without.

A multiplication and an addition count as two. Only convolutions and dense layers are counted; they are nearly all.
"""

from itertools import pairwise

from models.checks import ImageShape
from models.cnn import CnnConfig, block_filters, feature_sides
from models.head import output_units

# Backward computes the gradient of the inputs and of the weights: twice the work of forward.
# Source: Kaplan et al. 2020, section 2.1.
TRAINING = 3
_VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # Simonyan and Zisserman 2015, table 1, D
VGG16_FEATURES = 512  # of an image, averaged over the last maps


def cnn_flops(config: CnnConfig, input_shape: ImageShape, classes: int) -> int:
    """Operations of one image's way forward through a CNN."""
    height, width, channels = input_shape
    lost = config.kernel - 1 if config.padding == "valid" else 0
    total = 0
    for before, after in pairwise((channels, *block_filters(config))):
        height, width = height - lost, width - lost
        total += 2 * height * width * config.kernel**2 * before * after
        height, width = height // 2, width // 2
    rows, columns, last = feature_sides(config, input_shape)
    features = last if config.pooling == "average" else rows * columns * last
    return total + head_flops(features, config.dense, classes)


def head_flops(features: int, dense: tuple[int, ...], classes: int) -> int:
    """Operations of one image's features on their way through a dense head."""
    return sum(2 * before * after for before, after in pairwise((features, *dense, output_units(classes))))


def vgg16_flops(side: int) -> int:
    """Operations of one square image's way forward through VGG16 without its top."""
    total, channels = 0, 3
    for layers, filters in _VGG16_BLOCKS:
        for _ in range(layers):
            total += 2 * side**2 * 9 * channels * filters
            channels = filters
        side //= 2
    return total
