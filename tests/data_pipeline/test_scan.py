"""The command `python -m data_pipeline.scan`."""

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from data_pipeline.scan import print_scan
from tests.data_pipeline.conftest import NORMAL


def test_command_prints_counts_and_remarks(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "train/NORMAL/broken.jpeg").write_bytes(NORMAL[5].read_bytes()[:2000])
    shutil.copyfile(root / "train/NORMAL" / NORMAL[0].name, root / "test/NORMAL/copy.jpeg")
    assert print_scan([str(root), "--cache", str(tmp_path / "cache")]) == 0
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")] for line in printed.splitlines() if "│" in line]
    assert [row[1:5] for row in cells[:3]] == [
        ["train", "2", "2", "4"],
        ["validation", "1", "1", "2"],
        ["test", "4", "3", "7"],
    ]
    assert "broken.jpeg: truncated" in printed
    assert f"copy.jpeg = train/NORMAL/{NORMAL[0].name}" in printed
    assert "Patient numbers in both pool and test:" in printed
    shortcuts = {row[1].split()[0]: row[2:4] for row in cells[3:] if row[1].split()[0] in ("brightness", "width")}
    assert shortcuts["width"] == ["0.50", "0.50"]  # all are squares
    assert all(0 <= float(auc) <= 1 for auc in shortcuts["brightness"])


def test_command_prints_images_that_do_not_fit(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = root / "train/NORMAL"
    ImageOps.invert(Image.open(NORMAL[10]).convert("L")).save(odd / "inverted.png")
    Image.new("L", (224, 224), 30).save(odd / "blank.png")
    Image.open(NORMAL[0]).save(root / "test/NORMAL/again.jpeg", quality=70)
    assert print_scan([str(root), "--cache", str(tmp_path / "cache")]) == 0
    lines = capsys.readouterr().out.splitlines()
    for title, name in (
        ("Black and white seem exchanged, unlike in most images: 1", "train/NORMAL/inverted.png"),
        ("Blank: 1", "train/NORMAL/blank.png"),
        ("Look alike across pool and test: 1", f"test/NORMAL/again.jpeg = train/NORMAL/{NORMAL[0].name}"),
    ):
        assert lines[lines.index(title) + 1].strip() == name
    assert "Unlike all others: 0" in lines


def test_command_fails_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_scan([str(tmp_path), "--cache", str(tmp_path / "cache")]) == 1
    assert "No usable image" in capsys.readouterr().out


def test_command_says_of_too_few_images_why_there_is_no_split_and_what_they_are(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = min((root / "train/NORMAL").iterdir())  # of three
    first.write_bytes(NORMAL[5].read_bytes()[:2000])
    assert print_scan([str(root), "--cache", str(tmp_path / "cache")]) == 1
    printed = capsys.readouterr().out
    assert "Validation takes at most a third of each class" in printed
    assert f"{first.name}: truncated" in printed
    assert "Unlike all others: " in printed


def test_command_reads_a_table(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(path.name for path in root.rglob("*.jpeg"))
    lines = [f"{name},{'sick' if name.startswith('person') else 'well'}" for name in names]
    (tmp_path / "own.csv").write_text("\n".join(["file,finding", *lines]))
    words = [str(root), "--cache", str(tmp_path / "cache"), "--labels", str(tmp_path / "own.csv")]
    columns = ["--columns", "{image: file, label: finding}"]
    assert print_scan([*words, *columns, "--classes", "{healthy: well, other: [*]}"]) == 0
    printed = capsys.readouterr().out
    assert "Classes, healthy: well; other: all others." in printed
    assert print_scan([*words, *columns, "--classes", "[1"]) == 1
    assert "--classes is a dictionary" in capsys.readouterr().out


def test_command_counts_the_findings_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("Mass", "Edema", "Nodule", "Hernia", "Fibrosis", "Effusion", "Infiltration")
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    (tmp_path / "data").mkdir()
    for number, image in enumerate(NORMAL[:35]):
        shutil.copyfile(image, tmp_path / "data" / f"{number}.jpeg")
        shown = sorted({names[number % 7], names[number % 5]}) if number % 6 else ["No Finding"]
        lines.append(f"{number}.jpeg,{'|'.join(shown)},0,{number},50,F,PA")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines))
    words = [str(tmp_path / "data"), "--cache", str(tmp_path / "cache"), "--labels", str(table)]
    assert print_scan([*words, "--task", "multilabel"]) == 0
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")] for line in printed.splitlines() if "│" in line]
    counted = {row[1]: row[2:-1] for row in cells}
    assert sum(map(int, counted["images"])) == 35
    shown = sum("Mass" in line for line in lines[1:])
    assert sum(map(int, counted["Mass"])) == shown < 35
    assert 0 <= float(counted["Mass, train"][0]) <= 1
    assert [row[1] for row in cells[:7]] == sorted(names)
