import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_pipeline.folders import scan_folder
from data_pipeline.manifest import DataError
from data_pipeline.sources import locate


def test_sample_ships_with_its_attribution() -> None:
    folder = locate("sample")
    assert scan_folder(folder).rows
    assert "CC BY 4.0" in (folder / "ATTRIBUTION.md").read_text()


def test_root_goes_before_the_source(tmp_path: Path) -> None:
    assert locate("kaggle", str(tmp_path)) == tmp_path


def test_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"existing folder. Received: .*nowhere"):
        locate("sample", str(tmp_path / "nowhere"))


def test_unknown_source_is_an_error() -> None:
    with pytest.raises(DataError, match=r"sample, kaggle.*Received: 'kagle'"):
        locate("kagle")


def test_kaggle_set_is_downloaded_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a stand-in for the package: the same call, and the folders of the real archive
    asked: list[str] = []

    def dataset_download(handle: str) -> str:
        asked.append(handle)
        shutil.copytree(locate("sample") / "test", tmp_path / "chest_xray/train")
        shutil.copytree(locate("sample") / "test", tmp_path / "chest_xray/chest_xray/train")
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=dataset_download))
    assert scan_folder(locate("kaggle")).counts()["pool"] == (40, 80)
    assert asked == ["paultimothymooney/chest-xray-pneumonia"]


def test_missing_kagglehub_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DataError, match=r"pip install '.\[kaggle\]'.*data.root=FOLDER"):
        locate("kaggle")


def test_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def dataset_download(handle: str) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=dataset_download))
    with pytest.raises(DataError, match=r"ConnectionError: no route to host.*data.root=FOLDER"):
        locate("kaggle")
