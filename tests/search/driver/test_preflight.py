import os
import resource
import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from search.driver.preflight import check_machine, check_storage, is_anothers_ray, use_ray_folder
from search.plan.settings import SettingsError
from search.record import Storage

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def short_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's folder as on a machine where nothing is set; what a test changes of the environment is undone."""
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    monkeypatch.setenv("RAY_ADDRESS", "")


def no_lines(line: str) -> None:
    raise AssertionError(line)


def test_a_sound_machine_passes() -> None:
    check_machine(lambda line: None)


def test_a_missing_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/nowhere']")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    with pytest.raises(SettingsError, match=r"Received: .*'/nowhere'.* TMPDIR=FOLDER"):
        check_machine(no_lines)


def test_a_path_too_long_for_sockets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 34)
    assert len(use_ray_folder()) == 43
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 35)
    with pytest.raises(SettingsError, match=r"at most 43 bytes. Received: /tmp/x+/ray. .*RAY_TMPDIR=/tmp"):
        use_ray_folder()
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")  # no socket of this machine is needed
    use_ray_folder()


def test_a_folder_of_another_account_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        (short / "ray").mkdir()
        monkeypatch.delenv("RAY_TMPDIR")
        monkeypatch.setenv("TMPDIR", str(short))
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != short / "ray")
        assert use_ray_folder() == f"{short}/ray-{os.getuid()}/ray"
        assert os.environ["RAY_TMPDIR"] == f"{short}/ray-{os.getuid()}"
    finally:
        shutil.rmtree(short)


def test_the_ray_of_another_account_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        monkeypatch.setenv("RAY_TMPDIR", str(short))
        assert not is_anothers_ray()
        (short / "ray").mkdir()
        (short / "ray/ray_current_cluster").write_text("127.0.0.1:6379")
        assert not is_anothers_ray()
        monkeypatch.setattr(os, "getuid", lambda: 12_345)
        owner = (short / "ray/ray_current_cluster").stat().st_uid
        assert is_anothers_ray() == (owner != 0)  # root's Ray is everybody's
        if owner == 0:
            os.chown(short / "ray/ray_current_cluster", 54_321, -1)
            assert is_anothers_ray()
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        assert not is_anothers_ray()
    finally:
        shutil.rmtree(short)


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("RLIMIT_AS", 4 * 2**30, "address space"),
        ("RLIMIT_NPROC", 100, "processes and threads"),
        ("RLIMIT_NOFILE", 64, "open files"),
    ],
)
def test_a_limit_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: int, words: str
) -> None:
    limits = {getattr(resource, name): (limit, limit)}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits.get(kind, (resource.RLIM_INFINITY,) * 2))
    with pytest.raises(SettingsError, match=rf"needs .* {words}.* Received: a limit of {limit:,}"):
        check_machine(no_lines)


def test_a_full_disk_is_refused_and_a_nearly_full_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100e9, 97e9, 3e9))
    check_machine(lines.append)
    assert lines
    assert "97% full" in lines[0]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100e9, 99.9e9, 0.1e9))
    with pytest.raises(SettingsError, match="where 100 MB are free"):
        check_machine(no_lines)


def test_a_storage_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_storage(Storage(str(tmp_path)))
    check_storage(Storage(str(tmp_path / "to/be/made")))
    assert list(tmp_path.iterdir()) == []
    check_storage(Storage("memory://preflight/runs"))
    assert Storage("memory://preflight/runs").names() == []


def test_a_storage_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for storage in ("file", "file/runs", "../../../../../../../proc/runs"):  # in /proc nobody makes a folder
        with pytest.raises(SettingsError, match=r"written to run.storage. Received: .*run.storage=FOLDER"):
            check_storage(Storage(os.path.abspath(tmp_path / storage)))

    def refuse(folder: Storage, content: bytes, *parts: str) -> None:
        raise PermissionError("An error occurred (AccessDenied) when calling the PutObject operation")

    monkeypatch.setattr(Storage, "write", refuse)
    with pytest.raises(SettingsError, match=r"Received: memory://preflight/runs \(.*AccessDenied"):
        check_storage(Storage("memory://preflight/runs"))
