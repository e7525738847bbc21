"""Floating-point operations that training must do, by arithmetic: what no implementation can do without.

A multiplication and an addition count as two. Only convolutions and dense layers are counted; they are nearly all.
"""

from itertools import pairwise

from models.checks import ImageShape
from models.cnn import CnnConfig, block_shapes, flat_features
from models.head import output_units

# Backward computes the gradient of the inputs and of the weights: twice the work of forward.
# Source: Kaplan et al. 2020, section 2.1.
TRAINING = 3
_VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # Simonyan and Zisserman 2015, table 1, D
VGG16_FEATURES = 512  # of an image, averaged over the last maps


def cnn_flops(config: CnnConfig, input_shape: ImageShape, classes: int) -> int:
    """Operations of one image's way forward through a CNN."""
    total, channels = 0, input_shape[2]
    for block in block_shapes(config, input_shape):
        height, width, filters = block.convolved
        total += 2 * height * width * config.kernel**2 * channels * filters
        channels = filters
    return total + head_flops(flat_features(config, input_shape), config.dense, classes)


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
