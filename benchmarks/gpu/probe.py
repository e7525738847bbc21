"""What one trial process sees and takes of a GPU, printed as JSON: `python -m benchmarks.gpu.probe`."""

import json
from dataclasses import asdict, dataclass

from models.cnn import CnnConfig
from search.plan.settings import TrainSettings
from search.trial.peak import measure_peak
from search.trial.training import TrialConfig

SHAPE = (64, 64, 1)


@dataclass(frozen=True)
class Sight:
    """A trial process and the GPU.

    Attributes:
        gpus: names that TensorFlow gives them; empty where it sees none, or the process failed.
        growth: whether their memory is taken as it is needed.
        cuda, cudnn: versions that TensorFlow was built with; empty in a build for CPUs.
        peak_mb: memory of a small CNN's tensors, in MiB; without a GPU of the process.
        held_mb: by how much the memory in use on the GPU rose, CUDA's own included; of all processes.
    """

    gpus: tuple[str, ...] = ()
    growth: bool = False
    cuda: str = ""
    cudnn: str = ""
    peak_mb: float = 0.0
    held_mb: float = 0.0


def look() -> Sight:
    """Train a small CNN for an epoch in this process, as a trial does."""
    import tensorflow as tf

    from benchmarks.gpu.card import find_card, memory_in_use

    has_card = find_card() is not None
    before = memory_in_use() if has_card else 0.0
    config = TrialConfig(CnnConfig(), TrainSettings(precision="float32"), max_epochs=1, seed=0)
    peak = measure_peak(config, SHAPE, 2, features=False)
    held = memory_in_use() - before if has_card else 0.0
    devices = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices]
    growth = all(tf.config.experimental.get_memory_growth(device) for device in devices)
    build = tf.sysconfig.get_build_info()
    return Sight(tuple(names), growth, build.get("cuda_version", ""), build.get("cudnn_version", ""), peak, held)


if __name__ == "__main__":
    print(json.dumps(asdict(look())))
