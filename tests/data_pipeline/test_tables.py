"""Images labelled by a table: formats, names of files, classes, the rules, splits and patients."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_pipeline.classes import AUTO
from data_pipeline.dataset import list_dataset, prepare_dataset, prepare_extra_test
from data_pipeline.findings import TableSettings
from data_pipeline.identity import Pseudonyms
from data_pipeline.image_file import FileRules
from data_pipeline.manifest import MULTILABEL, POOL, TEST, DataError, Manifest
from data_pipeline.notices import list_notices
from data_pipeline.settings import DataSettings
from data_pipeline.split import SplitSettings, split_pool
from data_pipeline.table_formats import LabelRow, read_table
from data_pipeline.tables import scan_table
from tests.data_pipeline.conftest import BACTERIAL, NORMAL
from tests.data_pipeline.dicom_files import make_dataset, sample_pixels, save

IMAGES = [*NORMAL[:12], *BACTERIAL[:12]]
CLASSES = {"pneumonia": ["Pneumonia", "Consolidation"], "normal": ["No Finding"]}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def put(root: Path, names: Sequence[str]) -> None:
    """Different images under these names."""
    for name, image in zip(names, IMAGES, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, root / name)


def scan(
    root: Path, file: Path, classes: dict[str, Any] | None = None, accept: Sequence[str] = (), **choices: Any
) -> Manifest:
    columns = choices.pop("columns", {})
    rules = FileRules(tuple(accept), Pseudonyms(root.parent / "cache"))
    known = CLASSES if classes is None else classes
    return scan_table(root, file, known, columns, TableSettings(**choices), AUTO, AUTO, rules)


def labels(manifest: Manifest) -> dict[str, str]:
    return {row.image_id: manifest.classes[row.label] for row in manifest.rows}


def reasons(manifest: Manifest) -> dict[str, str]:
    assert all(bad.by_rule for bad in manifest.bad)
    return {Path(bad.path).name: bad.reason for bad in manifest.bad}


NIH = [
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "00000001_000.png,Pneumonia|Edema,0,1,57,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,No Finding,1,1,58,M,AP,2894,2729,0.143,0.143,",
    "00000002_000.png,Consolidation,0,2,81,F,PA,2500,2048,0.168,0.168,",
    "00000003_000.png,Hernia,0,3,74,F,PA,2500,2048,0.168,0.168,",
    "00000004_000.png,No Finding,0,4,74,F,PA,2500,2048,0.168,0.168,",
]


def test_nih_is_recognised_and_its_columns_stay_with_the_images(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / "Data_Entry_2017.csv", *NIH)
    put(tmp_path / "data", [f"images_00{n}/images/0000000{n}_00{k}.png" for n, k in ((1, 0), (1, 1), (2, 0), (3, 0))])
    put(tmp_path / "data", ["notes/other.png"])
    manifest = scan(tmp_path / "data", file)
    assert manifest.classes == ("normal", "pneumonia")  # the positive one last, however data.classes lists them
    assert labels(manifest) == {
        "images_001/images/00000001_000.png": "pneumonia",
        "images_001/images/00000001_001.png": "normal",
        "images_002/images/00000002_000.png": "pneumonia",
    }
    assert reasons(manifest) == {
        "00000003_000.png": "no finding of data.classes",
        "00000004_000.png": "a row without an image below data.root",
        "other.png": "an image without a row in the table",
    }
    first, second, third = manifest.rows
    assert (first.age, first.sex, first.view, second.view) == (57, "M", "PA", "AP")
    assert first.group == second.group != third.group
    assert first.group.startswith("pool/p-")
    assert manifest.notes[0].startswith("Labels of Data_Entry_2017.csv (NIH ChestX-ray14): 5 images in the table, 4 of")


def test_the_kaggle_sample_has_the_same_patients(tmp_path: Path) -> None:
    first = write(tmp_path / "2017.csv", *NIH)
    second = write(
        tmp_path / "sample.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position",
        "00000001_000.png,Pneumonia|Edema,000,00000001,057Y,M,PA",
    )
    assert read_table(second, {}).rows[0] == read_table(first, {}).rows[0]


def row_of(tmp_path: Path, *lines: str, name: str = "labels.csv") -> LabelRow:
    table = read_table(write(tmp_path / name, *lines), {})
    assert table.is_public
    (row,) = table.rows
    return row


def test_one_column_a_finding(tmp_path: Path) -> None:
    head = "Image,Atelectasis,Hernia,PatientId,Pneumonia"
    assert row_of(tmp_path, head, "a.png,0,0,7,1") == LabelRow("a.png", frozenset({"Pneumonia"}), patient="7")
    assert row_of(tmp_path, head, "a.png,0,0,7,0").present == {"No Finding"}


def test_rsna_has_a_line_a_box(tmp_path: Path) -> None:
    table = read_table(
        write(tmp_path / "a.csv", "patientId,x,y,width,height,Target", "u1,1,2,3,4,1", "u1,5,6,7,8,1", "u2,,,,,0"), {}
    )
    assert [(row.image, set(row.present), row.patient) for row in table.rows] == [
        ("u1", {"Lung Opacity"}, "u1"),
        ("u2", {"No Finding"}, "u2"),
    ]
    detailed = row_of(tmp_path, "patientId,class", "u1,No Lung Opacity / Not Normal", "u1,No Lung Opacity / Not Normal")
    assert detailed.present == {"No Lung Opacity / Not Normal"}


def test_siim_has_a_mask_or_minus_one(tmp_path: Path) -> None:
    table = read_table(
        write(tmp_path / "a.csv", "ImageId, EncodedPixels", "1.2.3,-1", "1.2.4,1 2 3", "1.2.4,4 5 6"), {}
    )
    assert [(row.image, set(row.present)) for row in table.rows] == [
        ("1.2.3", {"No Finding"}),
        ("1.2.4", {"Pneumothorax"}),
    ]


CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def test_chexpert_says_present_absent_uncertain_or_nothing(tmp_path: Path) -> None:
    path = "CheXpert-v1.0-small/train/patient00007/study1/view1_frontal.jpg"
    row = row_of(tmp_path, CHEXPERT, f"{path},Female,68,Frontal,AP,,,,1.0,,,-1.0,,,0.0,,,,")
    assert (row.present, row.uncertain) == ({"Lung Opacity"}, {"Consolidation"})
    assert "Pneumonia" in row.blank
    assert "Pneumothorax" not in row.blank
    assert (row.patient, row.view, row.sex, row.age) == ("patient00007", "AP", "F", 68)
    assert row_of(tmp_path, CHEXPERT, f"{path},Male,50,Lateral,,1.0,,,,,,,,,,,,,").view == "lateral"


def test_chexpert_names_are_found_by_their_folders(tmp_path: Path) -> None:
    lines = [
        f"CheXpert-v1.0-small/{pool}/patient0000{n}/study{s}/view1_frontal.jpg,Female,68,Frontal,AP,{label}"
        for pool, n, s, label in (
            ("train", 1, 1, "1.0,,,,,,,,,,,,,"),
            ("train", 1, 2, ",,,,,,,1.0,,,,,,"),
            ("train", 2, 1, "1.0,,,,,,,,,,,,,"),
        )
    ]
    lateral = "CheXpert-v1.0-small/train/patient00002/study1/view2_lateral.jpg,Female,68,Lateral,,1.0,,,,,,,,,,,,,"
    file = write(tmp_path / "train.csv", CHEXPERT, *lines, lateral)
    names = ["patient00001/study1/view1_frontal.jpg", "patient00001/study2/view1_frontal.jpg",
             "patient00002/study1/view1_frontal.jpg", "patient00002/study1/view2_lateral.jpg"]  # fmt: skip
    put(tmp_path / "data" / "CheXpert-v1.0" / "train", names)
    manifest = scan(tmp_path / "data", file)
    assert list(labels(manifest).values()) == ["normal", "pneumonia", "normal"]
    assert reasons(manifest) == {"view2_lateral.jpg": "the view lateral is not frontal"}
    assert len(scan(tmp_path / "data", file, accept=["view"]).rows) == 4
    assert len({row.group for row in manifest.rows}) == 2


def test_mimic_is_joined_by_study(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mimic-cxr-2.0.0-chexpert.csv",
        "subject_id,study_id,Atelectasis,No Finding,Pleural Other,Pneumonia",
        "10000001,50000001,,,,1.0",
        "10000002,50000002,,1.0,,",
    )
    with pytest.raises(DataError, match=r"without a \*metadata\*.csv beside it"):
        read_table(file, {})
    write(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv",
        "dicom_id,subject_id,study_id,ViewPosition",
        "aa-1,10000001,50000001,PA",
        "aa-2,10000001,50000001,LATERAL",
        "bb-1,10000002,50000002,AP",
        "cc-1,10000003,50000003,AP",
    )
    write(tmp_path / "mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split", "aa-1,50000001,10000001,train",
          "bb-1,50000002,10000002,validate")  # fmt: skip
    rows = {row.image: row for row in read_table(file, {}).rows}
    assert set(rows) == {"aa-1", "aa-2", "bb-1"}
    assert rows["aa-1"].present == rows["aa-2"].present == {"Pneumonia"}
    assert (rows["aa-2"].view, rows["bb-1"].split, rows["bb-1"].patient) == ("lateral", "validate", "10000002")


def test_vindr_takes_the_majority_of_its_readers(tmp_path: Path) -> None:
    lines = [
        *("a,Cardiomegaly,3,R1,1,2,3,4", "a,Cardiomegaly,3,R1,5,6,7,8", "a,Cardiomegaly,3,R2,1,2,3,4"),
        *("a,No finding,14,R3,,,,", "b,Nodule/Mass,8,R1,1,2,3,4", "b,No finding,14,R2,,,,"),
    ]
    table = read_table(
        write(tmp_path / "a.csv", "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", *lines), {}
    )
    first, second = table.rows
    assert (first.present, first.uncertain) == ({"Cardiomegaly"}, frozenset())
    assert (second.present, second.uncertain) == (frozenset(), {"Nodule/Mass", "No Finding"})
    assert table.notes[0].endswith("as readers tie: 1.")
    head, lines = "image_id,rad_id,Aortic enlargement,Pneumonia,No finding", ["a,R1,0,1,0", "a,R2,0,1,0", "a,R3,0,0,1"]
    assert row_of(tmp_path, head, *lines).present == {"Pneumonia"}


def test_padchest_has_lists_as_text(tmp_path: Path) -> None:
    head = "ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,Labels"
    row = row_of(
        tmp_path,
        head,
        "1_2.png,7,20140915,9,839860488694292331637988235681460987,1930,F,PA,\"['pneumonia', ' air trapping']\"",
    )
    assert (row.image, row.present) == ("7/1_2.png", {"pneumonia", "air trapping"})
    assert (row.patient, row.age, row.view) == ("839860488694292331637988235681460987", 84, "PA")
    assert "" in row_of(tmp_path, head, "1_2.png,7,20140915,9,8,,F,L,").blank


def test_covid_chestxray_has_several_findings_and_ct(tmp_path: Path) -> None:
    head = "patientid,offset,sex,age,finding,view,modality,folder,filename"
    row = row_of(tmp_path, head, '331a,0,M,65,"COVID-19, ARDS",PA,X-ray,images,a.jpeg')
    assert (row.present, row.image, row.patient) == ({"COVID-19", "ARDS"}, "images/a.jpeg", "331a")
    assert row_of(tmp_path, head, "1,0,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,i,a").present == {
        "Pneumonia",
        "Viral",
        "COVID-19",
    }
    put(tmp_path / "data", ["images/a.jpeg"])
    file = write(
        tmp_path / "b.csv",
        head,
        "1,0,M,65,Pneumonia,Axial,CT,images,a.jpeg",
        "2,0,M,6,No Finding,PA,X-ray,images,b.jpeg",
    )
    assert "modality CT is no radiograph" in reasons(scan(tmp_path / "data", file, accept=["view"])).values()


def named(tmp_path: Path, *lines: str, head: str = "file,finding,who,part,pos") -> tuple[Path, dict[str, str]]:
    file = write(tmp_path / "own.csv", head, *lines)
    return file, {"image": "file", "label": "finding", "patient": "who", "split": "part", "view": "pos"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".csv.gz"])
def test_any_other_table_names_its_columns(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"file": ["a", "b.png", "c"], "finding": ["sick", "healthy", None]})
    file = tmp_path / f"own{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, sep="\t" if suffix == ".tsv" else ",", index=False)
    put(tmp_path / "data", ["a.png", "deep/down/b.jpeg", "c.png"])
    manifest = scan(tmp_path / "data", file, {}, columns={"image": "file", "label": "finding"})
    assert labels(manifest) == {"a.png": "sick", "deep/down/b.jpeg": "healthy"}
    assert reasons(manifest) == {"c.png": "the label is blank"}


def test_a_table_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    file, _ = named(tmp_path, "a,sick,1,,PA")
    with pytest.raises(DataError, match=r"columns file, finding, part, pos, who. Write data.columns=\{image: COLUMN"):
        read_table(file, {})
    with pytest.raises(DataError, match=r"own.csv, which has file, .*Received: label: nothing"):
        read_table(file, {"image": "file", "label": "nothing"})
    with pytest.raises(DataError, match="at least image and label"):
        read_table(file, {"image": "file"})
    with pytest.raises(DataError, match=r"is a table: .csv, .tsv, .parquet"):
        read_table(tmp_path / "none.csv", {})
    (tmp_path / "french.csv").write_bytes("file,finding\na,opacité\n".encode("latin-1"))
    with pytest.raises(DataError, match="Save it as UTF-8"):
        read_table(tmp_path / "french.csv", {})
    with pytest.raises(DataError, match=r"several columns 'finding'\. Rename or remove"):
        read_table(write(tmp_path / "twice.csv", "file,finding, finding", "a,b,c"), {})


def test_names_that_several_images_have_are_not_guessed(tmp_path: Path) -> None:
    file, columns = named(tmp_path, "a.png,sick,1,,", "x/b.png,healthy,2,,", "b,sick,3,,", "x/b,sick,3,,")
    put(tmp_path / "data", ["1/a.png", "2/a.png", "x/b.png", "y/b.png"])
    manifest = scan(tmp_path / "data", file, {}, columns=columns)
    assert labels(manifest) == {"x/b.png": "healthy"}
    assert Counter(bad.reason for bad in manifest.bad) == {
        "a row whose name several images have": 2,
        "a second row for one image": 1,
        "an image without a row in the table": 3,
    }


def test_linked_folders_are_read(tmp_path: Path) -> None:
    """As where an archive of several parts is laid together: `images -> /nas/part 2`."""
    file, columns = named(tmp_path, "a.png,sick,1,,", "b.png,healthy,2,,")
    put(tmp_path, ["data/a.png", "nas/deep/b.png"])
    for link in ("data/more", "data/again"):
        (tmp_path / link).symlink_to(tmp_path / "nas", target_is_directory=True)
    (tmp_path / "nas/up").symlink_to(tmp_path / "data", target_is_directory=True)
    manifest = scan(tmp_path / "data", file, {}, columns=columns)
    assert labels(manifest) == {"a.png": "sick", "again/deep/b.png": "healthy"}
    assert not manifest.bad


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, columns = named(tmp_path, "a.png,sick,1,,", "b.png,healthy,2,,")
    put(tmp_path / "data", ["a.png", "x/b.png"])
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("/x"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    manifest = scan(tmp_path / "data", file, {}, columns=columns)
    assert {Path(bad.path).name: bad.reason for bad in manifest.bad} == {
        "b.png": "a row without an image below data.root",
        "x": "folder cannot be read: Permission denied",
    }


@pytest.mark.parametrize("text", ["nan", "NaN", "<NA>", " "])
def test_a_missing_value_says_nothing(tmp_path: Path, text: str) -> None:
    """However the program that wrote the table calls it."""
    file, columns = named(tmp_path, f"a.png,{text},{text},{text},{text}", f"b.png,sick,{text},,")
    rows = read_table(file, columns).rows
    assert rows == (
        LabelRow("a.png", frozenset(), blank=frozenset({""})),
        LabelRow("b.png", frozenset({"sick"})),
    )
    head = "Image,Atelectasis,Hernia,PatientId,Pneumonia"
    row = row_of(tmp_path, head, f"a.png,0,{text},7,1")
    assert (row.present, row.blank) == (frozenset({"Pneumonia"}), frozenset({"Hernia"}))


def test_unmatched_rows_may_stop_the_run(tmp_path: Path) -> None:
    file, columns = named(tmp_path, "a.png,sick,1,,", "b.png,healthy,1,,")
    put(tmp_path / "data", ["a.png"])
    with pytest.raises(DataError, match=r"unmatched=stop .*Received: 1 that do not, such as b.png"):
        scan(tmp_path / "data", file, {}, columns=columns, unmatched="stop")


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data.table.uncertain must be one of exclude, positive, negative. Received: 'yes'"
    ):
        TableSettings(uncertain="yes")


@pytest.fixture
def split_set(tmp_path: Path) -> DataSettings:
    """24 images of 12 patients; the table says of each whether it trains, validates or tests."""
    parts = ["train"] * 12 + ["val"] * 6 + ["test"] * 6
    lines = [f"{n}.png,{('sick', 'healthy')[n % 2]},patient {n // 2},{part},PA" for n, part in enumerate(parts)]
    file, columns = named(tmp_path, *lines)
    put(tmp_path / "data", [f"{n}.png" for n in range(24)])
    return DataSettings(
        root=str(tmp_path / "data"), labels=str(file), columns=columns, size=32, cache=str(tmp_path / "cache")
    )


def test_a_split_column_is_obeyed(split_set: DataSettings) -> None:
    dataset = prepare_dataset(split_set)
    manifest, split = dataset.manifest, dataset.split
    assert manifest.counts() == {POOL: (9, 9), TEST: (3, 3)}
    names = [row.image_id for row in manifest.pool_rows]
    assert {names[at] for at in split.validation} == {f"{n}.png" for n in range(12, 18)}
    assert sorted([*split.train, *split.validation]) == list(range(18))
    assert "The table divides the images: test 6, train 12, validation 6." in list_notices(manifest, split, split_set)
    with pytest.raises(DataError, match=r"data.split.redraw"):
        split_pool(manifest, SplitSettings(redraw=True))
    with pytest.raises(DataError, match=r"the table .* states which images validate.*Set data.split.folds=null"):
        split_pool(manifest, SplitSettings(folds=5))


def test_look_alikes_on_both_sides_of_a_stated_split_are_said(split_set: DataSettings) -> None:
    root = Path(str(split_set.root))
    Image.open(root / "0.png").save(root / "12.jpeg", quality=60)
    (root / "12.png").unlink()
    dataset = prepare_dataset(split_set)
    notices = list_notices(dataset.manifest, dataset.split, split_set)
    assert (
        "Images that the table has validate, and that look like images that train: 1, such as 0.png and 12.jpeg. "
        "Validation scores are too good by them."
    ) in notices
    assert not any("stay on one side" in notice for notice in notices)


def test_an_unknown_split_is_set_aside_and_a_missing_test_set_held_out(split_set: DataSettings) -> None:
    file = Path(split_set.labels)
    file.write_text(file.read_text().replace(",test,", ",train,", 5).replace(",test,", ",later,"))
    manifest = list_dataset(split_set)
    assert reasons(manifest) == {"23.png": "the split 'later' is not train, validation or test"}
    assert manifest.held_out
    assert not [row for row in manifest.test_rows if row.part == "validation"]
    assert len(split_pool(manifest, SplitSettings()).validation) == 6


def test_splits_of_other_words_are_said_not_to_be_obeyed(split_set: DataSettings) -> None:
    file = Path(split_set.labels)
    for part in ("train", "val", "test"):
        file.write_text(file.read_text().replace(f",{part},", f",Fold {part[0]},"))
    manifest = list_dataset(split_set)
    assert len(manifest.rows) == 24
    assert manifest.held_out
    said = "The table's splits are not obeyed, as none is train, validation or test: fold t, fold v."
    assert said in manifest.notes


def test_without_validation_in_the_table_it_is_drawn_by_patient(split_set: DataSettings) -> None:
    file = Path(split_set.labels)
    file.write_text(file.read_text().replace(",val,", ",train,"))
    manifest = list_dataset(split_set)
    split = split_pool(manifest, SplitSettings(fraction=0.3))
    groups = np.array([row.group for row in manifest.pool_rows])
    assert len(split.validation) == 6
    assert not set(groups[split.train]) & set(groups[split.validation])


def test_patients_on_both_sides_of_the_test_set_are_told(split_set: DataSettings) -> None:
    file = Path(split_set.labels)
    file.write_text(file.read_text().replace("patient 11", "patient 0"))
    manifest = list_dataset(split_set)
    notices = list_notices(manifest, split_pool(manifest, split_set.split), split_set)
    assert "Patients in the pool and in the test set as well: 1." in notices


def test_names_in_a_table_of_ones_own_are_hashed(split_set: DataSettings) -> None:
    file, root = Path(split_set.labels), Path(str(split_set.root))
    file.write_text(
        file.read_text()
        .replace("0.png,sick,patient 0", "MRN-5/0.png,sick,MRN-5")
        .replace("5.png,healthy,patient 2", "zz.png,healthy,zz")
    )
    (root / "MRN-5").mkdir()
    (root / "0.png").rename(root / "MRN-5" / "0.png")
    manifest = list_dataset(split_set)
    assert len(manifest.rows) == 23
    assert not any(secret in f"{row.image_id} {row.group}" for row in manifest.rows for secret in ("MRN-5", "patient"))
    assert not any("zz" in bad.path for bad in manifest.bad)


def test_dicom_files_are_labelled_by_a_table(tmp_path: Path) -> None:
    lines = [f"u{n},{n % 2}" for n in range(6)]
    file = write(tmp_path / "rsna.csv", "patientId,Target", *lines)
    for n in range(6):
        view = "LL" if n == 5 else "PA"
        save(
            make_dataset(sample_pixels(12, IMAGES[n]), PatientID=f"u{n}", ViewPosition=view),
            tmp_path / "data" / f"u{n}.dcm",
        )
    manifest = scan(tmp_path / "data", file, {})
    assert manifest.classes == ("No Finding", "Lung Opacity")
    assert list(labels(manifest)) == [f"u{n}.dcm" for n in range(5)]  # public: they name nobody
    assert reasons(manifest) == {"u5.dcm": "the view lateral is not frontal"}
    assert all(row.view == "PA" and row.sex == "F" for row in manifest.rows)
    names = Pseudonyms(tmp_path / "cache")
    assert manifest.rows[0].group == f"pool/{names.patient('u0')}"


def test_an_outside_set_has_a_folder_for_each_class(split_set: DataSettings, tmp_path: Path) -> None:
    put(tmp_path / "out" / "HEALTHY", ["a.png", "b.png"])
    shutil.copytree(tmp_path / "out" / "HEALTHY", tmp_path / "out" / "sick")
    found = prepare_extra_test("out", str(tmp_path / "out"), ("healthy", "sick"), split_set)
    assert {(Path(row.image_id).parts[0], row.label) for row in found.rows} == {("HEALTHY", 0), ("sick", 1)}
    with pytest.raises(DataError, match="has the classes"):
        prepare_extra_test("out", str(tmp_path / "out"), ("a", "b"), replace(split_set))


def test_a_held_out_test_set_shares_no_patient_with_the_stated_validation(split_set: DataSettings) -> None:
    file = Path(split_set.labels)
    # patients 0 to 2 have images that train and images that validate
    text = file.read_text().replace(",test,", ",train,")
    file.write_text(text.replace("patient 6,", "patient 0,").replace("patient 7,", "patient 1,"))
    manifest = list_dataset(split_set)
    assert manifest.held_out
    assert not manifest.shared_patients()


def test_a_pattern_names_the_patients_whom_a_table_does_not(split_set: DataSettings) -> None:
    columns = {key: name for key, name in split_set.columns.items() if key != "patient"}
    manifest = list_dataset(replace(split_set, columns=columns, patient=r"(\d)\.png"))
    assert {row.group for row in manifest.pool_rows} == {f"pool/{digit}" for digit in range(10)}
    assert all(not row.names_patient for row in list_dataset(replace(split_set, columns=columns)).rows)


FINDINGS = [
    *NIH,
    "00000005_000.png,Effusion|Edema|Mass,0,5,74,F,PA,2500,2048,0.168,0.168,",
    "00000006_000.png,,0,6,74,F,PA,2500,2048,0.168,0.168,",
]


def scan_findings(root: Path, file: Path, classes: dict[str, Any], **choices: Any) -> Manifest:
    rules = FileRules((), Pseudonyms(root.parent / "cache"))
    return scan_table(root, file, classes, {}, TableSettings(**choices), AUTO, AUTO, rules, MULTILABEL)


def test_an_image_may_show_several_findings(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / "Data_Entry_2017.csv", *FINDINGS)
    put(tmp_path / "data", [f"0000000{n}_00{k}.png" for n, k in ((1, 0), (1, 1), (2, 0), (5, 0), (6, 0))])
    manifest = scan_findings(tmp_path / "data", file, {})
    assert manifest.is_multilabel
    assert manifest.classes == ("Consolidation", "Edema", "Effusion", "Mass", "Pneumonia")
    assert manifest.pool_labels.tolist() == [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 1, 0]]
    assert manifest.counts()[POOL] == (1, 2, 1, 1, 1)
    assert manifest.label_name(manifest.rows[3]) == "Edema, Effusion, Mass"
    assert manifest.label_name(manifest.rows[1]) == "no finding"
    assert reasons(manifest)["00000006_000.png"] == "the label is blank"
    assert "Findings of no image that could train, which are left out: Hernia." in manifest.notes
    assert "Findings, Consolidation; Edema; Effusion; Mass; Pneumonia." in manifest.notes
    other = replace(manifest.rows[0], findings=(1,))
    assert replace(manifest, rows=(other, *manifest.rows[1:])).fingerprint != manifest.fingerprint


def test_findings_may_be_joined(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / "Data_Entry_2017.csv", *FINDINGS)
    put(tmp_path / "data", [f"0000000{n}_00{k}.png" for n, k in ((1, 0), (1, 1), (2, 0), (5, 0))])
    joined = scan_findings(tmp_path / "data", file, {"water": ["Edema", "Effusion"], "other": ["*"]})
    assert joined.classes == ("water", "other")
    # No Finding is not among all others
    assert joined.pool_labels.tolist() == [[1, 1], [0, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("uncertain", "expected"), [("exclude", [(0,)]), ("positive", [(0,), (0, 1)]), ("negative", [(0,), (0,)])]
)
def test_uncertain_findings_of_several(tmp_path: Path, uncertain: str, expected: list[tuple[int, ...]]) -> None:
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Pleural Other"
    lines = ["x/patient1/a.jpg,Male,50,Frontal,AP,,1.0,0.0,", "x/patient2/b.jpg,Male,50,Frontal,AP,,1.0,-1.0,"]
    file = write(tmp_path / "data" / "train.csv", head, *lines)
    put(tmp_path / "data", ["x/patient1/a.jpg", "x/patient2/b.jpg"])
    classes = {"heart": ["Cardiomegaly"], "water": ["Edema"]}
    manifest = scan_findings(tmp_path / "data", file, classes, uncertain=uncertain)
    assert [row.findings for row in manifest.rows] == expected


def test_one_finding_is_no_task_of_several(tmp_path: Path) -> None:
    file = write(tmp_path / "Data_Entry_2017.csv", *FINDINGS)
    with pytest.raises(DataError, match=r"at least two findings\. Received: mass, of a table with .*Mass \(1\)"):
        scan_findings(tmp_path, file, {"mass": ["Mass"]})
