import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from data_pipeline.folders import find_top, scan_folder
from data_pipeline.manifest import POOL, TEST, DataError
from tests.data_pipeline.conftest import BACTERIAL, NORMAL, SAMPLE, VIRAL, copy_images


def test_sample_holds_what_its_attribution_says() -> None:
    manifest = scan_folder(SAMPLE, "three_class")
    assert manifest.classes == ("normal", "bacterial", "viral")
    assert manifest.counts() == {POOL: (150, 200, 130), TEST: (40, 40, 40)}
    assert manifest.bad == ()
    patients = {row.group for row in manifest.pool_rows}
    assert len(patients) == 290
    assert scan_folder(SAMPLE).counts() == {POOL: (150, 330), TEST: (40, 80)}
    megabytes = sum(row.stat().st_size for row in SAMPLE.rglob("*.jpeg")) / 1e6
    assert 3.5 < megabytes < 5.0


def test_scan_is_sorted_and_the_same_from_another_place(root: Path, tmp_path: Path) -> None:
    first = scan_folder(root)
    second = scan_folder(Path(shutil.copytree(root, tmp_path / "elsewhere")))
    assert [row.image_id for row in first.rows] == sorted(row.image_id for row in first.rows)
    assert first.rows[0].image_id.startswith("test/NORMAL/")
    assert first.fingerprint == second.fingerprint
    assert first.root != second.root


def test_fingerprint_follows_the_content(root: Path) -> None:
    before = scan_folder(root).fingerprint
    changed = root / "train/NORMAL" / NORMAL[0].name
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert scan_folder(root).fingerprint != before


def test_val_joins_the_pool(root: Path) -> None:
    copy_images(NORMAL[6:8], root / "val/NORMAL")
    assert scan_folder(root).counts()[POOL] == (5, 3)


def test_leftovers_of_archives_and_systems_are_ignored(root: Path) -> None:
    inner = root.parent / "archive/chest_xray/chest_xray"
    shutil.copytree(root, inner)
    shutil.copytree(root, inner.parent.parent / "__MACOSX/chest_xray")
    (inner / "train/.DS_Store").write_bytes(b"x")
    (inner / "train/NORMAL/.DS_Store").write_bytes(b"x")
    (inner / "train/NORMAL/._IM-0115-0001.jpeg").write_bytes(b"x")
    manifest = scan_folder(root.parent / "archive")
    assert manifest.fingerprint == scan_folder(root).fingerprint
    assert manifest.bad == ()


def test_top_of_the_real_archive_is_not_read_twice(root: Path) -> None:
    # Kaggle's chest_xray holds train, val, test and a second chest_xray with the same files
    shutil.copytree(root, root / "chest_xray")
    assert find_top(root) == root
    assert scan_folder(root).counts()[POOL] == (3, 3)


def test_class_folders_without_train_and_test(root: Path) -> None:
    manifest = scan_folder(root / "train")
    assert manifest.counts() == {POOL: (3, 3), TEST: (0, 0)}


def test_names_of_folders_are_read_without_case(root: Path) -> None:
    for old, new in (
        ("train/NORMAL", "train/Normal"),
        ("test/PNEUMONIA", "test/pneumonia"),
        ("train", "Train"),
    ):
        (root / old).rename(root / new)
    assert scan_folder(root).counts() == {POOL: (3, 3), TEST: (3, 3)}


def test_folders_scheme_takes_any_names(root: Path) -> None:
    for pool in ("train", "test"):
        copy_images(VIRAL[10:12], root / pool / "Covid")
    manifest = scan_folder(root, "folders")
    assert manifest.classes == ("NORMAL", "Covid", "PNEUMONIA")
    assert manifest.counts()[POOL] == (3, 2, 3)


def test_folder_of_no_class_is_set_aside_in_sight(root: Path) -> None:
    copy_images(VIRAL[10:12], root / "train/Covid")
    (bad,) = scan_folder(root).bad
    assert bad.path.endswith("Covid")
    assert "not one of the classes" in bad.reason


def test_kind_comes_from_the_folder_or_the_name(root: Path) -> None:
    for pool in ("train", "test"):
        copy_images(VIRAL[10:12], root / pool / "viral")
    assert scan_folder(root, "three_class").counts()[POOL] == (3, 2, 3)


@pytest.mark.parametrize("name", ["person9.jpeg", "person9_bacteria_virus.jpeg"])
def test_unknown_kind_is_set_aside_only_where_it_matters(root: Path, name: str) -> None:
    shutil.copyfile(BACTERIAL[0], root / "train/PNEUMONIA" / name)
    (bad,) = scan_folder(root, "three_class").bad
    assert bad.path.endswith(name)
    assert "either bacteria or virus" in bad.reason
    assert scan_folder(root, "two_class").counts()[POOL] == (3, 4)


