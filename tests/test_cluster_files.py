"""The cluster files, as far as they can be checked without a cluster; `make test-cluster` brings them up."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

PROJECT = Path(__file__).parents[1]
FILES = ["cluster.yaml", "cluster.onprem.yaml"]
# What Ray's providers read; it passes over any other key in silence.
PROVIDER = {
    "aws": {"type", "region", "availability_zone", "use_internal_ips", "cache_stopped_nodes", "security_group"},
    "local": {"type", "head_ip", "worker_ips"},
}


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROJECT / name).read_text())
    return content


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file_and_knows_every_key_of_its_provider(name: str) -> None:
    content = read(name)
    validate_config(prepare_config(copy.deepcopy(content)))
    assert set(content["provider"]) <= PROVIDER[content["provider"]["type"]]


def test_what_is_asked_of_ec2_is_in_its_own_terms() -> None:
    request = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for name, node in read("cluster.yaml")["available_node_types"].items():
        asked = {"MinCount": 1, "MaxCount": 1, **node["node_config"]}
        assert not ParamValidator().validate(asked, request).generate_report(), name
        assert set(asked) <= set(request.members), name
        assert node["resources"]  # Ray would have to ask AWS


@pytest.mark.parametrize("name", FILES)
def test_nobody_gets_in_without_the_token(name: str) -> None:
    content = read(name)
    assert any("RAY_AUTH_MODE=token" in line for line in content["setup_commands"])
    assert content["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    starts = [
        line for key in ("head", "worker") for line in content[f"{key}_start_ray_commands"] if "ray start" in line
    ]
    assert len(starts) == 2
    assert all(line.startswith("source ~/.xray-search && ") for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]


@pytest.mark.parametrize("name", FILES)
def test_every_node_gets_the_pinned_dependencies(name: str) -> None:
    content = read(name)
    keys = ("setup_commands", "head_setup_commands", "worker_setup_commands")
    installs = [line for key in keys for line in content.get(key, []) if "pip install" in line]
    assert installs
    assert all("--constraint constraints.txt --editable" in line for line in installs)


def test_a_worker_may_use_the_bucket_and_nothing_else() -> None:
    policy = json.loads((PROJECT / "deploy" / "aws" / "worker-policy.json").read_text())
    actions = [action for statement in policy["Statement"] for action in statement["Action"]]
    resources = {statement["Resource"] for statement in policy["Statement"]}
    assert all(action.startswith("s3:") for action in actions)
    assert resources == {"arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"}


def test_the_manifest_asks_for_the_pinned_ray_and_for_the_token() -> None:
    (manifest,) = yaml.safe_load_all((PROJECT / "deploy" / "kuberay.yaml").read_text())
    assert f"ray=={manifest['spec']['rayVersion']}" in (PROJECT / "constraints.txt").read_text().splitlines()
    assert manifest["spec"]["authOptions"] == {"mode": "token"}


def test_slurms_script_starts_ray_with_the_jobs_share_and_passes_its_words_on(tmp_path: Path) -> None:
    """With stand-ins for Slurm's commands; Ray's own reading of the arguments must take them."""
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    programs = {
        "bin/scontrol": "#!/bin/sh\nprintf 'n7\\nn8\\n'\n",
        "bin/srun": '#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n',
        ".venv/bin/activate": "",
    }
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    job = {"JOB_ID": "7", "JOB_NODELIST": "n[7-8]", "NNODES": "2", "CPUS_PER_TASK": "8", "MEM_PER_NODE": "1000"}
    variables = {f"SLURM_{name}": value for name, value in job.items()} | {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    command = ["bash", str(PROJECT / "deploy" / "slurm.sbatch"), "space=cnn2", "data.root=/a folder"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[:4] == ["--nodes=2", "--ntasks=2", "ray", "symmetric-run"]
    place = words.index("--")
    assert words[place + 1 :] == ["python", "-m", "search.run", "space=cnn2", "data.root=/a folder"]
    assert words[4:8] == ["--address", "n7:6379", "--min-nodes", "2"]
    assert curate_and_validate_ray_start_args(words[4:place]) == [
        "--num-cpus=8",
        "--object-store-memory=314572800",
        "--memory=734003200",
        "--disable-usage-stats",
    ]
