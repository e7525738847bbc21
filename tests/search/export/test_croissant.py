"""The data set as Croissant, validated by the reference implementation."""

import csv
import json
import shutil
import warnings
from pathlib import Path

import pytest

from data_pipeline.dataset import Dataset
from search.export.__main__ import main
from search.export.croissant import image_table
from search.record import RunFolder
from tests.data_pipeline.conftest import SAMPLE


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, exported_run: RunFolder) -> Path:
    """A folder with the description of the sample, and one image of it."""
    folder = tmp_path_factory.mktemp("croissant")
    assert main([exported_run.url, "--to", "croissant", str(folder)]) == 0
    return folder


def test_the_reference_implementation_reads_the_description_and_the_table(
    described: Path, small_dataset: Dataset
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mlcroissant, about its own use of pandas and rdflib
        import mlcroissant

        dataset = mlcroissant.Dataset(jsonld=str(described / "croissant.json"))
        records = list(dataset.records("images"))
    assert not dataset.metadata.ctx.issues.errors
    manifest = small_dataset.manifest
    assert len(records) == len(manifest.rows) > 500
    by_image = {record["images/image"].decode(): record for record in records}
    for row in manifest.rows[::100]:
        record = by_image[row.image_id]
        assert record["images/label"].decode() == manifest.classes[row.label]
        assert record["images/sha256"].decode() == row.content_hash
    splits = [record["images/split"].decode() for record in records]
    counts = {part: sum(numbers) for part, numbers in small_dataset.split.counts(manifest).items()}
    assert {part: splits.count(part) for part in counts} == counts


def test_an_image_has_the_findings_that_it_shows(findings_dataset: Dataset) -> None:
    manifest = findings_dataset.manifest
    table = list(csv.DictReader(image_table(manifest, ["train"] * len(manifest.rows)).splitlines()))
    labels = {row["image"]: row["label"] for row in table}
    assert labels == {row.image_id: manifest.label_name(row) for row in manifest.rows}
    assert {"no finding", "pneumonia", "dark", "pneumonia, dark"} <= set(labels.values())


def test_the_files_are_found_where_the_description_lies(described: Path, small_dataset: Dataset) -> None:
    description = json.loads((described / "croissant.json").read_text())
    (table, files) = description["distribution"]
    assert (table["@id"], files["encodingFormat"]) == ("images.csv", "image/jpeg")
    assert len(list(SAMPLE.glob(files["includes"]))) == len(small_dataset.manifest.rows)


def test_neither_file_names_a_patient_or_a_path(described: Path) -> None:
    for path in described.iterdir():
        text = path.read_text()
        assert str(SAMPLE.parent) not in text
        assert "pool/person" not in text
    header = (described / "images.csv").read_text().splitlines()[0]
    assert header == "image,label,split,patient,sha256"


def test_what_only_the_author_knows_is_marked(described: Path) -> None:
    description = json.loads((described / "croissant.json").read_text())
    assert [name for name in description if str(description[name]).startswith("For the author")] == [
        "license", "url", "citeAs"
    ]  # fmt: skip
    assert "Images: train " in description["description"]


def test_a_run_without_a_manifest_is_one_message(
    exported_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(exported_run.child("run.json"), tmp_path)
    assert main([str(tmp_path), "--to", "croissant", str(tmp_path / "out")]) == 2
    assert "which has none. Restore it." in capsys.readouterr().err
