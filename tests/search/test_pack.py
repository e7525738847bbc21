"""A run's records in one file."""

import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis import report
from benchmarks.analysis_data import write_run
from search import pack
from search.record import RecordError, RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = write_run(str(tmp_path / "first"), trials=12, epochs=3, evaluated=3)
    folder.write(b"weights", "winner", "model.keras")
    folder.write(b"weights", "trials", "0000", "best.npz")
    folder.write(b"[]", "winner", "gallery.json")
    folder.write(b"picture", "winner", "gallery", "0.png")
    return folder


def test_a_packed_run_is_read_as_its_folder(folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "first.zip"
    assert pack.main([folder.url, str(target)]) == 0
    assert "first.zip" in capsys.readouterr().out
    whole, read = analysis.load(folder.url), analysis.load(str(target))
    assert read.name == whole.name == "first"
    assert read.problems == whole.problems
    assert read.trials.equals(whole.trials)
    assert read.curves.equals(whole.curves)
    assert read.evaluations.equals(whole.evaluations)
    assert read.manifest.drop(columns="path", errors="ignore").equals(
        whole.manifest.drop(columns="path", errors="ignore")
    )
    scored = int(whole.evaluations["trial"].iloc[0])
    assert read.predictions(scored).equals(whole.predictions(scored))
    assert read.table("ranking").equals(whole.table("ranking"))


def test_no_path_of_the_machine_goes_with_it(folder: RunFolder) -> None:
    text = b"""{"root": "/data/x rays/kaggle", "cache": "~/.cache/xray", "storage": "s3://bucket/runs", "split": 0.15,
"command": "python -m search.run data.root=/data/kaggle 'weights={vgg16: /w/vgg16.h5}' run.storage=runs/all",
"address": "http://127.0.0.1:8265", "dropout": "none/flatten"}"""
    shown = pack.without_paths("run.json", text).decode()
    for kept in ("data.root=kaggle", "{vgg16: vgg16.h5}", '"xray"', "s3://bucket/runs", "storage=runs/all"):
        assert kept in shown
    for kept in ("http://127.0.0.1:8265", "none/flatten", "0.15", 'kaggle"'):
        assert kept in shown
    assert "/data" not in shown
    assert "/w/" not in shown
    table = pa.table({"image_id": ["a/1.png"], "path": ["/data/a/1.png"]}).replace_schema_metadata({"root": "/data/a"})
    written = io.BytesIO()
    pq.write_table(table, written)
    packed = pq.read_table(io.BytesIO(pack.without_paths("manifest.parquet", written.getvalue())))
    assert (packed["path"].to_pylist(), packed.schema.metadata) == (["a/1.png"], {b"root": b"a"})


def test_weights_are_left_out(folder: RunFolder, tmp_path: Path):
    Path(tmp_path, "run.zip").write_bytes(pack.packed(folder))
    names = zipfile.ZipFile(tmp_path / "run.zip").namelist()
    assert {"winner/gallery.json", "winner/gallery/0.png"} <= set(names)
    assert not [name for name in names if name.startswith("trials/") or name.endswith(".keras")]


def test_pictures_can_be_left_out(folder: RunFolder, tmp_path: Path):
    assert pack.main([folder.url, str(tmp_path / "run.zip"), "--no-pictures"]) == 0
    names = zipfile.ZipFile(tmp_path / "run.zip").namelist()
    assert "winner/gallery.json" in names
    assert "winner/gallery/0.png" not in names
    assert report.main([str(tmp_path / "run.zip")]) == 0


def test_the_same_records_make_the_same_file(folder: RunFolder):
    assert pack.packed(folder) == pack.packed(folder)


def test_the_page_is_written_beside_a_packed_run(folder: RunFolder, tmp_path: Path):
    target = tmp_path / "sent.zip"
    target.write_bytes(pack.packed(folder))
    assert report.main([str(target)]) == 0
    assert b"<html" in (tmp_path / "sent.html").read_bytes()


def test_what_a_packed_run_does_not_hold_is_missing(folder: RunFolder, tmp_path: Path):
    folder.remove("manifest.parquet")
    target = tmp_path / "sent.zip"
    target.write_bytes(pack.packed(folder))
    run = analysis.load(str(target))
    assert run.manifest.empty
    assert run.problems == ["manifest.parquet: missing"]
    with pytest.raises(FileNotFoundError):
        run.folder.read("nothing")


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(RecordError, match=r"run\.json"):
        pack.packed(RunFolder(str(tmp_path)))
    assert pack.main([str(tmp_path), str(tmp_path / "a.zip")]) == 2
    assert "run.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        pack.main([str(tmp_path), "a.tar"])
    assert "ends in .zip. Received: a.tar" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_a_sentence(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for main, words in (
        (pack.main, [folder.url, f"{tmp_path}/no/a.zip"]),
        (report.main, [folder.url, "--out", "/proc/a/b"]),
    ):
        assert main(words) == 2
        assert "Error: A file or a connection must be within reach. Received: /" in capsys.readouterr().err


def test_a_link_out_of_the_run_is_not_packed(folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Somebody who opens a stranger's run and sends it back would send a private file with it."""
    private = tmp_path / "private"
    private.write_text("secret")
    Path(folder.child("winner", "notes.txt")).symlink_to(private)
    assert pack.main([folder.url, str(tmp_path / "run.zip")]) == 2
    assert f"a link to {private}" in capsys.readouterr().err
    assert not (tmp_path / "run.zip").exists()


def test_names_in_a_packed_run_that_lead_out_of_it_are_left_out(folder: RunFolder, tmp_path: Path):
    target = tmp_path / "run.zip"
    target.write_bytes(pack.packed(folder))
    with zipfile.ZipFile(target, "a") as file:
        file.writestr("log/../../evil.jsonl", '{"event": "suggested"}')
        file.writestr("../outside.txt", "")
    read = RunFolder(str(target))
    assert all(".." not in name for parts in ((), ("log",)) for name in read.names(*parts))
    with pytest.raises(RecordError, match=r"Received: '\.\./outside\.txt'"):
        read.read("..", "outside.txt")
    assert analysis.load(str(target)).problems == analysis.load(folder.url).problems
