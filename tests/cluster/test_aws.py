"""`ray up cluster.yaml` for real, against moto's EC2, IAM and S3 and with the lab's hosts as the instances."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.record import FINISHED, RunFolder
from tests.cluster import lab as labs
from tests.cluster.lab import CLIENT, PROJECT, Lab
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(labs.missing()), reason=labs.missing() or "-"),
]

HEAD = 4  # what moto assigns first in a /24
ENDPOINT = f"http://{CLIENT}:5000"
REGION = "us-west-2"
AWS = {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_DEFAULT_REGION": REGION}
AWS |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
# What an instance profile gives a node on AWS, for ~/.aws/config.
CONFIG = f"region = {REGION}\\nendpoint_url = {ENDPOINT}\\naws_access_key_id = x\\naws_secret_access_key = x\\n"
SECURE = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}

# Run on the client: what deploy/aws/README.md has one do, and a network with the lab's addresses.
PREPARE = """
import boto3, json, sys
key, folder = open(sys.argv[1], "rb").read(), sys.argv[2]
ec2, iam, s3 = (boto3.client(name) for name in ("ec2", "iam", "s3"))
vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.0.0/24", AvailabilityZone="us-west-2a")["Subnet"]["SubnetId"]
ec2.import_key_pair(KeyName="lab", PublicKeyMaterial=key)
s3.create_bucket(Bucket="runs", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
for role in ("head", "worker"):
    name = f"xray-search-{role}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=open(f"{folder}/trust.json").read())
    policy = open(f"{folder}/{role}-policy.json").read().replace("BUCKET", "runs")
    iam.put_role_policy(RoleName=name, PolicyName="xray-search", PolicyDocument=policy)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
print(json.dumps(subnet))
"""
INSTANCES = """
import boto3, json
for each in boto3.client("ec2").describe_instances()["Reservations"]:
    for one in each["Instances"]:
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        lifecycle = one.get("InstanceLifecycle", "on demand")
        state, address = one["State"]["Name"], one.get("PrivateIpAddress", "")
        print(json.dumps([one["InstanceId"], state, tags["ray-user-node-type"], lifecycle, address]))
"""
TERMINATE = "import boto3, sys; boto3.client('ec2').terminate_instances(InstanceIds=sys.argv[1:])"
TRIALS = """
import json, sys
from search.record import RunFolder
folder = RunFolder("s3://runs/searches/" + sys.argv[1])
trials = folder.read_trials().values() if folder.exists("log") else ()
for each in trials:
    print(json.dumps([each.status, each.host, each.retries, [epoch.epoch for epoch in each.epochs]]))
"""


@dataclass(frozen=True)
class Instance:
    """An instance as moto has it."""

    name: str
    state: str
    kind: str
    lifecycle: str
    address: str

    @property
    def host(self) -> int:
        """The lab's host that plays it."""
        return int(self.address.rpartition(".")[2])


@dataclass(frozen=True)
class Progress:
    """A trial as the bucket tells it."""

    status: str
    host: str
    retries: int
    epochs: list[int]


def ask_aws(lab: Lab, program: str, *words: str) -> list[Any]:
    """What a program on the client prints, a line of JSON each."""
    refusals: list[str] = []

    def answers() -> list[str]:
        try:
            return [lab.run("python", "-c", program, *words, **AWS).stdout]
        except RuntimeError as error:
            refusals.append(str(error))
            return []

    (answer,) = wait_until(answers, "AWS answers", told=lambda: refusals[-1], every=1)
    return [json.loads(line) for line in answer.splitlines()]


def instances(lab: Lab) -> list[Instance]:
    return [Instance(*each) for each in ask_aws(lab, INSTANCES)]


def running(lab: Lab, kind: str) -> list[Instance]:
    return [each for each in instances(lab) if (each.state, each.kind) == ("running", kind)]


def provide(lab: Lab, *numbers: int) -> None:
    """Bring up hosts for instances, with what an instance profile gives them."""
    lab.start(*numbers)
    for number in numbers:
        lab.ssh(number, f"mkdir -p ~/.aws && printf '[default]\\n{CONFIG}' > ~/.aws/config")


def provide_all(lab: Lab) -> None:
    """A host for each running instance that has none."""
    provide(lab, *(each.host for each in instances(lab) if each.state == "running" and each.host not in lab.hosts))


def take_away(lab: Lab, gone: Sequence[Instance]) -> None:
    """Instances end, and their hosts with them."""
    ask_aws(lab, TERMINATE, *(each.name for each in gone))
    for each in gone:
        lab.kill(each.host)


def progress(lab: Lab, run: str) -> list[Progress]:
    return [Progress(*each) for each in ask_aws(lab, TRIALS, run)]


def epochs_of(trials: Sequence[Progress]) -> int:
    return sum(len(trial.epochs) for trial in trials)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), Path(sys.prefix)) as lab:
        variables = {**AWS, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        server = lab.popen("moto_server", "-H", CLIENT, "-p", "5000", log=lab.folder / "moto.log", **variables)
        provide(lab, HEAD)
        lab.run("ray", "get-auth-token", "--generate")
        yield lab
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Path]:
    """The cluster file as it is shipped, but for the lab's network, user and key."""
    key = lab.home / ".ssh" / "id_ed25519"
    (subnet,) = ask_aws(lab, PREPARE, f"{key}.pub", str(PROJECT / "deploy" / "aws"))
    content: dict[str, Any] = yaml.safe_load((PROJECT / "cluster.yaml").read_text())
    content["provider"]["use_internal_ips"] = True
    content["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    for node in content["available_node_types"].values():
        node["node_config"] |= {"SubnetIds": [subnet], "KeyName": "lab"}
    # No index of packages is in reach, and the environment that every host has is without NVIDIA's libraries.
    content["worker_setup_commands"] = [line.replace(",gpu", "") for line in content["worker_setup_commands"]]
    content["idle_timeout_minutes"] = 1
    file = lab.folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(content))
    print(lab.run("ray", "up", "--yes", "--no-config-cache", str(file), **SECURE, **AWS).stdout[-3000:])
    with lab.tunnel(file, **SECURE, **AWS):
        yield file