def test_unusable_files_are_set_aside_with_their_reason(root: Path) -> None:
    folder = root / "train/NORMAL"
    (folder / "empty.jpeg").touch()
    (folder / "notes.txt").write_text("no image")
    (folder / "page.jpeg").write_text("<html>not found</html>")
    (folder / "nowhere.jpeg").symlink_to(folder / "missing.jpeg")
    (folder / "line\nbreak.jpeg").write_bytes(NORMAL[0].read_bytes())
    os.mkfifo(folder / "pipe.jpeg")
    manifest = scan_folder(root)
    reasons = {Path(bad.path).name: bad.reason for bad in manifest.bad}
    assert reasons == {
        "empty.jpeg": "empty file",
        "notes.txt": "not a JPEG, PNG, BMP, TIFF, WebP or DICOM image",
        "page.jpeg": "not a JPEG, PNG, BMP, TIFF, WebP or DICOM image",
        "nowhere.jpeg": "not a file, or a link that leads nowhere",
        "pipe.jpeg": "not a file, or a link that leads nowhere",
        "line\\nbreak.jpeg": "the file name has characters that cannot be printed",
    }
    assert manifest.counts()[POOL] == (3, 3)


def test_loops_of_links_come_to_an_end(root: Path) -> None:
    (root / "train/NORMAL/loop").symlink_to(root, target_is_directory=True)
    assert scan_folder(root).counts()[POOL] == (3, 3)
    lonely = root.parent / "lonely"
    lonely.mkdir()
    (lonely / "again").symlink_to(lonely, target_is_directory=True)
    with pytest.raises(DataError, match="No usable image"):
        scan_folder(lonely)


def test_linked_class_folder_is_read(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "train/NORMAL").rename(outside)
    (root / "train/NORMAL").symlink_to(outside, target_is_directory=True)
    assert scan_folder(root).counts()[POOL] == (3, 3)


def test_empty_folder_explains_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No usable image") as caught:
        scan_folder(tmp_path)
    assert "NORMAL/" in str(caught.value)
    assert "data=kaggle" in str(caught.value)


def test_missing_class_is_named(root: Path) -> None:
    shutil.rmtree(root / "train/NORMAL")
    with pytest.raises(DataError, match=r"train and val\) of .* has none of: normal"):
        scan_folder(root)


def test_class_missing_in_the_test_set_is_named(root: Path) -> None:
    for image in (root / "test/PNEUMONIA").glob("*virus*"):
        image.unlink()
    assert scan_folder(root).counts()[TEST] == (3, 2)
    with pytest.raises(DataError, match=r"test set of .* has none of: viral"):
        scan_folder(root, "three_class")


def test_one_folder_is_no_choice_of_classes(tmp_path: Path) -> None:
    copy_images(NORMAL[:2], tmp_path / "only")
    with pytest.raises(DataError, match="At least two classes"):
        scan_folder(tmp_path, "folders")


def test_unknown_labels_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"two_class, three_class, folders\. Received: 'four'"):
        scan_folder(root, "four")


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("person12_bacteria_34.jpeg", "pool/person12"),
        ("person12_virus_9.jpeg", "pool/person12"),
        ("IM-0115-0001.jpeg", "pool/IM-0115"),
        ("IM-0115-0001-0002.jpeg", "pool/IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "pool/NORMAL2-IM-0115"),
        ("00001303_001.jpeg", "pool/00001303"),
        ("x-ray 7.jpeg", "train/NORMAL/x-ray 7.jpeg"),
    ],
)
def test_patients_are_read_from_names(root: Path, name: str, group: str) -> None:
    for image in (root / "train/NORMAL").iterdir():
        image.unlink()
    shutil.copyfile(NORMAL[0], root / "train/NORMAL" / name)
    groups = [row.group for row in scan_folder(root).pool_rows if row.image_id.endswith(name)]
    assert groups == [group]


@pytest.mark.parametrize(
    ("pattern", "group"),
    [
        (r"(\d+)_\d+\.jpeg$", "pool/00001303"),
        (r"\d{8}", "pool/00001303"),
        (r"NORMAL/(\w+)/", "train/NORMAL/00001303_001.jpeg"),
        (r"NORMAL/(\w+)/|(\d{8})_", "pool/00001303"),
    ],
)
def test_where_a_path_names_the_patient_may_be_told(root: Path, pattern: str, group: str) -> None:
    shutil.copyfile(NORMAL[0], root / "train/NORMAL/00001303_001.jpeg")
    (root / "train/NORMAL/anna").mkdir()
    shutil.copyfile(NORMAL[1], root / "train/NORMAL/anna/1.jpeg")
    groups = {row.image_id: row.group for row in scan_folder(root, patient=pattern).pool_rows}
    assert groups["train/NORMAL/00001303_001.jpeg"] == group
    assert groups["train/NORMAL/anna/1.jpeg"] == ("pool/anna" if "NORMAL" in pattern else "train/NORMAL/anna/1.jpeg")


