from collections import Counter
from pathlib import Path

import pytest

from data_pipeline import archive
from data_pipeline.dataset import prepare_dataset
from data_pipeline.manifest import Manifest
from data_pipeline.settings import DataSettings
from data_pipeline.sources import locate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    assert archive.main([str(folder)]) == 0
    return folder


def read(cache: Path, root: Path, labels: str = "folders") -> Manifest:
    return prepare_dataset(DataSettings(root=str(root), labels=labels, size=32, cache=str(cache))).manifest


def test_the_archive_has_the_images_classes_and_patients_of_the_sample(folder: Path, tmp_path: Path) -> None:
    sample = read(tmp_path, locate("sample", None), "two_class")
    patients = len({row.group for row in sample.rows})
    dicom = read(tmp_path, folder / "dicom")
    table = read(tmp_path, folder / "table", str(folder / archive.TABLE))
    for found in (dicom, table):
        assert not found.bad
        assert sorted(Counter(row.label for row in found.rows).values()) == sorted(
            Counter(row.label for row in sample.rows).values()
        )
        assert len({row.group.rpartition("/")[2] for row in found.rows}) == patients
    assert {row.view for row in dicom.rows} == {""}  # the sample does not state it


def test_an_archive_that_cannot_be_written_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert archive.main([str(tmp_path / "file")]) == 2
    assert "Received" in capsys.readouterr().err