SEARCH = ("python", "-m", "search.run", "cluster=submit", "run.storage=s3://runs/searches")


def test_spot_workers_come_for_the_trials_that_wait_and_go_afterwards(lab: Lab, cluster: Path) -> None:
    assert [(each.state, each.kind) for each in instances(lab)] == [("running", "head")]
    words = ["space=plain2", "search.num_trials=4", "search.max_epochs=2", "search.scheduler=none", "run.name=spot"]
    words += ["resources.gpus_per_trial=1", "resources.max_concurrent=2", f"cluster.fetch={lab.folder}/fetched"]
    job = lab.popen(*SEARCH, *words, log=lab.folder / "job.log", **SECURE, **AWS)
    most = 0

    def has_ended() -> bool:
        nonlocal most
        most = max(most, len(running(lab, "gpu_spot")))
        provide_all(lab)
        return job.poll() is not None

    wait_until(has_ended, "the search has ended", told=(lab.folder / "job.log").read_text, every=3)
    told = (lab.folder / "job.log").read_text() + lab.ssh(HEAD, "tail -n 300 /tmp/ray/session_latest/logs/monitor.log")
    assert job.returncode == 0, told
    # Two trials at a time on a GPU each: two workers, though eight were allowed, and all of them spot. Ray may start a
    # third: where it looks while a place is being made on a worker that has just joined, it sees the place taken and
    # the trial waiting still. The third ends like the others.
    assert 2 <= most <= 3, told
    workers = [each for each in instances(lab) if each.kind != "head"]
    assert {(each.kind, each.lifecycle) for each in workers} == {("gpu_spot", "spot")}
    trials = RunFolder(f"{lab.folder}/fetched/spot").read_trials().values()
    assert [trial.status for trial in trials] == [FINISHED] * 4
    assert {trial.host for trial in trials} <= {f"h{each.host}" for each in workers}
    wait_until(lambda: not running(lab, "gpu_spot"), "idle workers have gone", every=5)


