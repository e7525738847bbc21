"""`ray up cluster.onprem.yaml` for real: three hosts over ssh in secure mode, a search sent to them, a host lost."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from search.record import FINAL, FINISHED, RunFolder
from tests.cluster import lab as labs
from tests.cluster.lab import PROJECT, Lab, address
from tests.waiting import LIMIT, wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(labs.missing()), reason=labs.missing() or "-"),
]

HOSTS = (1, 2, 3)
SECURE = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_UP_enable_autoscaler_v2": "0"}
SEARCH = ("space=plain2", "search.num_trials=6", "search.max_epochs=5", "search.scheduler=none")
IMAGES_BYTES = 480 * 224 * 224  # the sample's pool, one byte a pixel


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), Path(sys.prefix)) as lab:
        lab.start(*HOSTS)
        lab.run("ray", "get-auth-token", "--generate")
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Path]:
    """The cluster file with the lab's addresses and key, up, and a tunnel to its dashboard."""
    content = yaml.safe_load((PROJECT / "cluster.onprem.yaml").read_text())
    workers = [address(number) for number in HOSTS[1:]]
    content["provider"] |= {"head_ip": address(HOSTS[0]), "worker_ips": workers}
    content |= {"min_workers": len(workers), "max_workers": len(workers)}
    content["auth"] = {"ssh_user": "root", "ssh_private_key": str(lab.home / ".ssh" / "id_ed25519")}
    file = lab.folder / "cluster.onprem.yaml"
    file.write_text(yaml.safe_dump(content))
    print(lab.run("ray", "up", "--yes", "--no-config-cache", str(file), **SECURE).stdout)
    with lab.tunnel(file, **SECURE):
        yield file
    lab.run("ray", "down", "--yes", str(file), **SECURE)


def wait_for_nodes(lab: Lab, number: int) -> None:
    """Wait until so many nodes are alive."""
    question = (
        "import ray; ray.init(log_to_driver=False, logging_level='error'); print(sum(n['Alive'] for n in ray.nodes()))"
    )

    def answer() -> str:
        return lab.ssh(1, f'source ~/.xray-search; python -c "{question}" 2>&1 || true').strip()

    wait_until(lambda: answer().endswith(str(number)), f"{number} nodes are alive", told=answer, every=2)


def search(lab: Lab, *words: str) -> tuple[list[str], dict[str, str]]:
    """The command as a user of the client gives it, and its variables."""
    storage = f"run.storage={lab.shared}/runs"
    command = ["python", "-m", "search.run", "cluster=submit", *SEARCH, storage, *words]
    return [*command, f"cluster.fetch={lab.folder}/fetched"], SECURE


def test_a_search_begun_right_after_ray_up_is_planned_for_all_hosts(lab: Lab, cluster: Path) -> None:
    command, variables = search(lab, "run.name=early", "data.size=32", "search.num_trials=1", "evaluate.enabled=false")
    done = lab.run(*command, "search.max_epochs=1", check=False, **variables)
    print(done.stdout)
    assert done.returncode == 0
    assert "3 at a time: " in done.stdout


def test_a_search_sent_from_the_client_runs_on_all_hosts_with_its_data_sent_once(lab: Lab, cluster: Path) -> None:
    wait_for_nodes(lab, len(HOSTS))  # what their set-up receives is not counted
    before = {number: lab.received(number) for number in HOSTS}
    command, variables = search(lab, "run.name=three", "resources.cpus_per_trial=2", "evaluate.enabled=false")
    done = lab.run(*command, check=False, **variables)
    print(done.stdout)
    assert done.returncode == 0
    assert "6 trials: 6 finished" in done.stdout
    trials = RunFolder(f"{lab.folder}/fetched/three").read_trials().values()
    assert [trial.status for trial in trials] == [FINISHED] * 6
    assert {trial.host for trial in trials} == {"h1", "h2", "h3"}
    assert (lab.folder / "fetched" / "three" / "report.html").is_file()
    received = {number: lab.received(number) - before[number] for number in HOSTS[1:]}
    print(f"received by each worker host: {received} bytes, for {IMAGES_BYTES:,} bytes of images")
    # Besides the images come the project and Ray's own talk, less than half as much again.
    assert all(IMAGES_BYTES < number < 1.5 * IMAGES_BYTES for number in received.values())


def test_strangers_are_not_let_in(lab: Lab, cluster: Path) -> None:
    (lab.folder / "stranger").mkdir()
    command, variables = search(lab, "run.name=stranger")
    stranger = {**variables, "HOME": str(lab.folder / "stranger"), "RAY_AUTH_TOKEN": "f" * 64}
    refused = lab.run(*command, check=False, **stranger)
    assert refused.returncode == 2
    assert "use the token of the cluster" in refused.stdout
    assert "Traceback" not in refused.stdout
    # Neither the dashboard nor the job server listens on the hosts' own network.
    outside = lab.run("curl", "-sS", "-m", "5", f"http://{address(1)}:8265", check=False)
    assert outside.returncode == 7, outside.stdout  # nobody there to connect to


@pytest.mark.parametrize(("name", "host", "harm"), [("killed", 3, Lab.kill), ("unplugged", 2, Lab.unplug)])
def test_a_lost_host_costs_an_epoch_of_its_trial_at_most(
    lab: Lab, cluster: Path, name: str, host: int, harm: Callable[[Lab, int], None]
) -> None:
    command, variables = search(lab, f"run.name={name}", "resources.cpus_per_trial=2")
    running = lab.popen(*command, log=lab.folder / "lost.log", **variables)
    folder = RunFolder(f"{lab.shared}/runs/{name}")

    def trains_there() -> bool:
        trials = folder.read_trials().values() if folder.exists("log") else ()
        return any(
            trial.status == "running" and len(trial.epochs) >= 2 and trial.host == f"h{host}" for trial in trials
        )

    wait_until(trains_there, f"a trial on h{host} has two epochs; see {lab.folder / 'lost.log'}", running)
    harm(lab, host)
    lost = time.monotonic()
    assert running.wait(timeout=LIMIT) == 0, (lab.folder / "lost.log").read_text()
    trials = folder.read_trials().values()
    assert all(trial.status in FINAL and len(trial.epochs) == 5 for trial in trials)
    assert sum(trial.retries for trial in trials) == 1
    assert f"h{host}" not in {trial.host for trial in trials if trial.retries}
    assert {entry.trial for entry in folder.read_evaluations()} == {trial.number for trial in trials}
    (noticed,) = (event["time"] for event in folder.read_events() if event["event"] == "retried")
    print(f"{name}: noticed after {noticed - (time.time() - (time.monotonic() - lost)):.0f} s")
