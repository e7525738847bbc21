import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data_pipeline
from data_pipeline.dataset import list_dataset, prepare_dataset, prepare_extra_test, read_images
from data_pipeline.manifest import POOL, TEST, DataError
from data_pipeline.notices import list_notices
from data_pipeline.preprocess import PreparedImages
from data_pipeline.settings import DataSettings
from data_pipeline.sources import SAMPLE_NOTICE
from data_pipeline.split import SplitSettings

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the sample's test folder, to be spoilt."""
    return Path(shutil.copytree(SAMPLE / "test", tmp_path / "data"))


def test_sample_is_ready_for_a_search(cache: str) -> None:
    dataset = prepare_dataset(DataSettings(cache=cache))
    assert dataset.manifest.classes == ("normal", "pneumonia")
    assert dataset.pool.open().shape == (480, 224, 224, 1)
    assert dataset.split.counts(dataset.manifest)["validation"] == (30, 66)
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
    images, places = read_images(dataset.pool, rows)
    for image, row in zip(images[places], rows, strict=True):
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


def test_outside_test_set_takes_the_labels_of_the_run(root: Path, cache: str) -> None:
    settings = DataSettings(cache=cache)
    found = prepare_extra_test("clinic", str(root), ("normal", "pneumonia"), settings)
    assert {row.pool for row in found.rows} == {TEST}
    assert [row.label for row in found.rows] == [0] * 40 + [1] * 80
    images, places = read_images(found.images, found.rows[:3])
    assert images[places].shape == (3, 224, 224, 1)


def test_outside_test_set_without_kinds_of_pneumonia_is_refused_for_three_classes(root: Path, cache: str) -> None:
    for number, image in enumerate(sorted((root / "PNEUMONIA").iterdir())):
        image.rename(image.with_name(f"{number}.jpeg"))
    settings = DataSettings(cache=cache, labels="three_class")
    with pytest.raises(DataError, match=r"'clinic' .* normal, bacterial, viral .*none of: bacterial, viral"):
        prepare_extra_test("clinic", str(root), ("normal", "bacterial", "viral"), settings)
    assert prepare_extra_test("clinic", str(root), ("normal", "pneumonia"), DataSettings(cache=cache)).rows


def test_outside_test_set_of_other_classes_is_refused(root: Path, cache: str) -> None:
    settings = DataSettings(cache=cache, labels="folders")
    with pytest.raises(DataError, match=r"run's classes cat, dog .*It has the classes NORMAL, PNEUMONIA"):
        prepare_extra_test("clinic", str(root), ("cat", "dog"), settings)
    with pytest.raises(
        DataError, match=r"set 'clinic' is an existing folder, or a table of labels. Received: '/nowhere'"
    ):
        prepare_extra_test("clinic", "/nowhere", ("cat", "dog"), settings)


def save_copy(source: Path, target: Path) -> None:
    """The same picture in another file."""
    Image.open(source).save(target, quality=60)


def test_look_alikes_across_pool_and_test_are_said(cache: str, tmp_path: Path) -> None:
    root = Path(shutil.copytree(SAMPLE, tmp_path / "data"))
    original = sorted((root / "train/NORMAL").iterdir())[0]
    save_copy(original, root / "test/NORMAL/IM-9999-0001.jpeg")
    settings = DataSettings(root=str(root), cache=cache)
    dataset = prepare_dataset(settings)
    (notice,) = list_notices(dataset.manifest, dataset.split, settings)
    assert notice.startswith("Images that look alike in the pool and in the test set: 1, such as ")
    assert original.name in notice


def test_look_alikes_stay_on_one_side_of_the_splits(root: Path, cache: str) -> None:
    # 30 of 40 normal images twice, under other patients: some would lie on both sides of any draw
    for number, image in enumerate(sorted((root / "NORMAL").iterdir())[:30]):
        save_copy(image, root / f"NORMAL/IM-{9000 + number}-0001.jpeg")
    settings = DataSettings(root=str(root), cache=cache)
    dataset = prepare_dataset(settings)
    assert dataset.manifest.held_out
    assert dataset.manifest.look_alikes().across_pools == ()
    assert len(dataset.manifest.look_alikes().across_groups) == 30
    rows = dataset.manifest.pool_rows
    sides = [{rows[at].twin for at in side} - {""} for side in (dataset.split.train, dataset.split.validation)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert [row.index for row in rows] == list(range(len(rows)))
    by_patient = prepare_dataset(replace(settings, split=SplitSettings("patient")))
    assert by_patient.manifest.look_alikes().across_pools  # as it was before


def test_grey_values_of_a_set_have_one_white(tmp_path: Path, cache: str) -> None:
    factors = {"train/NORMAL": 16, "train/PNEUMONIA": 8, "test/NORMAL": 16, "test/PNEUMONIA": 40}
    for folder, factor in factors.items():
        (tmp_path / "data" / folder).mkdir(parents=True)
        for image in sorted((SAMPLE / "train/NORMAL").iterdir())[:6]:
            grey = np.asarray(Image.open(image).convert("L")).astype(np.uint16) * factor
            Image.fromarray(grey).save(tmp_path / "data" / folder / f"{image.stem}-{factor}.png")
    settings = DataSettings(root=str(tmp_path / "data"), cache=cache)
    dataset = prepare_dataset(settings)
    assert (dataset.manifest.white, dataset.manifest.cut) == (4095, 6)
    bright, dim = (dataset.pool.open()[row.index].max() for row in (dataset.manifest.pool_rows[n] for n in (0, 6)))
    assert bright > 200
    assert abs(bright / 2 - dim) <= 1
    notices = list_notices(dataset.manifest, dataset.split, settings)
    assert (
        "White is 4,095 in all files of more than 8 bits a value: no value of the set needs more than 12 bits."
        in notices
    )
    assert "Test images with values above the pool's white, which are cut to it: 6." in notices
    assert prepare_dataset(settings).manifest.white == 4095  # from the cache
