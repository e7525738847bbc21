"""A small data set as folders, for the modules that read them."""

import shutil
from pathlib import Path

import pytest

import data_pipeline

SAMPLE = Path(data_pipeline.__file__).parent / "sample"
NORMAL = sorted((SAMPLE / "train/NORMAL").iterdir())
BACTERIAL = sorted((SAMPLE / "train/PNEUMONIA").glob("*bacteria*"))
VIRAL = sorted((SAMPLE / "train/PNEUMONIA").glob("*virus*"))


def copy_images(images: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        shutil.copyfile(image, folder / image.name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Kaggle's layout in small: 3 normal, 2 bacterial and 1 viral image in each of train and test."""
    for pool, start in (("train", 0), ("test", 3)):
        copy_images(NORMAL[start : start + 3], tmp_path / "data" / pool / "NORMAL")
        copy_images(BACTERIAL[start : start + 2] + VIRAL[start : start + 1], tmp_path / "data" / pool / "PNEUMONIA")
    return tmp_path / "data"
