"""`ray up cluster.yaml` for real, against moto's EC2 and IAM and with the lab's hosts as the instances it hands out."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.record import FINISHED, RunFolder
from tests.cluster import lab as labs
from tests.cluster.lab import CLIENT, PROJECT, Lab

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(labs.missing()), reason=labs.missing() or "-")]

HEAD, WORKERS = 4, (5, 6, 7)  # what moto assigns in a /24: .4 first
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
print(subnet)
"""
STATES = """
import boto3
for each in boto3.client("ec2").describe_instances()["Reservations"]:
    for one in each["Instances"]:
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        print(one["State"]["Name"], tags["ray-user-node-type"], one.get("InstanceLifecycle", "on demand"))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), Path(sys.prefix)) as lab:
        variables = {**AWS, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        server = lab.popen("moto_server", "-H", CLIENT, "-p", "5000", log=lab.folder / "moto.log", **variables)
        lab.start(HEAD, *WORKERS)
        for number in (HEAD, *WORKERS):
            lab.ssh(number, f"mkdir -p ~/.aws && printf '[default]\\n{CONFIG}' > ~/.aws/config")
        lab.run("ray", "get-auth-token", "--generate")
        yield lab
        server.terminate()
        server.wait()


def ask_aws(lab: Lab, program: str, *words: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            return lab.run("python", "-c", program, *words, **AWS).stdout.strip()
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Path]:
    """The cluster file as it is shipped, but for the lab's network, user and key."""
    key = lab.home / ".ssh" / "id_ed25519"
    subnet = ask_aws(lab, PREPARE, f"{key}.pub", str(PROJECT / "deploy" / "aws"))
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


def test_spot_workers_come_for_the_trials_that_wait_and_go_afterwards(lab: Lab, cluster: Path) -> None:
    assert ask_aws(lab, STATES) == "running head on demand"
    words = ["space=cnn2", "search.num_trials=4", "search.max_epochs=2", "search.scheduler=none", "run.name=spot"]
    words += ["resources.gpus_per_trial=1", "resources.max_concurrent=2", "run.storage=s3://runs/searches"]
    command = ["python", "-m", "search.run", "cluster=submit", *words, f"cluster.fetch={lab.folder}/fetched"]
    job = lab.popen(*command, log=lab.folder / "job.log", **SECURE, **AWS)
    most, deadline = 0, time.monotonic() + 300
    while job.poll() is None and time.monotonic() < deadline:
        most = max(most, ask_aws(lab, STATES).count("running gpu_spot"))
        time.sleep(3)
    job.kill()
    code = job.wait()
    printed = (lab.folder / "job.log").read_text()
    assert code == 0, printed + lab.ssh(HEAD, "tail -n 100 /tmp/ray/session_latest/logs/monitor.log")
    # Two trials at a time on a GPU each: two workers were asked for, though eight were allowed, and all of them spot.
    assert most == 2
    assert set(ask_aws(lab, STATES).splitlines()) <= {
        "running head on demand",
        "running gpu_spot spot",
        "terminated gpu_spot spot",
    }
    trials = RunFolder(f"{lab.folder}/fetched/spot").read_trials().values()
    assert [trial.status for trial in trials] == [FINISHED] * 4
    assert {trial.host for trial in trials} <= {f"h{number}" for number in WORKERS}
    deadline = time.monotonic() + 180
    while "running gpu_spot" in ask_aws(lab, STATES) and time.monotonic() < deadline:
        time.sleep(5)
    assert "running gpu_spot" not in ask_aws(lab, STATES)
    print(lab.run("ray", "down", "--yes", str(cluster), **SECURE, **AWS).stdout[-1000:])
    assert "running" not in ask_aws(lab, STATES)
