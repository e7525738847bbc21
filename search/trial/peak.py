"""Measures the memory that a trial of one configuration takes, before the search decides how many share a GPU."""

import resource
from typing import Any

import numpy as np

from data_pipeline.share import TrainingData
from models.registry import Classes, Findings
from search.trial.features import build_extractor
from search.trial.feed import Inputs, image_inputs
from search.trial.process import has_gpu, out_of_memory, prepare_process
from search.trial.training import TrialConfig, TrialModel


def measure_peak(config: TrialConfig, shape: tuple[int, int, int], classes: Classes, features: bool) -> float:
    """Peak memory in MB of a trial of this configuration, measured on an epoch of noise in this process.

    Args:
        config: of the largest model.
        shape: of an image, (H, W, C).
        classes: their number in the data set, or findings.
        features: whether its frozen part runs once for all trials.

    Returns:
        The peak of GPU memory; without a GPU, the peak of this process' main memory.

    Raises:
        MemoryError: such a trial does not fit.
    """
    import tensorflow as tf

    prepare_process(1, config.train.deterministic)
    count = 2 * config.train.batch_size
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    number = classes.count if isinstance(classes, Findings) else classes
    labels, rows = np.arange(count) % number, np.arange(count)
    if isinstance(classes, Findings):
        labels = np.eye(number, dtype=np.int64)[labels]
    data = TrainingData(images, labels, rows, rows, tuple(map(str, range(number))), "noise")
    try:
        _train_an_epoch(config, data, features)
    except Exception as error:
        if reason := out_of_memory(error):
            raise MemoryError(reason) from None
        raise
    if has_gpu():
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _train_an_epoch(config: TrialConfig, data: TrainingData, features: bool) -> None:
    inputs = image_inputs(data)
    if features:
        outputs: Any = build_extractor(config, data.images.shape[1:], None)(data.images[data.train])
        inputs = Inputs((outputs,), data.train, outputs)
    TrialModel(config, data, inputs).run_epoch()
