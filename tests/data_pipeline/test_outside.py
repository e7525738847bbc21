"""Outside test sets: labelled by a table, and held against the images that train and validate."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipeline.dataset import prepare_dataset, prepare_extra_test
from data_pipeline.manifest import MULTILABEL, TEST, DataError
from data_pipeline.notices import outside_notices
from data_pipeline.settings import DataSettings
from tests.data_pipeline.conftest import BACTERIAL, NORMAL

HEAD = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
IMAGES = [*NORMAL[:16], *BACTERIAL[:14]]


def nih(folder: Path, *rows: tuple[str, str, int], start: int = 0) -> Path:
    """A folder of images and a table as NIH's beside them: name, findings and patient of each."""
    (folder / "images").mkdir(parents=True)
    for (name, _, _), image in zip(rows, IMAGES[start:], strict=False):
        shutil.copyfile(image, folder / "images" / name)
    file = folder / "labels.csv"
    file.write_text("\n".join([HEAD, *(f"{name},{found},0,{patient},50,F,PA" for name, found, patient in rows)]))
    return file


@pytest.fixture
def settings(tmp_path: Path) -> DataSettings:
    """24 images of 24 patients, a quarter each with two findings, one of them, another one and none."""
    found = ["Mass|Edema", "Mass", "Nodule", "No Finding"] * 6
    file = nih(tmp_path / "own", *((f"{n}.png", each, n) for n, each in enumerate(found)))
    return DataSettings(
        root=str(file.parent), labels=str(file), task=MULTILABEL, size=32, cache=str(tmp_path / "cache")
    )


def test_a_table_labels_an_outside_set_with_the_findings_of_the_run(settings: DataSettings, tmp_path: Path) -> None:
    rows = [("a.png", "Edema|Hernia", 20), ("b.png", "No Finding", 21), ("c.png", "Mass", 22)]
    file = nih(tmp_path / "out", *rows, start=24)
    found = prepare_extra_test("out", str(file), ("Edema", "Mass", "Nodule"), settings)
    assert {Path(row.image_id).name: row.findings for row in found.rows} == {"a.png": (0,), "b.png": (), "c.png": (1,)}
    assert {row.pool for row in found.rows} == {TEST}
    assert found.unknown == ("Nodule",)
    assert found.notes[0].startswith("Labels of labels.csv (NIH ChestX-ray14): 3 images in the table")


def test_the_classes_of_a_run_are_made_of_what_another_table_calls_them(settings: DataSettings, tmp_path: Path) -> None:
    file = tmp_path / "out" / "labels.csv"
    nih(tmp_path / "out", ("a.png", "", 20), ("b.png", "", 21), start=24)
    file.write_text("file,finding\na.png,Pleural Effusion\nb.png,Opacity\n")
    named = replace(settings, classes={"fluid": ["Edema", "Pleural Effusion"], "other": ["*"]})
    with pytest.raises(DataError, match=r"set 'out' .*labelled with the run's classes fluid, other.*known set"):
        prepare_extra_test("out", str(file), ("fluid", "other"), named)
    read = replace(named, columns={"image": "file", "label": "finding", "age": "of another table"})
    found = prepare_extra_test("out", str(file), ("fluid", "other"), read)
    assert [row.findings for row in found.rows] == [(0,), (1,)]
    with pytest.raises(DataError, match=r"Received: Edema: Edema. The table has"):
        prepare_extra_test("out", str(file), ("Edema", "Mass"), replace(read, classes={}))


def test_a_class_that_reads_as_normal_is_made_of_no_finding(tmp_path: Path) -> None:
    rows = [("a.png", "Pneumonia", 20), ("b.png", "No Finding", 21), ("c.png", "Mass", 22)]
    file = nih(tmp_path / "out", *rows, start=24)
    of_folders = DataSettings(size=32, cache=str(tmp_path / "cache"))
    found = prepare_extra_test("out", str(file), ("normal", "pneumonia"), of_folders)
    assert {Path(row.image_id).name: row.label for row in found.rows} == {"a.png": 1, "b.png": 0}
    assert [(Path(bad.path).name, bad.reason, bad.by_rule) for bad in found.bad] == [
        ("c.png", "no finding of data.classes", True)
    ]
    file.write_text("\n".join(file.read_text().splitlines()[:2]))
    with pytest.raises(DataError, match=r"Received: normal: normal. The table has"):
        prepare_extra_test("out", str(file), ("normal", "pneumonia"), of_folders)


def test_folders_do_not_label_several_findings(settings: DataSettings, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "own" / "images", tmp_path / "folder" / "Mass")
    with pytest.raises(DataError, match=r"Folders name one class an image. Give a table"):
        prepare_extra_test("out", str(tmp_path / "folder"), ("Mass", "Nodule"), settings)


def test_what_an_outside_set_shares_with_the_pool_is_said(settings: DataSettings, tmp_path: Path) -> None:
    whole = prepare_dataset(settings)
    first, second, third = whole.manifest.pool_rows[:3]
    file = nih(tmp_path / "out", *((f"x{n}.png", "Mass", 90 + n) for n in range(4)), start=24)
    shutil.copyfile(first.path, file.parent / "images" / "x0.png")
    Image.open(second.path).save(file.parent / "images" / "x1.png", quality=60, format="JPEG")
    patient = Path(third.image_id).stem
    file.write_text(file.read_text().replace(",93,", f",{patient},"))
    dataset = prepare_dataset(replace(settings, extra_tests={"out": str(file)}))
    said = [line for line in outside_notices(dataset, settings) if not line.startswith("Outside set")]
    assert len(said) == 3
    assert "out that are byte-identical to images of the pool: 1, such as images/x0.png." in said[0]
    assert f"look like images of the pool: 1, such as images/x1.png and {second.image_id}." in said[1]
    assert said[2].startswith("Patients of the outside set out who have the number of a patient of the pool: 1.")


def test_nothing_is_said_of_an_outside_set_of_its_own(settings: DataSettings, tmp_path: Path) -> None:
    file = nih(tmp_path / "out", *((f"x{n}.png", "Mass", 90 + n) for n in range(4)), start=24)
    dataset = prepare_dataset(replace(settings, extra_tests={"out": str(file)}))
    assert all(line.startswith("Outside set out: ") for line in outside_notices(dataset, settings))
    assert np.array_equal(dataset.all_images[-1].looks, dataset.extra_tests["out"].images.looks)


def test_the_pattern_of_a_run_finds_the_patients_of_an_outside_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for n, image in enumerate(IMAGES[4:26]):
        folder = root / ("NORMAL" if n < 12 else "PNEUMONIA")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, folder / f"case{n}-1.jpeg")
    for name, image in (("NORMAL/case0-2", NORMAL[0]), ("PNEUMONIA/case99-2", BACTERIAL[13])):
        (tmp_path / "out" / name).parent.mkdir(parents=True)
        shutil.copyfile(image, tmp_path / "out" / f"{name}.jpeg")
    given = {"out": str(tmp_path / "out")}
    settings = DataSettings(
        root=str(root), patient=r"case(\d+)", size=32, cache=str(tmp_path / "cache"), extra_tests=given
    )
    dataset = prepare_dataset(settings)
    pool = {row.group for row in dataset.manifest.pool_rows}
    said = list(outside_notices(dataset, settings))
    assert len(said) == ("pool/0" in pool)
    assert [row.group for row in dataset.extra_tests["out"].rows] == ["pool/0", "pool/99"]
    other = prepare_extra_test("out", given["out"], ("normal", "pneumonia"), replace(settings, patient="nothing"))
    assert not any(row.names_patient for row in other.rows)
