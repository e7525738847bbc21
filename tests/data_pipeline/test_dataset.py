import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data_pipeline
from data_pipeline.dataset import (
    DataSettings,
    list_dataset,
    list_notices,
    prepare_dataset,
    prepare_extra_test,
    read_images,
)
from data_pipeline.manifest import POOL, TEST, DataError
from data_pipeline.preprocess import PreparedImages
from data_pipeline.sources import SAMPLE_NOTICE
from data_pipeline.split import SplitSettings, split_pool

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the sample's test folder, to be spoilt."""
    return Path(shutil.copytree(SAMPLE / "test", tmp_path / "data"))


def notices_of(settings: DataSettings) -> tuple[str, ...]:
    manifest = list_dataset(settings)
    return list_notices(manifest, split_pool(manifest, settings.split), settings)


def test_sample_is_ready_for_a_search(cache: str) -> None:
    dataset = prepare_dataset(DataSettings(cache=cache))
    assert dataset.manifest.classes == ("normal", "pneumonia")
    assert dataset.pool.open().shape == (480, 224, 224, 1)
    assert dataset.split.counts(dataset.manifest)["validation"] == (48, 48)
    assert list_notices(dataset.manifest, dataset.split, DataSettings()) == (SAMPLE_NOTICE,)
    assert [row.index for row in dataset.manifest.pool_rows] == list(range(480))
    assert [row.index for row in dataset.manifest.test_rows] == list(range(120))
    assert {(row.width, row.height) for row in dataset.manifest.rows} == {(224, 224)}


def test_listing_agrees_with_preparing(cache: str) -> None:
    settings = DataSettings(cache=cache, labels="three_class")
    assert list_dataset(settings).fingerprint == prepare_dataset(settings).manifest.fingerprint


