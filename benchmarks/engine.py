"""Training steps of small CNNs on one thread: our fused layers beside Keras' own, and beside the arithmetic's limit.

`python -m benchmarks.engine`; three minutes a repeat. Images are random: a step costs the same whatever they show.
"""

import time
from dataclasses import dataclass
from typing import Any

from benchmarks import harness
from benchmarks.flops import TRAINING, cnn_flops
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity, Target
from models.cnn import CnnConfig, build_cnn

BATCH, STEPS, QUICK_STEPS = 32, 40, 2
MOST_TIMES_THE_ARITHMETIC = 3.0


@dataclass(frozen=True)
class Net:
    """A network and the side of its images, in pixels."""

    name: str
    model: CnnConfig
    size: int


_PLAIN: dict[str, Any] = {"filters": 8, "growth": 1.0, "dense": (16,)}
_GOOD: dict[str, Any] = {
    "layers": 5,
    "growth": 1.5,
    "dense": (64,),
    "normalize": True,
    "padding": "same",
    "batch_norm": "block",
    "pooling": "average",
}
NETS = (
    Net("1 block of 8 filters, 224 px", CnnConfig(layers=1, **_PLAIN), 224),
    Net("1 block with batch norm, 224 px", CnnConfig(layers=1, batch_norm="conv", **_PLAIN), 224),
    Net("2 blocks, 224 px", CnnConfig(layers=2, **_PLAIN), 224),
    Net("2 blocks with batch norm, 224 px", CnnConfig(layers=2, batch_norm="conv", **_PLAIN), 224),
    Net("as in cnn2: 5 blocks from 16 filters, 96 px", CnnConfig(filters=16, **_GOOD), 96),
    Net("as in robust2: 5 blocks from 24 filters, 128 px", CnnConfig(filters=24, **_GOOD), 128),
)


def measure(options: Options, machine: Machine) -> Measurement:
    """Milliseconds an image of each network, with both kinds of layers."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    speed = _matrix_speed()
    comparisons, targets = [], []
    for net in NETS:
        ours, keras = (
            Quantity(f"{net.name}{kind}", "ms an image", _timings(net, fused, options))
            for kind, fused in (("", True), (", Keras' layers", False))
        )
        comparisons.append(Comparison(ours, keras, Bound(1.0)))
        least = 1000 * TRAINING * cnn_flops(net.model, (net.size, net.size, 1), 2) / speed
        times = Quantity(f"{net.name}: times its arithmetic", "", tuple(value / least for value in ours.values))
        targets.append(Target(times, Bound(MOST_TIMES_THE_ARITHMETIC)))
    return Measurement(
        question="What does a training step cost on one thread, beside Keras' layers and the bare arithmetic?",
        setting=f"Steps of {BATCH} random images on one thread, float32, Adam; CPU time of the process, "
        "TF_ENABLE_ONEDNN_OPTS=1.",
        comparisons=tuple(comparisons),
        targets=tuple(targets),
        limited_by="memory: at 224 pixels and 8 filters the feature maps of a batch take 50 MB, which max pooling, its "
        "gradient and batch norm each read and write for few operations.",
        physical_limit=f"its operations at the speed of a large matrix product, {speed / 1e9:.0f} GFLOP/s on a thread.",
    )


def _timings(net: Net, fused: bool, options: Options) -> tuple[float, ...]:
    """Milliseconds of CPU time an image, one for each repeat."""
    import keras
    import numpy as np
    import tensorflow as tf

    steps = QUICK_STEPS if options.quick else STEPS
    random = np.random.default_rng(0)
    images = random.random((BATCH, net.size, net.size, 1), np.float32)
    targets = random.integers(0, 2, (BATCH, 1)).astype(np.float32)
    batches = tf.data.Dataset.from_tensors((images, targets)).repeat(steps)
    model = build_cnn(net.model, (net.size, net.size, 1), 2, fused=fused)
    model.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy", jit_compile=False)
    model.fit(batches, verbose=0)  # traces
    found = []
    for _ in range(options.repeats):
        started = time.process_time()
        model.fit(batches, verbose=0)
        found.append(1000 * (time.process_time() - started) / steps / BATCH)
    keras.backend.clear_session()
    return tuple(found)


def _matrix_speed(side: int = 2048, repeats: int = 5) -> float:
    """Operations a second of TensorFlow's matrix product on one thread, float32: the fastest of some."""
    import tensorflow as tf

    matrix = tf.random.normal((side, side))
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        (matrix @ matrix).numpy()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


if __name__ == "__main__":
    harness.main(measure, __doc__)
