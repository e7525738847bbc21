"""What several test modules share: a small data set and short epochs."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import Dataset, prepare_dataset
from data_pipeline.manifest import MULTILABEL, POOL, TEST, ImageRow
from data_pipeline.settings import DataSettings
from data_pipeline.share import TrainingData, training_data
from data_pipeline.split import Split
from search.record import EpochRecord

# Ray gives what it starts a niceness of 15: beside two busy programs of niceness 0 that is a thirtieth of their time.
os.environ.setdefault("RAY_worker_niceness", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole searches and the documents' tables first: the last tests are short, and no process waits for another's."""
    searches = Path(__file__).parent / "search"
    items.sort(key=lambda item: item.path.parent != searches and item.path.name != "test_results.py")


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test session share: pytest-xdist gives each one below it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def image_cache(session_folder: Path) -> Path:
    """A folder for prepared images, shared by all tests of a session."""
    return session_folder / "images"


@pytest.fixture(scope="session")
def small_dataset(image_cache: Path) -> Dataset:
    """The shipped sample at 32 x 32 pixels, two classes."""
    return prepare_dataset(DataSettings(size=32, cache=str(image_cache)))


@pytest.fixture(scope="session")
def findings_dataset(small_dataset: Dataset) -> Dataset:
    """The same images with three findings each may show: pneumonia, one of the last image alone, and darkness."""
    manifest, images = small_dataset.manifest, {POOL: small_dataset.pool.open(), TEST: small_dataset.test.open()}
    last = manifest.pool_rows[-1]

    def shown(row: ImageRow) -> tuple[int, ...]:
        told = row.label == 1, row == last, images[row.pool][row.index].mean() < 110
        return tuple(place for place, is_there in enumerate(told) if is_there)

    rows = tuple(replace(row, label=-1, findings=shown(row)) for row in manifest.rows)
    told = replace(manifest, classes=("pneumonia", "rare", "dark"), rows=rows, task=MULTILABEL)
    train = np.union1d(small_dataset.split.train, [len(told.pool_rows) - 1])  # validation has none of the rare finding
    return replace(
        small_dataset, manifest=told, split=Split(train, np.setdiff1d(small_dataset.split.validation, train))
    )


@pytest.fixture(scope="session")
def small_data(small_dataset: Dataset) -> TrainingData:
    """What a trial sees of it."""
    return training_data(small_dataset)


def make_epoch(number: int, val_loss: float | None, **changes: float) -> EpochRecord:
    """An epoch's record with that validation loss."""
    values = {"seconds": 1.0, "learning_rate": 1e-3, "train_loss": 0.5, "train_accuracy": 0.8, "val_accuracy": 0.7}
    filled = {"val_balanced_accuracy": 0.7, "val_auc": 0.8, **values, **changes}
    return EpochRecord(epoch=number, val_loss=val_loss, **filled)
