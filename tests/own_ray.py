"""Starts Ray for tests on a machine of any speed: a start that takes longer than Ray's own 30 s is tried again."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_MOST = 50  # starts
_TOO_SLOW = "timed out during startup"  # in Ray's words


@contextlib.contextmanager
def own_ray(object_store_memory: int = 100 * 2**20) -> Iterator[None]:
    """A Ray of one CPU on this machine; ends with the block."""
    import ray

    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    start_patiently(lambda: ray.init(address="local", num_cpus=1, object_store_memory=object_store_memory, **options))
    try:
        yield
    finally:
        ray.shutdown()


def start_patiently(start: Callable[[], T]) -> T:
    """What `start` returns: `ray.init`, or a node that is added to a cluster."""
    import ray

    for _ in range(_MOST):
        try:
            return start()
        except Exception as error:  # of Ray, which has no kind of its own for it
            if _TOO_SLOW not in str(error):
                raise
            ray.shutdown()
    return start()