def test_test_images_are_not_opened(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(PreparedImages, "open", lambda images: opened.append(images.path))
    dataset = prepare_dataset(DataSettings(cache=cache))
    assert opened == []
    dataset.test.open()
    assert opened == [dataset.test.path]


def test_indices_lead_to_the_pixels(root: Path, cache: str) -> None:
    normal = sorted((root / "NORMAL").iterdir())
    normal[3].write_bytes(normal[3].read_bytes()[:-1000])
    dataset = prepare_dataset(DataSettings(root=str(root), cache=cache))
    rows = dataset.manifest.pool_rows[::-7]
    for image, row in zip(read_images(dataset.pool, rows), rows, strict=True):
        expected = np.asarray(Image.open(row.path).convert("L"), dtype=int)
        assert np.abs(image[..., 0].astype(int) - expected).max() <= 2
    assert [bad.path for bad in dataset.manifest.bad] == [str(normal[3])]
    assert "Files set aside: 1," in " ".join(
        list_notices(dataset.manifest, dataset.split, DataSettings(root=str(root)))
    )


def test_missing_test_folder_is_held_out_and_said(root: Path, cache: str) -> None:
    settings = DataSettings(root=str(root), cache=cache)
    dataset = prepare_dataset(settings)
    assert dataset.manifest.counts() == {POOL: (32, 64), TEST: (8, 16)}
    assert list_notices(dataset.manifest, dataset.split, settings) == (
        "There is no test folder: 24 images were held out as the test set.",
    )


def test_too_many_bad_files_stop_the_run(root: Path, cache: str) -> None:
    broken = sorted((root / "NORMAL").iterdir())[:3]
    for image in broken:
        image.write_bytes(image.read_bytes()[:500])
    settings = DataSettings(root=str(root), cache=cache)
    with pytest.raises(
        DataError, match=r"3 of 120 files cannot be used, more than data.max_bad_fraction=0.01"
    ) as caught:
        prepare_dataset(settings)
    assert f"{broken[0]}: truncated" in str(caught.value)
    with (Path(cache) / "bad_files.csv").open(newline="") as file:
        listed = [row["path"] for row in csv.DictReader(file)]
    assert listed == [str(image) for image in broken]
    dataset = prepare_dataset(replace(settings, max_bad_fraction=0.03))
    assert len(dataset.manifest.bad) == 3


def test_folder_of_truncated_files_stops_the_run(root: Path, cache: str) -> None:
    files = sorted(root.rglob("*.jpeg"))
    assert files
    for image in files:
        image.write_bytes(image.read_bytes()[:500])
    with pytest.raises(DataError, match=r"No usable image was found(.|\n)*120 set aside(.|\n)*truncated"):
        prepare_dataset(DataSettings(root=str(root), cache=cache))


def test_folder_of_undecodable_files_stops_the_run(tmp_path: Path, cache: str) -> None:
    root = Path(shutil.copytree(SAMPLE, tmp_path / "data"))
    files = sorted(root.rglob("*.jpeg"))
    assert files
    for number, image in enumerate(files):
        image.write_bytes(b"\xff\xd8\xff\xda" + number.to_bytes(2, "big") * 50 + b"\xff\xd9")
    with pytest.raises(DataError, match="600 of 600 files cannot be used"):
        prepare_dataset(DataSettings(root=str(root), cache=cache))
    with pytest.raises(DataError, match="No usable image was found"):
        prepare_dataset(DataSettings(root=str(root), cache=cache, max_bad_fraction=1.0))


def test_duplicates_are_said(cache: str, tmp_path: Path) -> None:
    root = Path(shutil.copytree(SAMPLE, tmp_path / "data"))
    shutil.copyfile(next((root / "train/NORMAL").iterdir()), root / "test/NORMAL/IM-9999-0001.jpeg")
    settings = DataSettings(root=str(root), cache=cache)
    (notice,) = notices_of(settings)
    assert notice == "Images that are byte-identical in the pool and in the test set: 1."


def test_a_class_of_which_most_validates_is_told(root: Path) -> None:
    for image in sorted((root / "NORMAL").iterdir())[12:]:
        image.unlink()
    settings = DataSettings(root=str(root), split=SplitSettings(fraction=0.16))
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


def test_outside_test_set_takes_the_labels_of_the_run(root: Path, cache: str) -> None:
    settings = DataSettings(cache=cache)
    rows, prepared = prepare_extra_test("clinic", str(root), ("normal", "pneumonia"), settings)
    assert {row.pool for row in rows} == {TEST}
    assert [row.label for row in rows] == [0] * 40 + [1] * 80
    assert read_images(prepared, rows[:3]).shape == (3, 224, 224, 1)


def test_outside_test_set_without_kinds_of_pneumonia_is_refused_for_three_classes(root: Path, cache: str) -> None:
    for number, image in enumerate(sorted((root / "PNEUMONIA").iterdir())):
        image.rename(image.with_name(f"{number}.jpeg"))
    settings = DataSettings(cache=cache, labels="three_class")
    with pytest.raises(DataError, match=r"'clinic' .* normal, bacterial, viral .*none of: bacterial, viral"):
        prepare_extra_test("clinic", str(root), ("normal", "bacterial", "viral"), settings)
    assert prepare_extra_test("clinic", str(root), ("normal", "pneumonia"), DataSettings(cache=cache))[0]


def test_outside_test_set_of_other_classes_is_refused(root: Path, cache: str) -> None:
    settings = DataSettings(cache=cache, labels="folders")
    with pytest.raises(DataError, match=r"run's classes cat, dog .*It has the classes NORMAL, PNEUMONIA"):
        prepare_extra_test("clinic", str(root), ("cat", "dog"), settings)
    with pytest.raises(DataError, match=r"outside test set 'clinic' is an existing folder. Received: '/nowhere'"):
        prepare_extra_test("clinic", "/nowhere", ("cat", "dog"), settings)


def test_impossible_fraction_is_refused() -> None:
    with pytest.raises(DataError, match="max_bad_fraction lies between 0 and 1"):
        DataSettings(max_bad_fraction=2.0)
