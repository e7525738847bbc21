"""Measures the memory that a trial of one configuration takes, before the search decides how many share a GPU."""

import resource
from typing import Any

import numpy as np

from data_pipeline.share import TrainingData
from search.trial.features import build_extractor
from search.trial.feed import Inputs, image_inputs
from search.trial.process import has_gpu, prepare_process
from search.trial.training import TrialConfig, TrialModel


def measure_peak(config: TrialConfig, shape: tuple[int, int, int], classes: int, features: bool) -> float:
    """Peak memory in MB of a trial of this configuration, measured on an epoch of noise in this process.

    Args:
        config: of the largest model.
        shape: of an image, (H, W, C).
        classes: of the data set.
        features: whether its frozen part runs once for all trials.

    Returns:
        The peak of GPU memory; without a GPU, the peak of this process' main memory.
    """
    import tensorflow as tf

    prepare_process(1)
    count = 2 * config.train.batch_size
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    labels, rows = np.arange(count) % classes, np.arange(count)
    data = TrainingData(images, labels, rows, rows, tuple(map(str, range(classes))), "noise")
    inputs = image_inputs(data)
    if features:
        outputs: Any = build_extractor(config, shape, None)(images)
        inputs = Inputs((outputs,), rows, outputs)
    TrialModel(config, data, inputs).run_epoch()
    if has_gpu():
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
