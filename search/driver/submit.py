"""`cluster=submit`: the same command, run by a cluster as a Ray job; its screen followed here, its results fetched.

Source: Ray, 'Ray Jobs Python SDK' (JobSubmissionClient).
"""

import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models import ONEDNN, USERS_ONEDNN
from search.plan.earlier import in_storage, storage_of
from search.plan.settings import ClusterSettings, SettingsError
from search.plan.warm import warm_runs
from search.plan.words import Word, conf_folder, parse_words, value_of
from search.record import RecordError, RunFolder, inside

# Of the project's folder, what a search does not need; in the manner of .gitignore, which Ray heeds too.
_LEFT_AT_HOME = [".git", ".venv", "/runs", "/build", "/docs", "/tests", "/benchmarks", "*.egg-info", ".*_cache"]
_POLL_SECONDS = 2.0
_RUNS_BELOW_HOME = re.compile(r"""search\.warm_start=(.*,)?\s*['"]?~""")
_BELOW_HOME = re.compile(r"""[^=]+=['"]?~""")  # as typed: the word's value is the home folder of this machine
# Weights and optimizer states are for the cluster to resume from; the winner's model is fetched.
_NOT_FETCHED = ("trials", "driver.log")


def job_words(words: Sequence[str | Word], name: str) -> list[str]:
    """The words of the command that the cluster runs, for a run of that name.

    Raises:
        SettingsError: the results would be lost with the job's own folder, or nobody here would know which they are.
    """
    given = parse_words(words)
    storage, refit = value_of(given, "run.storage") or "", value_of(given, "refit") or ""
    if not _is_everywhere(given, "run.storage"):
        raise SettingsError(
            "With cluster=submit, run.storage is a URL or an absolute path without ~ that every node reaches. "
            f"Received: {storage or 'none'}. Try run.storage=s3://BUCKET/runs, or the path of a shared folder."
        )
    if value_of(given, "resume") == "auto":
        raise SettingsError("With cluster=submit, resume names its run. Received: resume=auto. Use resume=NAME.")
    if "/" in refit and not _is_everywhere(given, "refit"):
        raise SettingsError(
            "With cluster=submit, refit is the name of a run in run.storage, or a URL or an absolute path without ~ "
            f"that every node reaches. Received: {refit}. Give the run's full path or URL."
        )
    for run in warm_runs(value_of(given, "search.warm_start")):
        if ("/" in run and not _is_absolute(run)) or any(_RUNS_BELOW_HOME.match(word.text) for word in given):
            raise SettingsError(
                "With cluster=submit, search.warm_start has names of runs in run.storage, or URLs or absolute paths "
                f"without ~ that every node reaches. Received: {run}. Give the run's full path or URL."
            )
    is_named = bool(value_of(given, "run.name") or value_of(given, "resume"))
    typed = [word.text for word in given]
    return typed if is_named else [*typed, f"run.name={name}"]


def submit(
    cluster: ClusterSettings, words: Sequence[str], connect: Callable[[str], Any], show: Callable[[str], None]
) -> int:
    """Send the command, show what it prints until it ends, and fetch the run; returns an exit code.

    Args:
        cluster: where the cluster's dashboard is, and where fetched runs go.
        words: of the command, as `job_words` gives them.
        connect: a client of the dashboard at an address (`connect_client`).
        show: takes text as it comes, line ends included.

    Raises:
        SettingsError: no cluster answers, or it does not let us in.
    """
    client = connect(cluster.address)
    job = client.submit_job(
        entrypoint=shlex.join(["python", "-m", "search.run", *words]),
        runtime_env={
            "working_dir": str(conf_folder().parents[1]),
            "excludes": _LEFT_AT_HOME,
            "env_vars": {} if USERS_ONEDNN is None else {ONEDNN: USERS_ONEDNN},
        },
    )
    where = f"--address {cluster.address} {job}"
    show(f"Job {job} on {cluster.address}. Ctrl-C leaves it running; ray job stop {where} ends it.\n")
    try:
        status = follow(client, job, show)
    except KeyboardInterrupt:
        show(f"\nThe search goes on. See it: ray job logs --follow {where}\nEnd it: ray job stop {where}\n")
        return 130
    if cluster.fetch:
        show(fetch(words, cluster.fetch))
    if status != "SUCCEEDED":
        show(f"The job ended as {status.lower()}: {client.get_job_info(job).message or 'see above'}\n")
    return 0 if status == "SUCCEEDED" else 1


def connect_client(address: str) -> Any:
    """A client of the cluster whose dashboard is at that address.

    Raises:
        SettingsError: nobody answers there, or not to us.
    """
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
        client.list_jobs()
    except (OSError, RuntimeError, AuthenticationError) as error:
        if "ray[default]" in str(error):
            raise SettingsError(
                "cluster=submit needs Ray's client for jobs, which is not installed. Install it: "
                'pip install --constraint constraints.txt --editable ".[cluster]"'
            ) from error
        raise SettingsError(
            f"A cluster's dashboard must answer at cluster.address={address}. Received: {_first_line(error)}. "
            "Open the tunnel (ray dashboard cluster.yaml), and use the token of the cluster "
            "(RAY_AUTH_MODE=token, ~/.ray/auth_token)."
        ) from error
    return client


def follow(client: Any, job: str, show: Callable[[str], None], pause: float = _POLL_SECONDS) -> str:
    """Show a job's output as it comes, over lost connections too; returns its final status, such as "SUCCEEDED".

    Args:
        client: Ray's of the cluster.
        job: its id.
        show: called with each new part of the output.
        pause: seconds between two looks.
    """
    shown, lost = 0, False
    while True:
        try:
            status = client.get_job_status(job)
            output = client.get_job_logs(job)
        except (OSError, RuntimeError) as error:  # the client's lost connections are OSErrors, not ConnectionErrors
            if not lost:
                show(
                    f"[The cluster does not answer ({_first_line(error)}); trying again. The job goes on, unless the "
                    "head is lost: then bring up another and resume the run there.]\n"
                )
            lost = True
            time.sleep(pause)
            continue
        lost = False
        if len(output) > shown:
            show(output[shown:])
            shown = len(output)
        if status.is_terminal():
            return str(status.value)
        time.sleep(pause)


def fetch(words: Sequence[str], target: str) -> str:
    """Copy what the run left, its checkpoints aside, into a folder here; says where, or how to get it."""
    given = parse_words(words)
    name = value_of(given, "run.name") or value_of(given, "resume")
    url = in_storage(storage_of(given), name)
    try:
        source, copied = RunFolder(url), Path(target, inside(str(name)))
        if not source.exists("run.json"):
            return f"{source.url} is not to be seen from here; fetch it with ray rsync-down.\n"
        for part in source.files():  # all names are checked before the first file is written
            if part.partition("/")[0] not in _NOT_FETCHED:
                (copied / part).parent.mkdir(parents=True, exist_ok=True)
                (copied / part).write_bytes(source.read_own(part))
    except (OSError, RecordError) as error:
        return f"{url} was not fetched: {_first_line(error)}\n"
    return f"Fetched    {copied}  (page: {copied}/report.html; checkpoints stay in {source.url})\n"


def _is_everywhere(words: Sequence[Word], key: str) -> bool:
    """Whether every node would look for a setting's folder in the same place; the home folder differs."""
    for word in reversed(words):
        if word.key == key:
            return _is_absolute(word.value or "") and not _BELOW_HOME.match(word.text)
    return False


def _is_absolute(path: str) -> bool:
    return "://" in path or path.startswith("/")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
