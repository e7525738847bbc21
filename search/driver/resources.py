"""What each trial gets of the machine: chosen from what there is, with the reason of every choice.

`choose_resources` is a pure function; `plan_resources` looks at the machine for it.
"""

import math
import resource
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_pipeline.share import TrainingData
from models.registry import FAMILIES, ModelConfig
from search.plan.settings import ResourceSettings, Settings, SettingsError
from search.plan.spaces import Space, count_trials, largest_batch
from search.trial.features import build_extractor, has_frozen_part
from search.trial.process import has_gpu, prepare_process
from search.trial.training import Inputs, TrialConfig, TrialModel, image_inputs

_CPU_TRIAL_MB = 1_000  # a process that trains a CNN: 810 MB measured over 50 trials in a row
_BACKBONE_TRIAL_MB = 3_000  # while it runs a backbone over 16 images
_GPU_CONTEXT_MB = 600  # what CUDA and cuDNN take in every process, beside the tensors
_MOST_PER_GPU = 8
_REGISTER_SECONDS = 30.0
_CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml").expanduser()  # where `ray up` leaves its file on the head


@dataclass(frozen=True)
class Machine:
    """What the trials run on; of several hosts, all together.

    Attributes:
        cpus, gpus: as Ray counts them.
        memory_mb: main memory that Ray offers.
        gpu_memory_mb: of the smallest GPU of one host, which the others are taken to be like; 0 where there is none.
        compute_capability: of that GPU, such as (8, 0).
        host_cpus: of the largest host, which no trial can exceed.
    """

    cpus: float
    gpus: float = 0.0
    memory_mb: float = math.inf
    gpu_memory_mb: float = 0.0
    compute_capability: tuple[int, int] = (0, 0)
    host_cpus: float = math.inf

    def __str__(self) -> str:
        gpus = f"{self.gpus:g} GPUs, " if self.gpus else ""
        return f"{self.cpus:g} CPUs, {gpus}{self.memory_mb / 1000:.0f} GB of memory"


@dataclass(frozen=True)
class TrialResources:
    """What a trial gets, how many run at a time, and why.

    Attributes:
        cpu: CPUs of a trial.
        threads: TensorFlow's threads in it.
        gpu: share of a GPU.
        at_a_time: trials that run side by side.
        precision: Keras' dtype policy.
        reasons: a line for each choice.
    """

    cpu: float
    threads: int
    gpu: float
    at_a_time: int
    precision: str
    reasons: tuple[str, ...]


def choose_resources(
    asked: ResourceSettings, precision: str, machine: Machine, trials: int, backbones: bool, peak_mb: float = 0.0
) -> TrialResources:
    """The resources of a trial: as asked, and for what was left open as suits the machine.

    Args:
        asked: settings; None leaves a choice open.
        precision: a dtype policy, or "auto".
        machine: what there is.
        trials: how many trials the search has.
        backbones: whether the space has pretrained backbones.
        peak_mb: GPU memory that the largest model took in a trial step; 0 where it was not measured.

    Raises:
        SettingsError: a trial asks for more than there is; it would wait for ever.
    """
    _check_enough(asked, machine)
    gpu, gpu_reason = _choose_gpu(asked, machine, peak_mb)
    cpus = asked.cpus_per_trial
    room = _room(machine, cpus or 1.0, gpu, backbones)
    if cpus is None:
        share = machine.cpus // min(room, trials, asked.max_concurrent or trials)
        threads = max(1, int(min(share, machine.host_cpus)))
        cpus, cpu_reason = float(threads), _thread_reason(threads, machine)
    else:
        threads, cpu_reason = max(1, int(cpus)), "as set"
    room = _room(machine, cpus, gpu, backbones)
    at_a_time = min(room, asked.max_concurrent or room)
    chosen, precision_reason = _choose_precision(precision, machine, gpu)
    reasons = (
        f"{at_a_time} at a time: {'as set' if at_a_time == asked.max_concurrent else f'room on {machine}'}",
        f"{threads} {'thread' if threads == 1 else 'threads'} a trial: {cpu_reason}",
        f"{gpu:g} GPU a trial: {gpu_reason}",
        f"precision {chosen}: {precision_reason}",
    )
    return TrialResources(cpus, threads, gpu, at_a_time, chosen, reasons)


