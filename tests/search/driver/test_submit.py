import shlex
from pathlib import Path
from typing import Any

import pytest

from models import ONEDNN
from search import run
from search.driver.submit import connect_client, fetch, follow, job_words, submit
from search.plan.settings import ClusterSettings, SettingsError
from search.plan.words import cluster_settings
from search.record import RunFolder


class Status(str):
    """Stands for Ray's JobStatus."""

    @property
    def value(self) -> str:
        return str(self)

    def is_terminal(self) -> bool:
        return self in ("SUCCEEDED", "FAILED", "STOPPED")


class Cluster:
    """Stands for JobSubmissionClient; `course` is what each question is answered with, an error included."""

    message = "exit code 2"

    def __init__(self, *course: tuple[str, str] | Exception) -> None:
        self.course = list(course)
        self.submitted: dict[str, Any] = {}

    def submit_job(self, **job: Any) -> str:
        self.submitted = job
        return "job_1"

    def get_job_status(self, job: str) -> Status:
        answer = self.course[0]
        if isinstance(answer, Exception):
            self.course.pop(0)
            raise answer
        return Status(answer[0])

    def get_job_logs(self, job: str) -> str:
        return self.course.pop(0)[1]  # type: ignore[index]

    def get_job_info(self, job: str) -> "Cluster":
        return self


def test_what_a_job_prints_is_shown_once_over_a_lost_connection() -> None:
    shown: list[str] = []
    lost = OSError("connection refused")
    cluster = Cluster(
        ("PENDING", ""), ("RUNNING", "one\n"), lost, lost, ("RUNNING", "one\ntwo\n"), ("SUCCEEDED", "one\ntwo\n3")
    )
    assert follow(cluster, "job_1", shown.append, pause=0.0) == "SUCCEEDED"
    notes = [text for text in shown if text.startswith("[")]
    assert len(notes) == 1
    assert "connection refused" in notes[0]
    assert "".join(text for text in shown if text not in notes) == "one\ntwo\n3"


@pytest.mark.parametrize(("status", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("STOPPED", 1)])
def test_the_command_is_sent_with_the_project_and_its_end_is_the_exit_code(
    tmp_path: Path, status: str, code: int
) -> None:
    cluster, shown = Cluster((status, "log\n")), []
    words = ["space=plain2", "data.root=/images of ours", f"run.storage={tmp_path}", "run.name=one"]
    assert submit(ClusterSettings(fetch=None), words, lambda address: cluster, shown.append) == code
    assert shlex.split(cluster.submitted["entrypoint"]) == ["python", "-m", "search.run", *words]
    project = Path(cluster.submitted["runtime_env"]["working_dir"])
    assert (project / "search" / "run.py").is_file()
    assert ("exit code 2" in "".join(shown)) == (code == 1)


