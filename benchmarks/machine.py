"""Measures the machine that a benchmark runs on, and reads time and memory on it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurement import Machine


def measure_machine(products: int = 40) -> Machine:
    """The facts of this machine; takes about two seconds.

    Args:
        products: of matrices, of which the fastest counts. So many because shared machines have slow moments: a
            benchmark could beat a limit that was measured in one.
    """
    from search.driver.environment import describe_environment

    load = os.getloadavg()[0]  # before the measurements themselves raise it
    environment = describe_environment()
    return Machine(
        processor=environment["processor"],
        cores=len(os.sched_getaffinity(0)),
        memory_gib=environment["memory_gib"],
        copy_gb_per_s=_copy_speed(),
        gemm_gflops=_gemm_speed(products),
        decode_megapixels_per_s=_decode_speed(),
        load=round(load, 2),
    )


def _copy_speed(megabytes: int = 256) -> float:
    source = np.ones(megabytes * 10**6, np.uint8)
    target = np.empty_like(source)
    target[:] = source  # the pages of the target are made here, not in the timed copies
    fastest = min(timed(lambda: np.copyto(target, source)) for _ in range(5))
    return 2 * source.nbytes / fastest / 1e9


def _gemm_speed(products: int, side: int = 2048) -> float:
    matrix = np.random.default_rng(0).random((side, side), np.float32)
    product = np.empty_like(matrix)
    fastest = min(timed(lambda: np.matmul(matrix, matrix, out=product)) for _ in range(products))
    return 2 * side**3 / fastest / 1e9


def _decode_speed(images: int = 200) -> float:
    import cv2

    from data_pipeline.sources import locate

    def decode() -> list[Any]:
        return [cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) for data in encoded]

    files = sorted(locate("sample").rglob("*.jpeg"))[:images]
    encoded = [np.fromfile(file, np.uint8) for file in files]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    fastest = min(timed(decode) for _ in range(3))
    cv2.setNumThreads(threads)
    return float(sum(image.size for image in decode()) / fastest / 1e6)


def timed(work: Callable[[], Any]) -> float:
    """How long `work` takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident_mib() -> float:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
