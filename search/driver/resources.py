"""Chooses each trial's share of a host, and gives the reason of every choice.

`choose_resources` is a pure function over the hosts; `plan_resources` finds them and measures the largest model.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.registry import FAMILIES, Classes, ModelConfig
from search.driver.coming import await_listed, planned_hosts
from search.driver.machine import (
    Gpu,
    Host,
    away_from,
    describe_hosts,
    find_gpu_hosts,
    find_hosts,
    gpu_nodes,
    group_hosts,
    with_coming,
)
from search.driver.waiting import Patience, get_patiently, launch_reasons
from search.plan.settings import ResourceSettings, Settings, SettingsError
from search.plan.spaces import Space, backbones_of, count_trials, largest_batch
from search.record import counted
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
        memory_mb: main memory of a trial, in MiB, which Ray keeps for it; 0: not asked for.
    """

    cpu: float
    threads: int
    gpu: float
    at_a_time: int
    precision: str
    reasons: tuple[str, ...]
    memory_mb: float = 0.0

    @property
    def memory(self) -> int:
        """As Ray counts it, in bytes."""
        return int(self.memory_mb * 2**20)

    def room(self, hosts: Sequence[Host]) -> int:
        """How many such trials fit on these hosts together."""
        return _Request(self.cpu, self.gpu, self.memory_mb).room(hosts)

    def __str__(self) -> str:
        parts = [counted(self.cpu, "CPU")]
        parts += [f"{self.gpu:g} GPU"] if self.gpu else []
        parts += [f"{self.memory_mb / 1000:.1f} GB of memory"] if self.memory_mb else []
        return ", ".join(parts)


@dataclass(frozen=True)
class _Request:
    """What a trial asks of one host."""

    cpus: float
    gpu: float
    memory_mb: float

    def places(self, host: Host) -> int:
        """How many such trials fit side by side on one host; a GPU is shared by whole trials."""
        fits = host.cpus / self.cpus
        if self.memory_mb:
            fits = min(fits, host.memory_mb / self.memory_mb)
        if self.gpu:
            fits = min(fits, host.gpus * math.floor(1 / self.gpu + 1e-9))  # 1 / 0.1 may fall just below 10
        return math.floor(fits + 1e-9)

    def room(self, hosts: Sequence[Host]) -> int:
        """How many fit on all hosts together."""
        return sum(host.count * self.places(host) for host in hosts)


def choose_resources(
    asked: ResourceSettings,
    precision: str,
    hosts: Sequence[Host],
    trials: int,
    backbones: bool,
    peak_mb: float = 0.0,
) -> TrialResources:
    """The resources of a trial: as set, and for what was left open chosen for the hosts.

    All trials get the same, so that none of them depends on where it ran.

    Args:
        asked: settings; None leaves a choice open.
        precision: a dtype policy, or "auto".
        hosts: that the trials run on.
        trials: how many trials the search has.
        backbones: whether the space has pretrained backbones.
        peak_mb: GPU memory that the largest model took in a trial step; 0 where it was not measured.

    Raises:
        SettingsError: a trial asks for more than any host has; it would wait for ever.
    """
    _check_enough(asked, hosts)
    least = _Request(asked.cpus_per_trial or 1.0, asked.gpus_per_trial or 0.0, _choose_memory(hosts, asked, backbones))
    gpu, gpu_reason = _choose_gpu(asked, hosts, least, peak_mb)
    least = replace(least, gpu=gpu)
    if not least.room(hosts):
        raise SettingsError(_no_room(least, hosts))
    request = least if asked.cpus_per_trial is not None else _with_more_cpus(least, hosts, trials, asked.max_concurrent)
    threads, room = max(1, int(request.cpus)), request.room(hosts)
    cpu_reason = "as set" if asked.cpus_per_trial is not None else _thread_reason(threads, hosts)
    at_a_time = min(room, asked.max_concurrent or room)
    chosen, precision_reason = _choose_precision(precision, least_gpu_of(hosts), gpu)
    reasons: tuple[str, ...] = (
        f"{at_a_time} at a time: {'as set' if at_a_time == asked.max_concurrent else _room_reason(request, hosts)}",
        f"{counted(threads, 'thread')} a trial: {cpu_reason}",
        f"{gpu:g} GPU a trial: {gpu_reason}",
        f"precision {chosen}: {precision_reason}",
    )
    if not request.memory_mb:
        reasons += ("memory is not counted: it is not known of all hosts (memory_gb in cluster.workers)",)
    return TrialResources(request.cpus, threads, gpu, at_a_time, chosen, reasons, request.memory_mb)