@pytest.mark.parametrize(("own", "sent"), [(None, {}), ("0", {ONEDNN: "0"})])
def test_the_users_own_onednn_goes_with_the_job(
    own: str | None, sent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.driver.submit.USERS_ONEDNN", own)
    cluster = Cluster(("SUCCEEDED", ""))
    submit(ClusterSettings(fetch=None), ["run.storage=/shared/runs"], lambda address: cluster, lambda text: None)
    assert cluster.submitted["runtime_env"]["env_vars"] == sent


def test_results_are_fetched_without_checkpoints(tmp_path: Path) -> None:
    source = RunFolder(str(tmp_path / "shared" / "one"))
    for parts in (("run.json",), ("winner", "card.md"), ("trials", "0000", "best.npz")):
        source.write(b"content", *parts)
    words = [f"run.storage={tmp_path}/shared", "run.name=one"]
    assert "Fetched" in fetch(words, str(tmp_path / "here"))
    copied = sorted(
        str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*") if path.is_file()
    )
    assert copied == ["one/run.json", "one/winner/card.md"]
    assert "not to be seen from here" in fetch([*words, "run.name=two"], str(tmp_path / "here"))
    unknown = fetch([*words, "run.storage=s4://bucket"], str(tmp_path / "here"))
    assert "s4://bucket/one was not fetched: " in unknown


def test_a_key_that_leads_out_of_the_folder_is_not_fetched(bucket: str, tmp_path: Path) -> None:
    """The bucket's other writers are strangers: a key with `..` would be written beside the target folder."""
    source = RunFolder(f"{bucket}/runs/one")
    source.write(b"{}", "run.json")
    source.fs.pipe_file(f"{source.path}/log/../../../evil.txt", b"a stranger's")
    assert [key for key in source.fs.find(source.path) if ".." in key]  # the storage takes it as it is
    said = fetch([f"run.storage={bucket}/runs", "run.name=one"], str(tmp_path / "a" / "here"))
    assert "was not fetched: What belongs to a run is named inside the run's folder" in said
    assert "Received: 'log/../../../evil.txt'" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert source.names("log") == []


@pytest.mark.parametrize("storage", [[], ["run.storage=runs"], ["run.storage=./runs"]])
def test_results_in_the_folder_of_a_job_are_refused(storage: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["cluster=submit", "space=plain2", *storage]) == 2
    assert "run.storage is a URL or an absolute path" in capsys.readouterr().err


def test_a_job_has_the_name_of_its_run_beforehand() -> None:
    storage = "run.storage=s3://bucket/runs"
    assert job_words([storage], "cnn2-1") == [storage, "run.name=cnn2-1"]
    assert job_words([storage, "run.name=mine"], "cnn2-1") == [storage, "run.name=mine"]
    assert job_words([storage, "resume=mine"], "cnn2-1") == [storage, "resume=mine"]


def test_a_run_to_go_on_with_is_named() -> None:
    with pytest.raises(SettingsError, match="resume=NAME"):
        job_words(["run.storage=/shared", "resume=auto"], "cnn2-1")


def test_a_run_to_train_again_is_one_that_every_node_reaches() -> None:
    storage = "run.storage=/shared"
    for reached in ("refit=one", "refit=s3://bucket/runs/one", "refit=/shared/one.zip", "refit=null"):
        assert job_words([storage, reached], "two") == [storage, reached, "run.name=two"]
    with pytest.raises(SettingsError, match="Received: runs/one"):
        job_words([storage, "refit=runs/one"], "two")


def test_runs_to_begin_with_are_those_that_every_node_reaches() -> None:
    storage = "run.storage=/shared"
    for reached in ("one,two", "s3://bucket/runs/one,/shared/two.zip", "null"):
        words = [storage, f"search.warm_start={reached}"]
        assert job_words(words, "two") == [*words, "run.name=two"]
    for lost in ("one,runs/two", "one,~/two", "~/one"):
        with pytest.raises(SettingsError, match=r"search\.warm_start has names of runs"):
            job_words([storage, f"search.warm_start={lost}"], "two")


@pytest.mark.parametrize("words", [["run.storage=~/runs"], ["run.storage='~/runs'"], ["run.storage=/s", "refit=~/one"]])
def test_the_home_folder_of_this_machine_is_not_that_of_the_nodes(words: list[str]) -> None:
    with pytest.raises(SettingsError, match="absolute path without ~"):
        job_words(words, "two")


def test_what_is_wrong_with_a_refit_is_told_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["cluster=submit", "refit=one", f"run.storage={tmp_path}", "dry_run=true"]) == 2
    assert "one, which has none" in capsys.readouterr().err


def test_a_dry_run_is_done_here(image_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cluster=submit", "space=plain2", f"data.cache={image_cache}", "run.storage=/out/of/reach"]
    assert run.main([*words, "dry_run=true"]) == 0
    assert "nothing was started" in capsys.readouterr().out


def test_what_the_cluster_must_know_of_its_workers_is_sent_along(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr("search.driver.submit.submit", lambda cluster, words, *rest: sent.append(words) or 0)
    workers = "cluster.workers=[{count: 8, cpus: 8, gpus: 1}]"
    command = ["cluster=submit", "cluster.fetch=null", "space=plain2", "run.storage=/shared", "run.name=two", workers]
    assert run.main(command) == 0
    assert sent == [["space=plain2", "run.storage=/shared", "run.name=two", workers]]


def test_mistakes_are_found_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["cluster=submit", "space=plain3", "search.num_trial=3", "run.storage=/shared"]) == 2
    assert "search.num_trials" in capsys.readouterr().err
    assert run.main(["cluster=sumbit", "space=plain2"]) == 2
    assert "submit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionError("refused"), r"127\.0\.0\.1:9.*refused.*ray dashboard"),
        (RuntimeError("The SDK requires the ray[default] installation"), r"not installed.*\[cluster\]"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_clear_line(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(address: str) -> None:
        raise error

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", refuse)
    with pytest.raises(SettingsError, match=expected):
        connect_client("http://127.0.0.1:9")


def test_where_a_command_runs_is_apart_from_what_it_runs() -> None:
    cluster, words = cluster_settings(["space=plain3", "cluster=submit", "cluster.address=http://head:8265"])
    assert (cluster.mode, cluster.address) == ("submit", "http://head:8265")
    assert [word.text for word in words] == ["space=plain3"]
    assert cluster_settings([])[0].mode == "auto"
