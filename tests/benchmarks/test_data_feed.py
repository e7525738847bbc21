"""The parts of a trial, and a feed of one repeated batch."""

import os

import numpy as np
import pytest

from benchmarks import data_feed
from benchmarks.data_feed import FeedModel, Setup
from benchmarks.timed_trial import Parts
from data_pipeline.share import TrainingData
from models.cnn import CnnConfig
from search.plan.settings import TrainSettings
from search.trial.feed import image_inputs
from search.trial.training import TrialConfig


def test_overhead_is_all_that_is_not_building_or_training() -> None:
    assert data_feed.overhead(Parts(build=10, train=80, validation=5, checkpoint=3, report=2)) == 10.0


def test_training_is_three_times_the_work_of_validation() -> None:
    assert data_feed.validation_share(train=300, validation=100) == 10.0


def test_parts_of_trials_add_up() -> None:
    assert data_feed.add_parts([Parts(1, 2, 3, 4, 5), Parts(10, 20, 30, 40, 50)]) == Parts(11, 22, 33, 44, 55)


def test_a_repeated_batch_is_faster_by_the_time_that_the_feed_takes() -> None:
    free, held = Setup(data_feed.SMALL, 32, "none"), Setup(data_feed.SMALL, 32, "none", one_cpu=True)
    feeds = {free: [(11.0, 10.0), (10.2, 10.0)], held: [(12.0, 10.0), (12.0, 10.0)]}
    found = data_feed.summarize([Parts(0, 95, 5, 0, 0)], feeds, images={data_feed.SMALL: 1000}, least=7.7)
    share, feed = found.targets
    assert found.others[0].name.endswith("on one CPU")
    assert found.others[0].median == pytest.approx(20.0)
    assert (share.quantity.median, share.is_reached) == (5.0, True)
    assert feed.quantity.values == pytest.approx((10.0, 2.0))
    assert not feed.is_reached  # a median of 6 %


def test_one_batch_takes_the_place_of_all(small_data: TrainingData) -> None:
    train = TrainSettings(batch_size=50, precision="float32")
    model = FeedModel(TrialConfig(CnnConfig(1, 2), train, max_epochs=5, seed=0), small_data, image_inputs(small_data))
    model.run_epoch()
    assert model.fit_seconds() > 0
    steps = int(model._batches.cardinality())
    feed = model.repeat_first_batch()
    batches = [np.asarray(images) for images, _, _ in feed]
    assert len(batches) == steps > 1
    assert all(np.array_equal(batch, batches[0]) for batch in batches[1:])
    assert model.fit_seconds(feed) > 0


def test_a_process_is_held_to_one_cpu_for_a_while() -> None:
    before = os.sched_getaffinity(0)
    with data_feed._one_cpu():
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before
