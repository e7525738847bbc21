import pytest

from search.driver.machine import Machine
from search.driver.resources import choose_resources
from search.plan.settings import ResourceSettings, SettingsError

ONE_GPU = Machine(cpus=16, gpus=1, memory_mb=64_000, gpu_memory_mb=24_000, compute_capability=(8, 6))


def choose(machine: Machine, trials: int = 100, precision: str = "auto", peak_mb: float = 0.0, **asked: float):
    return choose_resources(ResourceSettings(**asked), precision, machine, trials, backbones=False, peak_mb=peak_mb)


@pytest.mark.parametrize(
    ("asked", "machine", "expected"),
    [
        ({}, Machine(2), 2),
        ({"cpus_per_trial": 2}, Machine(3), 1),
        ({"cpus_per_trial": 0.1}, Machine(1), 10),
        ({"gpus_per_trial": 0.25}, Machine(16, 2), 8),
        ({"gpus_per_trial": 0.25}, Machine(3, 2), 3),
        ({"max_concurrent": 3}, Machine(8), 3),
        ({"max_concurrent": 30}, Machine(8), 8),
        ({}, Machine(64, memory_mb=16_000), 16),
    ],
)
def test_as_many_trials_as_have_room(asked: dict[str, float], machine: Machine, expected: int) -> None:
    assert choose(machine, **asked).at_a_time == expected


@pytest.mark.parametrize(("trials", "threads"), [(100, 1), (8, 1), (5, 1), (4, 2), (1, 8)])
def test_one_thread_a_trial_unless_cpus_would_be_idle(trials: int, threads: int) -> None:
    chosen = choose(Machine(8), trials)
    assert chosen.threads == chosen.cpu == threads
    assert chosen.at_a_time * threads <= 8


def test_backbones_need_more_memory() -> None:
    machine = Machine(64, memory_mb=16_000)
    assert choose_resources(ResourceSettings(), "auto", machine, 100, backbones=True).at_a_time == 5


@pytest.mark.parametrize(
    ("peak_mb", "at_a_time"),
    [(0, 1), (2_000, 8), (4_000, 4), (9_000, 2), (40_000, 1)],
)
def test_a_gpu_is_shared_by_as_many_of_the_largest_model_as_fit(peak_mb: float, at_a_time: int) -> None:
    chosen = choose(ONE_GPU, peak_mb=peak_mb)
    assert chosen.at_a_time == at_a_time
    assert chosen.gpu == pytest.approx(1 / at_a_time)
    assert chosen.threads == 16 // at_a_time


@pytest.mark.parametrize(
    ("machine", "asked", "precision"),
    [
        (Machine(2), "auto", "float32"),
        (ONE_GPU, "auto", "mixed_bfloat16"),
        (Machine(8, 1, gpu_memory_mb=16_000, compute_capability=(7, 5)), "auto", "mixed_float16"),
        (Machine(8, 1, gpu_memory_mb=8_000, compute_capability=(6, 1)), "auto", "float32"),
        (ONE_GPU, "float32", "float32"),
    ],
)
def test_precision_is_what_the_hardware_has_units_for(machine: Machine, asked: str, precision: str) -> None:
    assert choose(machine, precision=asked).precision == precision


def test_every_choice_has_its_reason() -> None:
    chosen = choose(Machine(2, memory_mb=20_000))
    assert chosen.reasons == (
        "2 at a time: room on 2 CPUs, 20 GB of memory",
        "1 thread a trial: side by side, trials of one thread each train half as many images again as one after the "
        "other",
        "0 GPU a trial: there is none",
        "precision float32: on CPUs 16 bits make some networks faster and others slower",
    )
    set_by_hand = choose(ONE_GPU, precision="float32", cpus_per_trial=2, gpus_per_trial=0.5, max_concurrent=1)
    assert [reason.partition(": ")[2] for reason in set_by_hand.reasons] == ["as set"] * 4


def test_more_than_there_is_would_wait_for_ever_and_is_refused() -> None:
    choose(Machine(2, 1), gpus_per_trial=0.5)
    with pytest.raises(SettingsError, match=r"resources\.gpus_per_trial=0\.5, but Ray has 0 GPU"):
        choose(Machine(2), gpus_per_trial=0.5)
    with pytest.raises(SettingsError, match=r"resources\.cpus_per_trial=12, but Ray has 8 CPU on a"):
        choose(Machine(16, host_cpus=8), cpus_per_trial=12)
    with pytest.raises(SettingsError, match="A trial trains on one GPU"):
        choose(Machine(16, gpus=4), gpus_per_trial=2)


def test_a_trial_fits_into_a_host() -> None:
    """Eight hosts of 8 CPUs and a GPU, and two trials: each gets a host, not half of all CPUs."""
    chosen = choose(Machine(64, gpus=8, gpu_memory_mb=24_000, host_cpus=8), trials=2, gpus_per_trial=1)
    assert (chosen.cpu, chosen.threads, chosen.gpu) == (8, 8, 1)
