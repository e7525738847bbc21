"""Hosts that differ, and `deploy/slurm.sbatch` over one host and over two, with a stand-in for srun."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.record import FINISHED, RunFolder
from tests.cluster import lab as labs
from tests.cluster.lab import PROJECT, Lab, address
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(labs.missing()), reason=labs.missing() or "-"),
]

SEARCH = "space=plain2 data.size=32 search.num_trials=4 search.max_epochs=2 search.scheduler=none"
SEARCH += " evaluate.enabled=false data.cache=/tmp/cache"
SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
OPEN = "export RAY_AUTH_MODE=disabled"  # a local search leaves a token in the home, which the next head would ask for
# As Slurm's: names of the job's nodes, and a command that runs on each of them. Nodes have no files of the batch host
# but the shared folder, and get its variables.
SCONTROL = """#!/bin/bash
for number in $LAB_HOSTS; do echo 10.77.0.$number; done
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
line="cd $PWD; source .venv/bin/activate; $(export -p | grep -E 'RAY_|SLURM_') ; $(printf '%q ' "$@")"
for number in $LAB_HOSTS; do
    ssh $LAB_SSH root@10.77.0.$number "$line" & children+=($!)
done
for child in "${children[@]}"; do wait $child || failed=$?; done
exit ${failed:-0}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts that see the project in the shared folder, as nodes of a Slurm cluster would."""
    with Lab(tmp_path_factory.mktemp("lab"), Path(sys.prefix)) as lab:
        lab.start(1, 2)
        project = lab.shared / "xray-search"
        files = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout
        subprocess.run(
            ["rsync", "-a", "--from0", "--files-from=-", f"{PROJECT}/", str(project)], input=files, check=True
        )
        (project / ".venv").symlink_to(sys.prefix)
        for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
            (project / "bin").mkdir(exist_ok=True)
            (project / "bin" / name).write_text(text)
            (project / "bin" / name).chmod(0o755)
        yield lab


@pytest.fixture
def uneven(lab: Lab) -> Iterator[Lab]:
    """A cluster of a head with 4 CPUs, and a worker with 2 CPUs that says it has a GPU."""
    start(lab, 1, f"--head --node-ip-address={address(1)} --port=6379 --num-cpus=4")
    start(lab, 2, f"--address={address(1)}:6379 --num-cpus=2 --num-gpus=1")
    yield lab
    for number in (2, 1):
        on_host(lab, number, "ray stop")


def start(lab: Lab, number: int, options: str) -> None:
    on_host(lab, number, f"ray start {options} --disable-usage-stats")


def on_host(lab: Lab, number: int, command: str) -> str:
    return lab.ssh(number, f"cd {lab.shared}/xray-search; source .venv/bin/activate; {OPEN}; {command}")


def search(lab: Lab, name: str, *words: str, storage: Path | None = None) -> tuple[str, RunFolder]:
    """What a search on the head prints, and its run."""
    runs = storage or lab.shared / "runs"
    place = f"run.storage={runs} run.name={name}"
    screen = on_host(lab, 1, f"python -m search.run {SEARCH} {place} {shlex.join(words)} 2>&1")
    print(screen)
    return screen, RunFolder(f"{runs}/{name}")


def hosts_of(folder: RunFolder) -> set[str]:
    trials = folder.read_trials().values()
    assert [trial.status for trial in trials] == [FINISHED] * 4
    return {trial.host for trial in trials}


def test_trials_go_where_the_gpu_is_with_the_cpus_beside_it(uneven: Lab) -> None:
    """In sums there are six CPUs a GPU, and no host has both."""
    screen, folder = search(uneven, "gpu")
    assert "1 at a time: 1 on a host with 2 CPUs, 1 GPU" in screen
    assert "none on a host with 4 CPUs" in screen
    assert hosts_of(folder) == {"h2"}


def test_without_the_gpu_both_hosts_work(uneven: Lab) -> None:
    screen, folder = search(uneven, "cpus", "resources.gpus_per_trial=0", "resources.cpus_per_trial=2")
    assert "3 at a time: 1 on a host with 2 CPUs, 1 GPU" in screen
    assert "2 on a host with 4 CPUs" in screen
    assert hosts_of(folder) == {"h1", "h2"}


def test_local_on_a_clusters_head_waits_for_no_worker(uneven: Lab) -> None:
    screen, folder = search(uneven, "local", "cluster=local")
    assert "0 GPU a trial: there is none" in screen
    assert hosts_of(folder) == {"h1"}


def test_trials_leave_a_worker_that_misses_the_storages_mount(uneven: Lab) -> None:
    storage = uneven.shared / "mounted"
    on_host(uneven, 2, f"mkdir -p {storage}; mount -t tmpfs -o ro tmpfs {storage}")
    try:
        words = ["resources.gpus_per_trial=0", "resources.cpus_per_trial=2", "run.patience=1"]
        screen, folder = search(uneven, "mount", *words, storage=storage)
    finally:
        on_host(uneven, 2, f"umount {storage}")
    assert "host h2: " in screen
    assert hosts_of(folder) == {"h1"}


def test_what_fits_no_host_is_refused(uneven: Lab) -> None:
    with pytest.raises(RuntimeError, match="of the hosts none has both"):
        search(uneven, "refused", "resources.cpus_per_trial=3", "resources.gpus_per_trial=1")


@pytest.mark.parametrize("hosts", [(1,), (1, 2)])
def test_slurms_script_runs_a_search_on_its_nodes_and_leaves_nothing_behind(lab: Lab, hosts: tuple[int, ...]) -> None:
    project, name = lab.shared / "xray-search", f"slurm{len(hosts)}"
    token = lab.home / ".ray" / "auth_token"
    if not token.exists():
        lab.run("ray", "get-auth-token", "--generate")
    for number in hosts:  # a home that all nodes share
        on_host(lab, number, f"mkdir -p ~/.ray; echo {token.read_text()} > ~/.ray/auth_token")
    variables = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "lab", "SLURM_NNODES": str(len(hosts))}
    variables |= {"SLURM_CPUS_PER_TASK": "2", "SLURM_MEM_PER_NODE": "6000"}
    variables |= {"LAB_HOSTS": " ".join(map(str, hosts)), "LAB_SSH": f"-i {lab.home}/.ssh/id_ed25519 {SSH}"}
    words = [*SEARCH.split(), f"run.storage={lab.shared}/runs", f"run.name={name}", "resources.cpus_per_trial=1"]
    script = f"cd {project}; export PATH={project}/bin:$PATH; bash deploy/slurm.sbatch {shlex.join(words)}"
    done = lab.run("bash", "-c", script, check=False, **variables)
    print(done.stdout)
    assert done.returncode == 0
    assert f"{2 * len(hosts)} at a time" in done.stdout
    assert hosts_of(RunFolder(f"{lab.shared}/runs/{name}")) == {f"h{number}" for number in hosts}
    wait_until(lambda: lab.processes() <= 2, "what the search started on the hosts ends")
    assert not any("raylet" in lab.ssh(number, "ps -e -o args || true") for number in hosts)
