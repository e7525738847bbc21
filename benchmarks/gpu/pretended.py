"""A search that takes this machine for one with a GPU: `python -m benchmarks.gpu.pretended SETTINGS`, as `search.run`.

Ray is told of a GPU and of CPUs beside it, and the plan of its memory. Trials still train on the CPU.
"""

import json
import sys
from dataclasses import replace

from search.driver.machine import Gpu, Host

GPU = Gpu(24_000, (8, 6))
CPUS = 4
ENVIRONMENT = {"RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": CPUS, "GPU": 1})}  # Ray's own way, of its autoscaler


def pretended_hosts() -> tuple[Host, ...]:
    """Ray's hosts, those with a GPU with the memory and capability of `GPU`."""
    from search.driver.machine import find_hosts

    return tuple(replace(host, gpu=GPU) if host.gpus else host for host in find_hosts())


def main() -> int:
    """Run a search; returns its exit code."""
    import search.run
    from search.driver import resources

    vars(resources)["find_gpu_hosts"] = pretended_hosts
    return search.run.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