def test_nothing_is_lost_with_a_worker_with_all_of_them_and_with_the_head(lab: Lab, cluster: Path) -> None:
    words = ["space=plain2", "search.num_trials=4", "search.max_epochs=16", "search.scheduler=none", "run.name=lost"]
    words += ["resources.gpus_per_trial=1", "resources.max_concurrent=2", "cluster.fetch=null"]
    log = lab.folder / "lost.log"
    job = lab.popen(*SEARCH, *words, log=log, **SECURE, **AWS)

    def wait_for(what: str, wanted: Callable[[list[Progress]], bool], provides: bool = True) -> None:
        def is_there() -> bool:
            if provides:
                provide_all(lab)
            return wanted(progress(lab, "lost"))

        wait_until(is_there, what, job, told=log.read_text, every=2)

    # A spot worker is taken away: its trial goes on elsewhere from its last epoch, and another worker is asked for.
    wait_for("two epochs", lambda trials: any(len(trial.epochs) >= 2 for trial in trials))
    taken = next(
        each for each in running(lab, "gpu_spot") if f"h{each.host}" in {t.host for t in progress(lab, "lost")}
    )
    take_away(lab, [taken])
    wait_for("a second host", lambda trials: any(t.retries and t.host != f"h{taken.host}" for t in trials))
    # All workers are gone for two minutes: the search waits, says so, and goes on with new ones.
    take_away(lab, running(lab, "gpu_spot"))
    wait_for("it waits", lambda trials: "nothing runs: waiting for a worker" in log.read_text(), provides=False)
    before = epochs_of(progress(lab, "lost"))
    time.sleep(120)
    assert job.poll() is None
    assert re.search(r"Waiting \d.* for a host with .*: .*gpu_spot (starting|could not be started)", log.read_text())
    assert epochs_of(progress(lab, "lost")) <= before + 2  # what came from the lost workers' last moments
    wait_for("it goes on", lambda trials: epochs_of(trials) > before + 4)
    # The head is lost: another is brought up, and the search resumed there from the bucket.
    take_away(lab, running(lab, "head"))
    before = epochs_of(progress(lab, "lost"))
    job.kill()
    job.wait()
    up = lab.popen("ray", "up", "--yes", "--no-config-cache", str(cluster), log=lab.folder / "up.log", **SECURE, **AWS)
    while up.poll() is None:
        provide_all(lab)
        time.sleep(2)
    assert up.returncode == 0, (lab.folder / "up.log").read_text()
    (head,) = running(lab, "head")
    assert head.host != HEAD
    with lab.tunnel(cluster, **SECURE, **AWS):
        # A new head may be up before the lease of the lost driver ends: the run is refused until then.
        while True:
            job = lab.popen(*SEARCH, "resume=lost", "cluster.fetch=null", log=log, **SECURE, **AWS)
            while job.poll() is None:
                provide_all(lab)
                time.sleep(3)
            if job.returncode == 0 or "A run has one driver" not in log.read_text():
                break
        assert job.returncode == 0, log.read_text()
    trials = progress(lab, "lost")
    assert [trial.status for trial in trials] == [FINISHED] * 4
    assert [trial.epochs for trial in trials] == [list(range(1, 17))] * 4
    assert before < 4 * 16  # there was something left to do on the new head
    print(lab.run("ray", "down", "--yes", str(cluster), **SECURE, **AWS).stdout[-1000:])
    assert {each.state for each in instances(lab)} == {"terminated"}
