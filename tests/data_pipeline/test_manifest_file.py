import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import data_pipeline
from data_pipeline.folders import scan_folder
from data_pipeline.manifest import MULTILABEL, BadFile, DataError, ImageRow, Manifest
from data_pipeline.manifest_file import read_manifest, write_bad_files, write_manifest
from data_pipeline.split import Split, SplitSettings, split_pool

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


def test_manifest_is_read_back_as_written() -> None:
    manifest = replace(scan_folder(SAMPLE), bad=(BadFile("/x/ü, y.jpeg", "empty file"),), held_out=True)
    split = split_pool(manifest, SplitSettings())
    file = io.BytesIO()
    write_manifest(manifest, split, file)
    file.seek(0)
    again, splits = read_manifest(file)
    assert again == manifest
    assert {name: splits.count(name) for name in sorted(set(splits))} == {
        "test": 120,
        "train": 384,
        "validation": 96,
    }
    validating = {row.image_id for row, name in zip(again.rows, splits, strict=True) if name == "validation"}
    assert validating == {manifest.pool_rows[at].image_id for at in split.validation}


def test_other_files_are_not_read_as_manifests() -> None:
    with pytest.raises(DataError, match="written by write_manifest"):
        read_manifest(io.BytesIO(b"no table"))


@pytest.mark.parametrize("about", [b"{", b"[]", b"{}", b'{"root": "", "classes": [], "bad": [{"x": 1}]}'])
def test_damaged_manifests_are_refused(about: bytes) -> None:
    table = pyarrow.table({"image_id": ["a"], "split": ["train"]}).replace_schema_metadata({b"manifest": about})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    file.seek(0)
    with pytest.raises(DataError, match="written by write_manifest"):
        read_manifest(file)


def test_bad_files_are_written_as_csv() -> None:
    bad = [BadFile("/a, b.jpeg", "empty file"), BadFile("/ü.jpeg", 'a "reason"')]
    file = io.BytesIO()
    write_bad_files(bad, file)
    rows = list(csv.reader(io.StringIO(file.getvalue().decode(), newline="")))
    assert rows == [["path", "reason"], ["/a, b.jpeg", "empty file"], ["/ü.jpeg", 'a "reason"']]


def test_findings_are_read_back_as_written() -> None:
    rows = [
        ImageRow(name, f"/x/{name}", "pool", -1, name, name, findings=own) for name, own in (("a", (0, 2)), ("b", ()))
    ]
    manifest = Manifest("/x", ("edema", "mass", "nodule"), tuple(rows), (), task=MULTILABEL)
    file = io.BytesIO()
    write_manifest(manifest, Split(np.array([0]), np.array([1])), file)
    file.seek(0)
    again, splits = read_manifest(file)
    assert again == manifest
    assert splits == ("train", "validation")
