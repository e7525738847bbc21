"""The GPU that is checked: what NVIDIA's driver says of it, and how much of its memory is in use."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from search.driver.machine import Gpu, count_gpus, gpu_handles, least_gpu

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        name: as its driver says it.
        gpu: its memory and compute capability.
        driver: version of the driver.
    """

    name: str
    gpu: Gpu
    driver: str


@dataclass
class MemoryWatch:
    """The memory of the card that was in use, in MiB; of all its processes.

    Attributes:
        before: at the beginning.
        peak: the most that was seen.
    """

    before: float = 0.0
    peak: float = 0.0

    @property
    def rise(self) -> float:
        """By how much it rose."""
        return self.peak - self.before


def find_card() -> Card | None:
    """The first GPU that this process may use; None where there is no GPU or no driver."""
    if not count_gpus():
        return None
    import pynvml

    return Card(pynvml.nvmlDeviceGetName(_handle()), least_gpu(), pynvml.nvmlSystemGetDriverVersion())


def memory_in_use() -> float:
    """MiB of the GPU's memory that all processes together use; 0 where it does not say."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):  # a GPU that shares the main memory
        return float(pynvml.nvmlDeviceGetMemoryInfo(_handle()).used) / 2**20
    return 0.0


def _handle() -> Any:
    import pynvml

    pynvml.nvmlInit()
    return gpu_handles(os.environ.get("CUDA_VISIBLE_DEVICES"))[0]


@contextlib.contextmanager
def watch_memory() -> Iterator[MemoryWatch]:
    """Looks at the GPU's memory, twenty times a second, until the block ends."""
    first = memory_in_use()
    watch, ended = MemoryWatch(first, first), threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            watch.peak = max(watch.peak, memory_in_use())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
