"""DICOM files in a folder of images: used, set aside, their patients hashed."""

import io
from pathlib import Path

import pytest

from data_pipeline.dataset import prepare_dataset
from data_pipeline.folders import scan_folder
from data_pipeline.identity import Pseudonyms
from data_pipeline.image_file import FileRules
from data_pipeline.manifest import DataError
from data_pipeline.manifest_file import read_manifest, write_bad_files, write_manifest
from data_pipeline.notices import list_notices
from data_pipeline.settings import DataSettings
from tests.data_pipeline.conftest import BACTERIAL, NORMAL
from tests.data_pipeline.dicom_files import BORN, NAME, PATIENT, make_dataset, sample_pixels, save


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One folder a class with 12 DICOM files each, names without suffix, two files of a patient."""
    for folder, images in (("NORMAL", NORMAL), ("PNEUMONIA", BACTERIAL)):
        for number, image in enumerate(images[:12]):
            patient = f"{folder[0]}-77{number // 2}"
            dataset = make_dataset(sample_pixels(12, image), PatientID=patient)
            save(dataset, tmp_path / "data" / folder / f"IM-0001-{number:04}")
    return tmp_path / "data"


@pytest.fixture
def rules(tmp_path: Path) -> FileRules:
    return FileRules((), Pseudonyms(tmp_path / "cache"))


def test_dicom_is_recognised_by_content(archive: Path, rules: FileRules) -> None:
    (archive / "NORMAL" / "IM-0001-0000").rename(archive / "NORMAL" / "an image.jpeg")
    manifest = scan_folder(archive, rules=rules)
    assert manifest.counts()["pool"] == (12, 12)
    assert {(row.view, row.sex, row.age) for row in manifest.rows} == {("PA", "F", 57.0)}
    # PatientID comes before the name, which looks like one of Kaggle's
    assert len({row.group for row in manifest.rows}) == 12
    assert all(row.group.startswith("pool/p-") for row in manifest.rows)


def test_a_pattern_of_the_user_comes_before_the_tags(archive: Path, rules: FileRules) -> None:
    manifest = scan_folder(archive, patient=r"(IM-\d+)-", rules=rules)
    assert {row.group for row in manifest.rows} == {f"pool/{rules.pseudonyms.patient('IM-0001')}"}


def test_without_a_patient_the_name_tells(archive: Path, rules: FileRules) -> None:
    save(make_dataset(sample_pixels(), PatientID=None), archive / "NORMAL" / "IM-0002-0001")
    save(make_dataset(sample_pixels(), PatientID=""), archive / "NORMAL" / "other")
    groups = {row.image_id: row.group for row in scan_folder(archive, rules=rules).rows}
    assert groups["NORMAL/IM-0002-0001"] == "pool/IM-0002"
    assert groups["NORMAL/other"] == "NORMAL/other"


def test_what_a_rule_sets_aside_does_not_stop_a_run(archive: Path, tmp_path: Path) -> None:
    for number in range(11):
        lateral = make_dataset(sample_pixels(12, NORMAL[20 + number]), ViewPosition="LL")
        save(lateral, archive / "NORMAL" / f"side{number:02}.dcm")
    settings = DataSettings(root=str(archive), cache=str(tmp_path / "cache"), size=32)
    dataset = prepare_dataset(settings)
    notices = list_notices(dataset.manifest, dataset.split, settings)
    names = ", ".join(f"side{number:02}.dcm" for number in range(10))
    assert f"Set aside, 11: the view lateral is not frontal ({names}, ...)." in notices
    listing = io.BytesIO()
    write_bad_files(dataset.manifest.bad, listing)
    assert listing.getvalue().count(b"the view lateral is not frontal") == 11
    taken = scan_folder(archive, rules=FileRules(("view",), Pseudonyms(tmp_path / "cache")))
    assert taken.counts()["pool"] == (23, 12)
    assert not taken.bad


def test_a_truncated_file_is_a_bad_one(archive: Path, tmp_path: Path) -> None:
    file = archive / "NORMAL" / "IM-0001-0003"
    file.write_bytes(file.read_bytes()[:-1000])
    settings = DataSettings(root=str(archive), cache=str(tmp_path / "cache"), size=32)
    with pytest.raises(DataError, match=r"1 of 24 files cannot be used(.|\n)*IM-0001-0003: cannot be decoded"):
        prepare_dataset(settings)


def test_no_record_of_the_images_names_a_patient(archive: Path, tmp_path: Path) -> None:
    folder = archive / "NORMAL" / f"{PATIENT}_{NAME.replace('^', '_')}_{BORN}"
    save(make_dataset(sample_pixels(12, NORMAL[20])), folder / "a.dcm")
    save(make_dataset(sample_pixels(12, NORMAL[21]), ViewPosition="LL"), folder / "b.dcm")
    broken = save(make_dataset(sample_pixels(12, NORMAL[22])), folder / "c.dcm")
    broken.write_bytes(broken.read_bytes()[:-1000])
    settings = DataSettings(root=str(archive), cache=str(tmp_path / "cache"), size=32, max_bad_fraction=0.5)
    dataset = prepare_dataset(settings)
    files = [io.BytesIO(), io.BytesIO()]
    write_manifest(dataset.manifest, dataset.split, files[0])
    write_bad_files(dataset.manifest.bad, files[1])
    assert len(dataset.manifest.rows) == 25
    assert len(dataset.manifest.bad) == 2
    restored, _ = read_manifest(io.BytesIO(files[0].getvalue()))
    shown = f"{restored} {files[1].getvalue().decode()}"  # Parquet is compressed: its bytes would hide a name
    for secret in (PATIENT, BORN, *NAME.split("^"), "N-770", "P-771"):
        assert secret not in shown
    assert [row.image_id for row in restored.rows] == [row.image_id for row in dataset.manifest.rows]
    key = (tmp_path / "cache" / "patient.key").read_bytes()
    assert key not in files[0].getvalue()


def test_patient_id_comes_before_a_folder_a_patient(archive: Path, rules: FileRules) -> None:
    for file in (archive / "NORMAL").iterdir():
        folder = archive / "NORMAL" / f"case {int(file.name[-4:]) // 4}"
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    manifest = scan_folder(archive, rules=rules)
    assert manifest.patient_folders == 0
    assert len({row.group for row in manifest.rows if row.image_id.startswith("NORMAL")}) == 6
    save(make_dataset(sample_pixels(), PatientID=None), archive / "NORMAL" / NAME.split("^")[0] / "a.dcm")
    (other,) = (row for row in scan_folder(archive, rules=rules).rows if row.image_id.endswith("a.dcm"))
    assert other.group == f"pool/{rules.pseudonyms.patient(NAME.split('^')[0])}"
    assert all(row.bits == 8 for row in manifest.rows)
