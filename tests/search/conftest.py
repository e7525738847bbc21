"""What tests of searches share: a finished run, an exported winner, and a bucket (moto's S3 server in this process)."""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from data_pipeline.dataset import Dataset
from search.record import RunFolder
from search.run import main as search_command
from tests.exported_run import write_exported_run
from tests.search.searching import TINY, search

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory: pytest.TempPathFactory, small_dataset: Dataset) -> RunFolder:
    """A run with an exported winner; tests only read it."""
    return write_exported_run(RunFolder(str(tmp_path_factory.mktemp("exported") / "one")), small_dataset)


@pytest.fixture(scope="session")
def undisturbed(session_folder: Path, image_cache: Path) -> tuple[RunFolder, str]:
    """A whole search of five trials and what it printed, run once for all processes of the session; read it only."""
    storage = session_folder / "undisturbed"
    storage.mkdir(exist_ok=True)
    screen = storage / "screen.txt"
    with open(storage / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if not screen.exists():
            done = search(storage, image_cache, *TINY)
            assert done.returncode == 0, done.stderr + done.stdout
            screen.write_text(done.stdout)
    return RunFolder(str(storage / "one")), screen.read_text()


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Command:
    """Calls a command in this process, with the answer of `run`: where the process itself is not what is tested."""

    def call(words: Sequence[str], main: Callable[[Sequence[str]], int] = search_command) -> CompletedProcess[str]:
        capfd.readouterr()  # of before
        code = main(words)
        printed = capfd.readouterr()
        return CompletedProcess(list(words), code, printed.out, printed.err)

    return call


@pytest.fixture
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches write no page, which takes a process: for those whose page no test looks at."""
    monkeypatch.setattr("search.run.write_page", lambda *given: None)


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "x")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="storage")
        S3FileSystem.clear_instance_cache()  # a client keeps the address that it was made with
        yield "s3://storage"
        S3FileSystem.clear_instance_cache()
    server.stop()