def _check_enough(asked: ResourceSettings, hosts: Sequence[Host]) -> None:
    for key, wanted, found, kind in (
        ("resources.cpus_per_trial", asked.cpus_per_trial, max(host.cpus for host in hosts), "CPU"),
        ("resources.gpus_per_trial", asked.gpus_per_trial, max(host.gpus for host in hosts), "GPU"),
    ):
        if (wanted or 0) > found:
            raise SettingsError(
                f"A trial must fit into one host. Received: {key}={wanted:g}, but the largest host has {found:g} "
                f"{kind} ({describe_hosts(hosts)}). Lower {key}, or name the hosts that are still to come in "
                "cluster.workers."
            )
    if (asked.gpus_per_trial or 0) > 1:
        raise SettingsError(
            "A trial trains on one GPU, or on a share of one. "
            f"Received: resources.gpus_per_trial={asked.gpus_per_trial:g}. Set 1 or less; more GPUs train more trials "
            "side by side."
        )


def _no_room(request: _Request, hosts: Sequence[Host]) -> str:
    wanted = f"{request.cpus:g} CPU" + (f" and {request.gpu:g} GPU" if request.gpu else "")
    return (
        f"A trial must fit into one host. Received: a trial of {wanted}, and of the hosts none has both: "
        f"{describe_hosts(hosts)}. Lower resources.cpus_per_trial or resources.gpus_per_trial, or name the hosts that "
        "are still to come in cluster.workers."
    )


def _choose_memory(hosts: Sequence[Host], asked: ResourceSettings, backbones: bool) -> float:
    """Main memory that Ray keeps for a trial, in MiB: what it takes, or all of the largest host that has less.

    Nothing is asked for where the memory of a host is not known: Ray's autoscaler would not start that host.
    """
    cpus, gpus = asked.cpus_per_trial or 1, asked.gpus_per_trial
    usable = [host for host in hosts if host.cpus >= cpus and host.gpus >= (gpus or 0)]
    if gpus is None and any(host.gpus for host in usable):
        usable = [host for host in usable if host.gpus]
    most = max((host.memory_mb for host in usable), default=0.0)
    if any(math.isinf(host.memory_mb) for host in usable):
        return 0.0
    return min(_BACKBONE_TRIAL_MB if backbones else _CPU_TRIAL_MB, most)


