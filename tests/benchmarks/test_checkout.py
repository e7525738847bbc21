"""The code that was measured, by its commit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import checkout
from benchmarks.checkout import code_commit, package_versions


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_commit_is_that_of_the_code_and_says_when_the_code_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(file: str) -> str:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(file)
        git("add", file)
        git("commit", "-m", file)
        return git("rev-parse", "--short=12", "HEAD")

    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    git("init")
    first = commit("search/a.py")
    for result in ("docs/result.json", *(path.replace("*", "a") for path in checkout.RESULTS)):
        commit(result)
        (tmp_path / result).write_text("another")
    assert code_commit() == first  # results do not change it
    second = commit("models/b.py")
    assert code_commit() == second
    assert code_commit(["search"]) == first
    (tmp_path / "models" / "b.py").write_text("changed")
    assert code_commit() == f"{second}-dirty"
    assert code_commit(["search"]) == first


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    assert code_commit() == ""


def test_only_installed_packages_have_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "PACKAGES", ("numpy", "not-a-package-of-anyone"))
    assert list(package_versions()) == ["python", "numpy"]
