"""The facts of this machine."""

from benchmarks.machine import measure_machine


def test_the_machine_is_measured() -> None:
    machine = measure_machine(products=1)
    assert machine.cores >= 1
    assert machine.copy_gb_per_s > 0.1
    assert machine.gemm_gflops > 0.1
    assert machine.decode_megapixels_per_s > 1
