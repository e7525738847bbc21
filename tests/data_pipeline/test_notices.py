"""What is said of the images before a search."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import Dataset, list_dataset
from data_pipeline.manifest import MULTILABEL, POOL, BadFile, ImageRow, Manifest
from data_pipeline.notices import list_notices, outside_notices
from data_pipeline.outside import OutsideSet
from data_pipeline.settings import DataSettings
from data_pipeline.split import Split, SplitSettings, split_pool
from tests.data_pipeline.conftest import SAMPLE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the sample's test folder, to be spoilt."""
    return Path(shutil.copytree(SAMPLE / "test", tmp_path / "data"))


def notices_of(settings: DataSettings) -> tuple[str, ...]:
    manifest = list_dataset(settings)
    return list_notices(manifest, split_pool(manifest, settings.split), settings)


def test_a_fold_of_more_than_half_of_a_class_is_no_fraction_to_lower(root: Path) -> None:
    min((root / "NORMAL").iterdir()).unlink()  # 31 of the class are left in the pool
    settings = DataSettings(root=str(root), split=SplitSettings(folds=2))
    manifest = list_dataset(settings)
    counts = split_pool(manifest, settings.split).counts(manifest)
    assert counts["validation"][0] > counts["train"][0]
    assert not any("More than half" in notice for notice in notices_of(settings))


def test_duplicates_are_said(tmp_path: Path) -> None:
    root = Path(shutil.copytree(SAMPLE, tmp_path / "data"))
    shutil.copyfile(next((root / "train/NORMAL").iterdir()), root / "test/NORMAL/IM-9999-0001.jpeg")
    settings = DataSettings(root=str(root))
    (notice,) = notices_of(settings)
    assert notice == "Images that are byte-identical in the pool and in the test set: 1."


def test_a_class_of_which_most_validates_is_told(root: Path) -> None:
    for image in sorted((root / "NORMAL").iterdir())[12:]:
        image.unlink()
    settings = DataSettings(root=str(root), split=SplitSettings("patient", fraction=0.16))
    assert any("More than half of class normal validates" in notice for notice in notices_of(settings))


def test_what_is_known_of_patients_is_told(tmp_path: Path) -> None:
    names = {"NORMAL": "a{}_0.jpeg", "PNEUMONIA": "b{}_0.jpeg"}
    for folder, name in names.items():
        for number, file in enumerate(sorted((SAMPLE / "train" / folder).iterdir())[:12]):
            target = tmp_path / "data" / ("train" if number < 9 else "test") / folder / name.format(number % 10)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    settings = DataSettings(root=str(tmp_path / "data"), cache=str(tmp_path / "cache"))
    (notice,) = notices_of(settings)
    assert notice.startswith("Images whose name does not tell the patient, ")
    assert "24 of 24. data.patient=REGEX" in notice
    named = replace(settings, patient=r"([ab]\d+)_")
    (notice,) = notices_of(named)
    assert notice == "Patients in the pool and in the test set as well: 4."  # a0, a1, b0, b1


def test_one_image_under_two_classes_is_said(root: Path, tmp_path: Path) -> None:
    """As where a folder is linked from two class folders."""
    for name in ("a.jpeg", "b.jpeg"):  # twice in one class is no contradiction
        shutil.copyfile(min((root / "NORMAL").iterdir()), root / "NORMAL" / name)
    assert not any("different labels" in notice for notice in notices_of(DataSettings(root=str(root))))
    (tmp_path / "nas").mkdir()
    shutil.copyfile(min((root / "PNEUMONIA").iterdir()), tmp_path / "nas" / "x.jpeg")
    for name in ("NORMAL", "PNEUMONIA"):
        (root / name / "more").symlink_to(tmp_path / "nas", target_is_directory=True)
    (notice,) = (each for each in notices_of(DataSettings(root=str(root))) if "different labels" in each)
    assert notice.startswith("Byte-identical images with different labels: 1, such as NORMAL/more/x.jpeg and PNEUMONIA")


def test_the_positive_class_is_said_where_it_was_recognized(root: Path) -> None:
    (root / "PNEUMONIA").rename(root / "Abnormal")
    settings = DataSettings(root=str(root), labels="folders")
    said = "Positive class: Abnormal; NORMAL reads as normal. data.positive=NAME names another."
    assert said in notices_of(settings)
    assert said not in notices_of(replace(settings, positive="Abnormal"))


def test_patients_in_folders_are_said(root: Path) -> None:
    for number, image in enumerate(sorted((root / "NORMAL").iterdir())):
        folder = root / f"NORMAL/p{number // 2}"
        folder.mkdir(exist_ok=True)
        image.rename(folder / f"{number}.jpeg")
    settings = DataSettings(root=str(root))
    notices = notices_of(settings)
    assert any(notice.startswith("Folders inside class folders are a patient each: 20.") for notice in notices)
    manifest = list_dataset(settings)
    assert not {row.group for row in manifest.pool_rows} & {row.group for row in manifest.test_rows}


def test_a_share_above_a_third_is_said(root: Path) -> None:
    settings = DataSettings(root=str(root), split=SplitSettings(fraction=0.5))
    assert any("takes a third of each class and not data.split.fraction=0.5" in line for line in notices_of(settings))


def test_findings_that_cannot_be_learned_or_judged_are_said() -> None:
    shown = [(0, 1, 3), (3,), (), (0, 2, 3), (2, 3)]  # three images train, two validate
    rows = tuple(ImageRow(f"{n}", "", POOL, -1, f"pool/{n}", f"{n}", findings=each) for n, each in enumerate(shown))
    manifest = Manifest("", ("A", "B", "C", "D"), rows, (), task=MULTILABEL)
    settings = DataSettings(root="images", labels="labels.csv", task=MULTILABEL)
    assert list_notices(manifest, Split(np.arange(3), np.arange(3, 5)), settings) == (
        "Findings without an image that trains, which are not learned: C.",
        "Findings without an image in validation, which are left out of its mean scores: B.",
        "Findings of each image in validation, which are left out of its mean AUC: C, D.",
    )


def test_what_was_set_aside_in_an_outside_set_is_said(small_dataset: Dataset) -> None:
    bad = (BadFile("a.dcm", "the view lateral is not frontal", by_rule=True), BadFile("b.png", "truncated"))
    outside = OutsideSet((), small_dataset.test, ("Nodule",), ("3 images in the table.",), bad)
    said = list(outside_notices(replace(small_dataset, extra_tests={"out": outside}), DataSettings()))
    assert said == [
        "Outside set out: 3 images in the table.",
        "Outside set out: Files set aside: 1, the first because: truncated.",
        "Outside set out: Set aside, 1: the view lateral is not frontal (a.dcm).",
        "Outside set out: No row of its table has Nodule: these are not scored there.",
    ]
