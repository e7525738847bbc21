import math

import pytest

from search.driver.machine import Gpu, Host
from search.driver.resources import TrialResources, choose_resources
from search.plan.settings import ResourceSettings, SettingsError

A10 = Gpu(24_000, (8, 6))
ONE_GPU = Host(cpus=16, gpus=1, memory_mb=64_000, gpu=A10)
HEAD = Host(16, memory_mb=60_000)
WORKERS = Host(4, 1, 14_000, A10, count=2)  # with HEAD: the shape of cluster.onprem.yaml with GPUs


def choose(
    *hosts: Host,
    trials: int = 100,
    precision: str = "auto",
    peak_mb: float = 0.0,
    backbones: bool = False,
    **asked: float,
) -> TrialResources:
    return choose_resources(ResourceSettings(**asked), precision, hosts, trials, backbones, peak_mb)


@pytest.mark.parametrize(
    ("asked", "host", "expected"),
    [
        ({}, Host(2), 2),
        ({"cpus_per_trial": 2}, Host(3), 1),
        ({"cpus_per_trial": 0.1}, Host(1), 10),
        ({"gpus_per_trial": 0.25}, Host(16, 2), 8),
        ({"gpus_per_trial": 0.25}, Host(3, 2), 3),
        ({"gpus_per_trial": 0.4}, Host(16, 2), 4),  # two whole trials a GPU
        ({"max_concurrent": 3}, Host(8), 3),
        ({"max_concurrent": 30}, Host(8), 8),
        ({}, Host(64, memory_mb=16_000), 16),
    ],
)
def test_as_many_trials_as_have_room(asked: dict[str, float], host: Host, expected: int) -> None:
    assert choose(host, **asked).at_a_time == expected


@pytest.mark.parametrize(("trials", "threads"), [(100, 1), (8, 1), (5, 1), (4, 2), (3, 2), (1, 8)])
def test_one_thread_a_trial_unless_cpus_would_be_idle(trials: int, threads: int) -> None:
    chosen = choose(Host(8), trials=trials)
    assert chosen.threads == chosen.cpu == threads
    assert chosen.at_a_time * threads <= 8


def test_a_trial_fits_into_a_host_of_a_cluster_whose_cpus_and_gpus_are_apart() -> None:
    """In sums there are 12 CPUs a GPU, and no host has both."""
    chosen = choose(HEAD, WORKERS)
    assert (chosen.cpu, chosen.gpu, chosen.at_a_time) == (4, 1, 2)
    assert chosen.reasons[0] == (
        "2 at a time: none on a host with 16 CPUs, 60 GB of memory; "
        "1 on each of 2 hosts with 4 CPUs, 1 GPU, 14 GB of memory"
    )


def test_shares_of_a_gpu_go_by_the_cpus_beside_it() -> None:
    """Five fit into each GPU, ten in sums; beside it are four CPUs."""
    chosen = choose(HEAD, WORKERS, peak_mb=3_500)
    assert (chosen.cpu, chosen.gpu, chosen.at_a_time) == (1, 0.25, 8)


def test_equal_hosts_have_no_idle_cpus_that_a_smaller_trial_could_use() -> None:
    """Of 64 CPUs for 12 trials a sum gives 5 each, one a host: 8 at a time, and 24 CPUs idle."""
    chosen = choose(Host(8, count=8), trials=12)
    assert (chosen.cpu, chosen.at_a_time) == (4, 16)
    alone = choose(Host(8, 1, gpu=A10, count=8), trials=2, gpus_per_trial=1)
    assert (alone.cpu, alone.threads, alone.gpu) == (8, 8, 1)


def test_memory_counts_by_host_and_is_asked_of_ray() -> None:
    """A sum finds room for 96 trials of 3 GB; 7 of them fit into the smaller host."""
    chosen = choose(Host(64, memory_mb=22_000), Host(64, memory_mb=350_000), backbones=True)
    assert (chosen.at_a_time, chosen.memory_mb, chosen.memory) == (7 + 64, 3_000, 3_000 * 2**20)
    assert "7 on a host with 64 CPUs, 22 GB of memory; 64 on a host with" in chosen.reasons[0]


def test_a_trial_takes_what_there_is_where_no_host_has_what_it_should_have() -> None:
    chosen = choose(Host(2, memory_mb=2_000), backbones=True)
    assert (chosen.at_a_time, chosen.memory_mb) == (1, 2_000)


def test_memory_is_not_asked_for_where_an_autoscaler_does_not_know_it_of_its_hosts() -> None:
    chosen = choose(HEAD, Host(8, count=4, is_coming=True))
    assert (chosen.at_a_time, chosen.memory_mb) == (16 + 4 * 8, 0)
    assert "8 on each of 4 hosts with 8 CPUs (to come)" in chosen.reasons[0]
    assert chosen.reasons[-1].startswith("memory is not counted")
    assert not any("not counted" in reason for reason in choose(HEAD).reasons)


def test_one_cpu_by_affinity_has_room_for_one_trial() -> None:
    assert choose(Host(1, memory_mb=20_000)).reasons[0] == "1 at a time: room on 1 CPU, 20 GB of memory"


