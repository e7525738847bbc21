"""A run whose folder is in a bucket, from its first trial to its tables, against moto's S3 server."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

import analysis
from analysis.tables.command import main as tables
from search.record import RunFolder
from tests.search.conftest import Command
from tests.search.searching import SMALL, TINY, numbers, start
from tests.waiting import LIMIT, wait_until

STORAGE = "s3://bucket/runs"


def free_port() -> int:
    """A port of this machine that nothing uses; the server takes it again after a pause, which 0 would not give."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    """A server with an empty bucket; what it holds outlasts a stop and a start."""
    import boto3

    port = free_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield server
        server.stop()


def wait_for_checkpoints(folder: RunFolder, process: "subprocess.Popen[str]", number: int) -> None:
    """Wait until trials have begun to write: so many checkpoints, of whichever trials."""

    def written() -> bool:
        return sum(len(folder.names("trials", trial)) for trial in folder.names("trials")) >= number

    wait_until(written, f"{number} checkpoints", process, every=0.5)  # a look is a request for each trial


def wait_for_words(words: str, screen: list[str], logs: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until the search has said so, on the screen or in its log, which a temporary folder has until it ends."""

    def said() -> bool:
        has_ended = process.poll() is not None
        found = any(words in text for text in (*screen, *(file.read_text() for file in logs.glob("*/driver.log"))))
        assert found or not has_ended, "".join(screen)
        return found

    wait_until(said, f"{words!r} from the search")


@pytest.mark.faults
def test_a_search_waits_for_its_bucket_and_once_killed_goes_on_there_and_is_analysed_from_there(
    server: ThreadedMotoServer,
    undisturbed: tuple[RunFolder, str],
    image_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Command,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # the path of Ray's sockets must be short
    there = [f"run.storage={STORAGE}", f"data.cache={image_cache}"]
    with monkeypatch.context() as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # the client's own tries take seconds before ours begin
        process, lines = start([*SMALL, *TINY, *there, f"run.patience={LIMIT}"]), list[str]()
    reading = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reading.start()
    folder = RunFolder(f"{STORAGE}/one")
    wait_for_checkpoints(folder, process, 2)
    server.stop()
    wait_for_words("The storage fails", lines, tmp_path, process)
    server.start()
    wait_for_words("The storage works again", lines, tmp_path, process)
    wait_for_checkpoints(folder, process, 5)
    process.send_signal(signal.SIGKILL)
    reading.join()
    process.communicate()  # closes the pipe
    assert process.returncode == -signal.SIGKILL

    resumed = call(["resume=auto", *there])
    assert resumed.returncode == 0, resumed.stderr + resumed.stdout
    assert "Resuming" in resumed.stdout
    trials = folder.read_trials()
    assert numbers(trials) == numbers(undisturbed[0].read_trials())
    assert all(trial.is_final and trial.retries == 0 for trial in trials.values())
    finished = {trial.number for trial in trials.values() if trial.status == "finished"}
    assert {entry.trial for entry in folder.read_evaluations()} == finished
    assert folder.exists("report.html")
    assert folder.exists("winner", "model.keras")
    loaded = analysis.load(folder.url)
    assert list(loaded.trials["status"]) == [trial.status for trial in trials.values()]
    assert tables([folder.url, "--format", "csv", "--out", str(tmp_path / "tables")]) == 0
    assert list((tmp_path / "tables").glob("*.csv"))