def _check_enough(asked: ResourceSettings, machine: Machine) -> None:
    for key, wanted, found, kind in (
        ("resources.cpus_per_trial", asked.cpus_per_trial, min(machine.cpus, machine.host_cpus), "CPU on a host"),
        ("resources.gpus_per_trial", asked.gpus_per_trial, machine.gpus, "GPU"),
    ):
        if (wanted or 0) > found:
            raise SettingsError(f"{key}={wanted:g} is more than there is: Ray has {found:g} {kind}. Lower {key}.")
    if (asked.gpus_per_trial or 0) > 1:
        raise SettingsError(
            f"A trial trains on one GPU, or on a share of one; got resources.gpus_per_trial={asked.gpus_per_trial:g}. "
            "More GPUs train more trials side by side."
        )


def _choose_gpu(asked: ResourceSettings, machine: Machine, peak_mb: float) -> tuple[float, str]:
    if asked.gpus_per_trial is not None:
        return asked.gpus_per_trial, "as set"
    if not machine.gpus:
        return 0.0, "there is none"
    if not peak_mb:
        return 1.0, "the memory of the largest model was not measured"
    needed = 1.2 * peak_mb + _GPU_CONTEXT_MB
    cpus_per_gpu = max(1, int(machine.cpus // machine.gpus))
    fits = int(min(machine.gpu_memory_mb // needed, _MOST_PER_GPU, cpus_per_gpu))
    reason = (
        f"the largest model took {peak_mb:,.0f} MB; with a fifth more and {_GPU_CONTEXT_MB} MB for CUDA, "
        f"{max(fits, 1)} fit into {machine.gpu_memory_mb:,.0f} MB with a CPU each"
    )
    return 1.0 / max(fits, 1), reason


def _room(machine: Machine, cpus: float, gpu: float, backbones: bool) -> int:
    """How many trials of so many CPUs and such a share of a GPU have room side by side."""
    trial_mb = _BACKBONE_TRIAL_MB if backbones else _CPU_TRIAL_MB
    fits = min(machine.cpus / cpus, machine.memory_mb / trial_mb)
    if gpu:
        fits = min(fits, machine.gpus / gpu)
    return max(1, math.floor(fits + 1e-9))  # 1 / 0.1 may fall just below 10


def _thread_reason(threads: int, machine: Machine) -> str:
    if threads == 1:
        return "side by side, trials of one thread each train half as many images again as one after the other"
    return f"fewer trials than the {machine.cpus:g} CPUs"


def _choose_precision(precision: str, machine: Machine, gpu: float) -> tuple[str, str]:
    if precision != "auto":
        return precision, "as set"
    if not gpu:
        # On a CPU with units for bfloat16 (AVX512-BF16): 1.5 times as fast with 16 filters and more, 0.6 with 8.
        return "float32", "on CPUs 16 bits make some networks faster and others slower"
    if machine.compute_capability >= (8, 0):
        return "mixed_bfloat16", "the GPU has units for it, and its range is that of float32"
    if machine.compute_capability >= (7, 0):
        return "mixed_float16", "the GPU has units for it; Keras scales the loss"
    return "float32", "the GPU has no units for 16 bits"


def plan_resources(
    settings: Settings,
    space: Space,
    largest: ModelConfig,
    shape: tuple[int, int, int],
    classes: int,
    say: Callable[[str], None],
) -> TrialResources:
    """The resources of every trial of a search; needs a running Ray.

    Args:
        settings: of the search.
        space: of the search.
        largest: its model with the most parameters.
        shape: of an image, (H, W, C).
        classes: of the data set.
        say: tells the user what is waited for.

    Raises:
        SettingsError: a trial asks for more than there is.
    """
    import ray

    machine, asked, precision = find_machine(say), settings.resources, settings.train.precision
    peak = 0.0
    if machine.gpus and asked.gpus_per_trial is None:
        chosen, _ = _choose_precision(precision, machine, gpu=1.0)
        train = replace(settings.train, precision=chosen, batch_size=largest_batch(space, settings))
        config = TrialConfig(largest, train, max_epochs=1, seed=0)
        features = settings.features != "off" and has_frozen_part(largest)
        measured = ray.remote(num_gpus=1)(measure_peak).remote(config, shape, classes, features)
        try:
            peak = ray.get(measured)
        except ray.exceptions.RayTaskError as error:
            say(f"What the largest model needs could not be measured ({_first_line(error.cause)}): a GPU a trial.")
    backbones = FAMILIES[largest.backbone].pretrained
    return choose_resources(asked, precision, machine, count_trials(space, settings), backbones, peak)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def find_machine(say: Callable[[str], None]) -> Machine:
    """What Ray's workers have, those that an autoscaler may still start included; needs a running Ray."""
    import ray

    planned, largest = _planned(_CLUSTER_FILE)
    found: Mapping[str, float] = ray.cluster_resources()
    deadline = time.monotonic() + _REGISTER_SECONDS
    while not planned and "CPU" not in found and time.monotonic() < deadline:
        time.sleep(0.1)  # on a busy machine Ray lists a new node late
        found = ray.cluster_resources()
    machine = Machine(
        max(found.get("CPU", 0.0), planned.get("CPU", 0.0)) or 1.0,
        max(found.get("GPU", 0.0), planned.get("GPU", 0.0)),
        math.inf if planned else found.get("memory", math.inf) / 2**20,
        host_cpus=max(largest, *(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])),
    )
    if not machine.gpus:
        return machine
    if not found.get("GPU"):
        say("Waiting for a first GPU worker, to measure what fits into it ...")
    listing = ray.get(ray.remote(num_cpus=0, num_gpus=1)(query_gpus).remote())
    memory, capability = parse_gpus(listing)
    return replace(machine, gpu_memory_mb=memory, compute_capability=capability)


def _planned(file: Path) -> tuple[dict[str, float], float]:
    """`planned_resources` of the cluster that this machine is the head of; nothing where it is none's."""
    return planned_resources(yaml.safe_load(file.read_text())) if file.is_file() else ({}, 0.0)


def planned_resources(cluster: Mapping[str, Any]) -> tuple[dict[str, float], float]:
    """What the workers of a cluster file have when all are there, and the CPUs of the largest.

    Nothing where the file does not say their resources.

    Args:
        cluster: a file of `ray up`, with max_workers and available_node_types.
    """
    left, largest = int(cluster.get("max_workers", 0)), 0.0
    total: dict[str, float] = {}
    for name, node in cluster.get("available_node_types", {}).items():
        count = 0 if name == cluster.get("head_node_type") else min(left, int(node.get("max_workers", 0)))
        left -= count
        for kind, amount in (node.get("resources") or {}).items() if count else ():
            total[kind] = total.get(kind, 0.0) + count * float(amount)
            largest = max(largest, float(amount)) if kind == "CPU" else largest
    return total, largest


def query_gpus() -> str:
    """A line a GPU of this host, memory in MiB and compute capability; empty where NVIDIA's tool is missing."""
    command = ["nvidia-smi", "--query-gpu=memory.total,compute_cap", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def parse_gpus(listing: str) -> tuple[float, tuple[int, int]]:
    """Memory in MB and compute capability of the smallest GPU that `query_gpus` lists; (0, (0, 0)) without any."""
    gpus = []
    for line in listing.strip().splitlines():
        memory, _, capability = line.partition(",")
        major, _, minor = capability.strip().partition(".")
        gpus.append((float(memory), (int(major), int(minor))))
    return min(gpus, default=(0.0, (0, 0)))


def measure_peak(config: TrialConfig, shape: tuple[int, int, int], classes: int, features: bool) -> float:
    """Memory in MB that a trial of this configuration takes at its peak, tried out on noise in this process.

    Args:
        config: of the largest model.
        shape: of an image, (H, W, C).
        classes: of the data set.
        features: whether its frozen part is run once for all trials.

    Returns:
        The GPU's peak; without a GPU, the peak of this process' main memory.
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