def test_backbones_need_more_memory() -> None:
    assert choose(Host(64, memory_mb=16_000), backbones=True).at_a_time == 5


@pytest.mark.parametrize(
    ("peak_mb", "at_a_time"),
    [(0, 1), (2_000, 8), (4_000, 4), (9_000, 2), (40_000, 1)],
)
def test_a_gpu_is_shared_by_as_many_of_the_largest_model_as_fit(peak_mb: float, at_a_time: int) -> None:
    chosen = choose(ONE_GPU, peak_mb=peak_mb)
    assert chosen.at_a_time == at_a_time
    assert chosen.gpu == pytest.approx(1 / at_a_time)
    assert chosen.threads == 16 // at_a_time


def test_of_several_kinds_of_gpus_the_smallest_and_the_oldest_decide() -> None:
    turing = Host(16, 1, 64_000, Gpu(11_000, (7, 5)))
    chosen = choose(ONE_GPU, turing, peak_mb=4_000)
    assert (chosen.gpu, chosen.at_a_time, chosen.precision) == (0.5, 4, "mixed_float16")
    assert "2 fit into 11,000 MB of the smallest GPU" in chosen.reasons[2]
    assert "its trials may fail there" in choose(ONE_GPU, turing, peak_mb=12_000).reasons[2]


def test_a_gpu_that_does_not_report_its_memory_is_not_shared() -> None:
    chosen = choose(Host(20, 1, 60_000, Gpu(0.0, (12, 1))), peak_mb=4_000)
    assert (chosen.gpu, chosen.precision) == (1, "mixed_bfloat16")
    assert chosen.reasons[2] == "1 GPU a trial: the memory of the GPU is not known"


def test_a_gpu_without_cpus_beside_it_is_of_no_use() -> None:
    chosen = choose(Host(0, 1, 8_000, A10), HEAD)
    assert (chosen.gpu, chosen.at_a_time, chosen.memory_mb) == (0, 16, 1_000)
    assert chosen.reasons[2] == "0 GPU a trial: no host with one has CPUs for a trial"


@pytest.mark.parametrize(
    ("host", "asked", "precision"),
    [
        (Host(2), "auto", "float32"),
        (ONE_GPU, "auto", "mixed_bfloat16"),
        (Host(8, 1, gpu=Gpu(16_000, (7, 5))), "auto", "mixed_float16"),
        (Host(8, 1, gpu=Gpu(8_000, (6, 1))), "auto", "float32"),
        (ONE_GPU, "float32", "float32"),
    ],
)
def test_precision_is_what_the_hardware_has_units_for(host: Host, asked: str, precision: str) -> None:
    assert choose(host, precision=asked).precision == precision


def test_every_choice_has_its_reason() -> None:
    chosen = choose(Host(2, memory_mb=20_000))
    assert chosen.reasons == (
        "2 at a time: room on 2 CPUs, 20 GB of memory",
        "1 thread a trial: side by side, trials of one thread each train half as many images again as one after the "
        "other",
        "0 GPU a trial: there is none",
        "precision float32: on CPUs 16 bits make some networks faster and others slower",
    )
    assert str(chosen) == "1 CPU, 1.0 GB of memory"
    set_by_hand = choose(ONE_GPU, precision="float32", cpus_per_trial=2, gpus_per_trial=0.5, max_concurrent=1)
    assert [reason.partition(": ")[2] for reason in set_by_hand.reasons] == ["as set"] * 4


def test_more_than_a_host_has_would_wait_for_ever_and_is_refused() -> None:
    choose(Host(2, 1), gpus_per_trial=0.5)
    with pytest.raises(SettingsError, match=r"resources\.gpus_per_trial=0\.5, but the largest host has 0 GPU"):
        choose(Host(2), gpus_per_trial=0.5)
    with pytest.raises(SettingsError, match=r"resources\.cpus_per_trial=12, but the largest host has 8 CPU"):
        choose(Host(8, count=2), cpus_per_trial=12)
    with pytest.raises(SettingsError, match="A trial trains on one GPU"):
        choose(Host(16, gpus=4), gpus_per_trial=2)
    with pytest.raises(SettingsError, match=r"a trial of 12 CPU and 1 GPU, and of the hosts none has both"):
        choose(HEAD, WORKERS, cpus_per_trial=12)


def test_whatever_the_hosts_what_is_chosen_fits_one_of_them() -> None:
    seen = 0
    for cpus in (1, 3, 16):
        for gpus in (0, 1, 3):
            for memory in (500, 9_000, math.inf):
                for peak in (0, 3_000, 30_000):
                    chosen = choose(Host(cpus, gpus, memory, A10), Host(2, memory_mb=4_000), trials=5, peak_mb=peak)
                    shares = gpus * math.floor(1 / chosen.gpu + 1e-9) if chosen.gpu else math.inf
                    on_first = chosen.cpu <= cpus and chosen.memory_mb <= memory and shares
                    assert on_first or (chosen.cpu <= 2 and chosen.memory_mb <= 4_000 and not chosen.gpu)
                    assert chosen.at_a_time >= 1
                    seen += 1
    assert seen == 81