def _choose_gpu(asked: ResourceSettings, hosts: Sequence[Host], least: _Request, peak_mb: float) -> tuple[float, str]:
    """The share of a GPU that leaves room for the most trials; of equal ones the largest share."""
    if asked.gpus_per_trial is not None:
        return asked.gpus_per_trial, "as set"
    with_gpus = [host for host in hosts if host.gpus and host.cpus >= min(1, least.cpus)]
    if not with_gpus:
        return 0.0, "there is none" if not any(host.gpus for host in hosts) else "no host with one has CPUs for a trial"
    memory = least_gpu_of(hosts).memory_mb
    if not peak_mb or not memory:
        return 1.0, f"the memory of {'the largest model' if memory else 'the GPU'} is not known"
    needed = 1.2 * peak_mb + _GPU_CONTEXT_MB
    most = min(memory // needed, _MOST_PER_GPU, max(host.cpus // host.gpus for host in with_gpus))
    shares = range(1, max(1, int(most)) + 1)
    fits = max(shares, key=lambda number: (replace(least, gpu=1 / number).room(hosts), -number))
    smallest = "" if len({host.gpu for host in with_gpus}) == 1 else " of the smallest GPU"
    reason = (
        f"the largest model took {peak_mb:,.0f} MB; with a fifth more and {_GPU_CONTEXT_MB} MB for CUDA, "
        f"{fits} fit into {memory:,.0f} MB{smallest} with a CPU each"
    )
    if needed > memory:
        reason = (
            f"the largest model took {peak_mb:,.0f} MB, and a GPU has {memory:,.0f} MB: its trials may fail there; "
            "lower train.batch_size or leave that host out"
        )
    return 1.0 / fits, reason


def least_gpu_of(hosts: Sequence[Host]) -> Gpu:
    """The least memory and capability of all GPUs; of those that do not report, zeros."""
    gpus = [host.gpu for host in hosts if host.gpus]
    known = [gpu.memory_mb for gpu in gpus]
    return Gpu(min(known, default=0.0), min((gpu.capability for gpu in gpus), default=(0, 0)))


def _with_more_cpus(least: _Request, hosts: Sequence[Host], trials: int, max_concurrent: int | None) -> _Request:
    """As many CPUs a trial as leave room for as many trials at a time as there would be with one each."""
    wanted = min(least.room(hosts), trials, max_concurrent or trials)
    most = max(1, int(max(host.cpus for host in hosts)))
    fitting = (replace(least, cpus=float(cpus)) for cpus in range(most, 0, -1))
    return next((each for each in fitting if each.room(hosts) >= wanted), least)


def _room_reason(request: _Request, hosts: Sequence[Host]) -> str:
    if sum(host.count for host in hosts) == 1:
        return f"room on {describe_hosts(hosts)}"
    parts = []
    for host in hosts:
        places, where = request.places(host) or "none", " (to come)" if host.is_coming else ""
        each = f"each of {host.count} hosts with" if host.count > 1 else "a host with"
        parts.append(f"{places} on {each} {host}{where}")
    return "; ".join(parts)


def _thread_reason(threads: int, hosts: Sequence[Host]) -> str:
    if threads == 1:
        return "side by side, trials of one thread each train half as many images again as one after the other"
    return f"fewer trials than the {sum(host.count * host.cpus for host in hosts):g} CPUs"


def _choose_precision(precision: str, least: Gpu, gpu: float) -> tuple[str, str]:
    if precision != "auto":
        return precision, "as set"
    if not gpu:
        # On a CPU with units for bfloat16 (AVX512-BF16): 1.5 times as fast with 16 filters and more, 0.6 with 8.
        return "float32", "on CPUs 16 bits make some networks faster and others slower"
    if least.capability >= (8, 0):
        return "mixed_bfloat16", "the GPU has units for it, and its range is that of float32"
    if least.capability >= (7, 0):
        return "mixed_float16", "the GPU has units for it; Keras scales the loss"
    return "float32", "the GPU has no units for 16 bits"


def plan_resources(
    settings: Settings,
    space: Space,
    largest: ModelConfig,
    shape: tuple[int, int, int],
    classes: Classes,
    say: Callable[[str], None],
    joined: bool = False,
) -> TrialResources:
    """The resources of every trial of a search; needs a running Ray.

    Args:
        settings: of the search.
        space: of the search.
        largest: its model with the most parameters.
        shape: of an image, (H, W, C).
        classes: their number in the data set, or findings.
        say: tells the user what the search waits for.
        joined: whether Ray is a cluster that was there before, to which hosts may still come.

    Raises:
        SettingsError: a trial asks for more than any host has, or the largest model for more memory.
    """
    asked, precision = settings.resources, settings.train.precision
    planned = planned_hosts(settings.cluster.workers) if joined else ()
    if joined and not planned:
        await_listed(say)
    hosts = with_coming(find_hosts(seconds=0 if planned else 30), planned)
    if not any(host.cpus for host in hosts):
        raise SettingsError(
            "Trials need hosts with CPUs. Received: none in the cluster, and none that Ray knows to come. Start "
            "workers, or say in cluster.workers what the autoscaler may start: "
            "cluster.workers=[{count: 8, cpus: 8, gpus: 1, memory_gb: 24}]."
        )
    peak = 0.0
    if asked.gpus_per_trial != 0 and any(host.gpus and host.cpus for host in hosts):
        hosts = _with_gpus(hosts, planned, say)
        if asked.gpus_per_trial is None:
            chosen, _ = _choose_precision(precision, least_gpu_of(hosts), gpu=1.0)
            train = replace(settings.train, precision=chosen, batch_size=largest_batch(space, settings))
            config = TrialConfig(largest, train, max_epochs=1, seed=0)
            features = settings.features != "off" and has_frozen_part(largest)
            peak = _measured_peak((config, shape, classes, features), say)
    return choose_resources(asked, precision, hosts, count_trials(space, settings), has_backbones(space), peak)


def has_backbones(space: Space) -> bool:
    """Whether a model of the space has a pretrained backbone."""
    return any(FAMILIES[name].pretrained for name in backbones_of(space))


def _with_gpus(hosts: Sequence[Host], planned: Sequence[Host], say: Callable[[str], None]) -> tuple[Host, ...]:
    """The hosts with their GPUs looked at; where all are still to come, a first one is waited for.

    The GPUs of hosts to come count as the least of those that are there.
    """
    import ray

    if not any(host.gpus and not host.is_coming for host in hosts):
        say("Waiting for a first GPU worker, to measure what fits into it ...")
        started = ray.remote(num_cpus=0, num_gpus=1)(_nothing).remote()
        get_patiently(started, Patience("a first GPU worker", say, launch_reasons))
    present = find_gpu_hosts()
    least = least_gpu_of(present)
    found = with_coming(present, planned)
    return group_hosts(replace(host, gpu=least) if host.is_coming and host.gpus else host for host in found)


def _nothing() -> None:
    """A task that asks for a place alone."""


@dataclass(frozen=True)
class _Peak:
    """What was measured on a node of Ray: a peak in MB, or what is wrong with its host."""

    node: str
    megabytes: float = 0.0
    fault: str = ""


def _measure(measure: Callable[..., float], arguments: tuple[Any, ...]) -> _Peak:
    """What `measure` finds in this process; an error of the system is its host's, of which others are free."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    try:
        return _Peak(node, measure(*arguments))
    except (OSError, ImportError) as error:
        return _Peak(node, fault=_first_line(error))


def _measured_peak(arguments: tuple[Any, ...], say: Callable[[str], None]) -> float:
    """GPU memory in MB that `measure_peak` finds, in a process with a GPU; 0 where the model cannot be trained there.

    A host with an error of its own is left for another.

    Raises:
        SettingsError: its process was killed, which mostly is for main memory.
    """
    import ray

    killed, deaths, avoided = None, 0, list[str]()
    while deaths < 2:  # a host may also have been lost
        patience = Patience("a free GPU, to measure the largest model", say, launch_reasons)
        # Ray itself retries for ever for lack of memory.
        ask = ray.remote(num_gpus=1, max_retries=0, label_selector=away_from(avoided))(_measure)
        try:
            found: _Peak = get_patiently(ask.remote(measure_peak, arguments), patience)
        except ray.exceptions.RayTaskError as error:
            say(f"The memory of the largest model could not be measured ({_first_line(error.cause)}): a GPU a trial.")
            return 0.0
        except ray.exceptions.RayError as error:
            killed, deaths = error, deaths + 1
            continue
        if not found.fault:
            return found.megabytes
        avoided.append(found.node)
        is_last = gpu_nodes() <= set(avoided)
        then = "a GPU a trial" if is_last else "another host is asked"
        say(f"The memory of the largest model could not be measured on a host ({found.fault}): {then}.")
        if is_last:
            return 0.0
    raise SettingsError(
        "A host must have enough main memory for the largest model of the space. Received: the process that measured "
        f"{arguments[0].model} was killed twice ({_first_line(killed)}). Lower train.batch_size or data.size, take the "
        "model out of the space, use hosts with more memory, or set resources.gpus_per_trial=1 to search without "
        "measuring."
    ) from killed


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
