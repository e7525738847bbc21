"""What a search on DICOM files leaves behind names no patient: its folder, its pages and its pack."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from search import pack
from search.export.__main__ import main as export
from tests.data_pipeline.conftest import BACTERIAL, NORMAL
from tests.data_pipeline.dicom_files import BORN, NAME, make_dataset, sample_pixels, save
from tests.search.conftest import Command


def texts(content: bytes) -> Iterator[bytes]:
    """The bytes of a file, and those that its compression hides."""
    yield content
    if content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        yield str(table.to_pylist()).encode() + str(table.schema.metadata).encode()
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from texts(archive.read(name))


def test_nothing_that_a_search_leaves_names_a_patient(tmp_path: Path, call: Command) -> None:
    archive, first = tmp_path / "archive", NAME.split("^")[0]
    for folder, images in (("NORMAL", NORMAL), ("PNEUMONIA", BACTERIAL)):
        for number, image in enumerate(images[:20]):
            patient = f"MRN-{folder}-{number}"
            dataset = make_dataset(sample_pixels(12, image), PatientID=patient)
            save(dataset, archive / folder / f"{first}_{patient}_{BORN}" / f"{number}.dcm")
    save(make_dataset(sample_pixels(), ViewPosition="LL"), archive / "NORMAL" / f"{first}.dcm")
    words = [
        "space=plain2", "search.num_trials=1", "search.max_epochs=1", "search.scheduler=none", "data.size=32",
        "resources.max_concurrent=1", f"data.root={archive}", f"data.cache={tmp_path / 'cache'}",
        f"run.storage={tmp_path / 'runs'}", "run.name=one",
    ]  # fmt: skip
    done = call(words)
    assert done.returncode == 0, done.stderr
    assert "the view lateral is not frontal" in done.stdout
    assert pack.main([str(tmp_path / "runs" / "one"), str(tmp_path / "runs" / "one.zip")]) == 0
    for name in ("huggingface", "croissant"):
        exported = tmp_path / "runs" / name
        assert export([str(tmp_path / "runs" / "one"), "--to", name, str(exported)]) == 0
        for path in exported.iterdir():
            assert not [text for text in texts(path.read_bytes()) if str(tmp_path).encode() in text], path
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {
        "run.json",
        "manifest.parquet",
        "bad_files.csv",
        "report.html",
        "driver.log",
        "one.zip",
        "croissant.json",
    } <= names
    table = pq.read_table(tmp_path / "runs" / "one" / "predictions" / "winner.parquet")
    assert set(table["sex"].to_pylist()) == {"F"}  # what divides images into subgroups travels with them
    assert {"age", "view"} <= set(table.column_names)
    secrets = [word.encode() for word in (*NAME.split("^"), BORN, "MRN-", (tmp_path / "cache/patient.key").name)]
    for path in files:
        for text in texts(path.read_bytes()):
            assert not [secret for secret in secrets if secret in text], path
    for secret in secrets:
        assert secret.decode() not in done.stdout