def test_training_and_testing_are_no_classes(root: Path) -> None:
    (root / "train").rename(root / "Training")
    (root / "test").rename(root / "Testing")
    manifest = scan_folder(root, labels="folders")
    assert manifest.classes == ("NORMAL", "PNEUMONIA")
    assert manifest.test_rows


def test_a_pattern_that_finds_nobody_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"at least one image, such as test/NORMAL/.*Received: 'subject\\\\d'"):
        scan_folder(root, patient=r"subject\d")
    with pytest.raises(DataError, match=r"regular expression such as .*Received: '\(' "):
        scan_folder(root, patient="(")


def test_linked_folders_are_read_once_and_with_their_own_names(root: Path, tmp_path: Path) -> None:
    copy_images(NORMAL[20:25], tmp_path / "nas/deep")
    (tmp_path / "nas/deep/up").symlink_to(tmp_path / "nas", target_is_directory=True)
    for name in ("batch2", "batch3"):
        (root / "train/NORMAL" / name).symlink_to(tmp_path / "nas", target_is_directory=True)
    before = {row.image_id for row in scan_folder(root).rows if "batch" not in row.image_id}
    manifest = scan_folder(root)
    assert manifest.counts()[POOL] == (8, 3)
    found = {row.image_id for row in manifest.rows} - before
    assert found == {f"train/NORMAL/batch2/deep/{image.name}" for image in NORMAL[20:25]}


def test_a_link_to_itself_is_set_aside(root: Path) -> None:
    (root / "train/NORMAL/self").symlink_to(root / "train/NORMAL/self")
    (bad,) = scan_folder(root).bad
    assert bad.reason == "not a file, or a link that leads nowhere"


def test_links_to_other_classes_are_set_aside(root: Path) -> None:
    links = [root / "train/NORMAL/ill", root / "train/NORMAL/up", root / "test/NORMAL/trained"]
    for link, target in zip(links, ("train/PNEUMONIA", "train", "train/NORMAL"), strict=True):
        link.symlink_to(root / target, target_is_directory=True)
    manifest = scan_folder(root)
    assert manifest.counts() == {POOL: (3, 3), TEST: (3, 3)}
    assert {bad.path for bad in manifest.bad} == {str(link) for link in links}
    assert {bad.reason for bad in manifest.bad} == {"a link to other class folders of this set, not read"}


def test_files_of_several_images_are_set_aside(root: Path) -> None:
    frames = [Image.new("L", (16, 16), value) for value in (10, 100, 200)]
    frames[0].save(root / "train/NORMAL/stack.tiff", save_all=True, append_images=frames[1:])
    (bad,) = scan_folder(root).bad
    assert bad.reason == "holds 3 pages: only files with a single image are read"


def test_folders_of_patients_are_counted(root: Path) -> None:
    for number in range(4):
        copy_images(NORMAL[30 + number : 31 + number], root / f"train/NORMAL/patient {number}")
    manifest = scan_folder(root)
    assert manifest.patient_folders == 4
    assert {f"pool/patient {number}" for number in range(4)} <= {row.group for row in manifest.pool_rows}
    assert scan_folder(root, patient=None).patient_folders == 0
    assert manifest.notes == ()


def test_folders_that_are_too_few_to_be_patients_are_said(root: Path) -> None:
    for number in range(2):
        target = root / f"train/NORMAL/patient {number}"
        target.mkdir()
        shutil.copyfile(NORMAL[30 + number], target / "a.jpeg")
    (note,) = scan_folder(root).notes
    assert note.startswith("Folders inside class folders that are not taken for a patient each: 2, such as ")
    assert "train/NORMAL/patient 0; that needs 3 in a class" in note
    manifest = scan_folder(root, patient="([^/]+)/[^/]+$")  # as the note says
    assert {"pool/patient 0", "pool/patient 1"} <= {row.group for row in manifest.pool_rows}
    assert manifest.notes == ()


def test_the_positive_class_comes_last(root: Path) -> None:
    for pool in ("train", "test"):
        (root / pool / "PNEUMONIA").rename(root / pool / "Abnormal")
    assert scan_folder(root, "folders").classes == ("NORMAL", "Abnormal")
    assert scan_folder(root, "folders", positive="normal").classes == ("Abnormal", "NORMAL")
    earlier = scan_folder(root, "folders", positive=None)
    assert earlier.classes == ("Abnormal", "NORMAL")
    assert {row.label for row in earlier.rows if "/Abnormal/" in row.image_id} == {0}


def test_the_positive_class_of_known_labels_may_be_named_too(root: Path) -> None:
    assert scan_folder(root).classes == ("normal", "pneumonia")
    assert scan_folder(root, positive="normal").classes == ("pneumonia", "normal")
