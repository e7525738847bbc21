"""Images made from the sample's, a model traced before it reads any, and the two ways compared."""

from pathlib import Path

import numpy as np

from benchmarks import large_data
from benchmarks.large_data import LargeModel, Reading
from data_pipeline.shards import HostDisks
from models.cnn import CnnConfig
from search.plan.settings import SHARDS, TrainSettings
from search.trial.feed import image_inputs
from search.trial.training import TrialConfig


def test_images_differ_and_are_sorted_by_class(tmp_path: Path) -> None:
    prepared, labels = large_data.make_images(tmp_path, 1_440, 32)
    images = prepared.open()
    assert images.shape == (1_440, 32, 32, 1)
    assert len({image.tobytes() for image in images}) > 1_400
    assert images.mean() > 50
    assert (np.diff(labels) >= 0).all()
    assert set(labels) == {0, 1}


def test_a_pass_is_timed_without_tracing(tmp_path: Path) -> None:
    prepared, labels = large_data.make_images(tmp_path, 480, 32)
    data = large_data.training_data_of(prepared, labels, HostDisks("no node", str(tmp_path), 0.0))
    large_data.evict(prepared.path / "images.npy")
    train = TrainSettings(shuffle=SHARDS, precision="float32")
    model = LargeModel(TrialConfig(CnnConfig(1, 2), train, 2, seed=0), data, image_inputs(data))
    model.trace()
    assert "_reader" not in vars(data.images)  # no image has been read
    assert model.fit_seconds() > 0
    assert "_reader" in vars(data.images)


def test_nine_tenths_of_the_speed_in_memory_are_enough() -> None:
    memory, disk = [Reading(1_000.0, 5_000.0)], [Reading(910.0, 400.0)]
    speed, room = large_data.summarize(100_000, 224, memory, disk).comparisons
    assert (speed.ratio, speed.is_reached) == (0.91, True)
    assert room.is_reached
    slow = large_data.summarize(100_000, 224, memory, [Reading(890.0, 400.0)]).comparisons[0]
    assert not slow.is_reached
