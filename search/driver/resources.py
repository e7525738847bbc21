"""Chooses each trial's share of the machine, and gives the reason of every choice.

`choose_resources` is a pure function; `plan_resources` finds the machine and measures the largest model for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from models.registry import FAMILIES, ModelConfig
from search.driver.machine import Machine, find_machine
from search.plan.settings import ResourceSettings, Settings, SettingsError
from search.plan.spaces import Space, count_trials, largest_batch
from search.trial.features import has_frozen_part
from search.trial.peak import measure_peak
from search.trial.training import TrialConfig

_CPU_TRIAL_MB = 1_000  # a process that trains a CNN: 810 MB measured over 50 trials in a row
_BACKBONE_TRIAL_MB = 3_000  # while it runs a backbone over 16 images
_GPU_CONTEXT_MB = 600  # of CUDA and cuDNN in every process, beside the tensors
_MOST_PER_GPU = 8


@dataclass(frozen=True)
class TrialResources:
    """The resources of each trial, how many trials run at a time, and why.

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
    """The resources of a trial: as set, and for what was left open chosen for the machine.

    Args:
        asked: settings; None leaves a choice open.
        precision: a dtype policy, or "auto".
        machine: what the trials run on.
        trials: how many trials the search has.
        backbones: whether the space has pretrained backbones.
        peak_mb: GPU memory that the largest model took in a trial step; 0 where it was not measured.

    Raises:
        SettingsError: a trial asks for more than the machine has; it would wait for ever.
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
            raise SettingsError(
                f"A trial cannot have more than the machine has. Received: {key}={wanted:g}, but Ray has {found:g} "
                f"{kind}. Lower {key}."
            )
    if (asked.gpus_per_trial or 0) > 1:
        raise SettingsError(
            "A trial trains on one GPU, or on a share of one. "
            f"Received: resources.gpus_per_trial={asked.gpus_per_trial:g}. Set 1 or less; more GPUs train more trials "
            "side by side."
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
    """How many trials of so many CPUs and such a share of a GPU fit side by side."""
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
        say: tells the user what the search waits for.

    Raises:
        SettingsError: a trial asks for more than the machine has.
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
            say(f"The memory of the largest model could not be measured ({_first_line(error.cause)}): a GPU a trial.")
    backbones = FAMILIES[largest.backbone].pretrained
    return choose_resources(asked, precision, machine, count_trials(space, settings), backbones, peak)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
