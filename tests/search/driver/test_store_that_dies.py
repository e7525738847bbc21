"""The feature store's process dies: it starts again, and who needs features does not notice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from models.transfer import TransferConfig
from search.driver.share import FeatureNews, start_store
from search.plan.settings import TrainSettings
from search.trial import features
from search.trial.feature_store import BLOCK, Claim
from search.trial.features import Backbones
from search.trial.training import TrialConfig
from tests.own_ray import own_ray
from tests.waiting import wait_until

IMAGES = np.arange(BLOCK + 6, dtype=np.uint8).reshape(-1, 1, 1, 1)
CONFIG = TrialConfig(TransferConfig("vgg16"), TrainSettings(precision="float32"), max_epochs=3, seed=5)


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    with own_ray():
        yield


@pytest.fixture
def shared(tmp_path: Path) -> Backbones:
    return Backbones({}, start_store(str(tmp_path), 1e9, 1e9))


class Dying:
    """A store whose process dies after it has answered a claim, once; what it put into the object store dies with it.

    It has methods as an actor's handle has them.
    """

    def __init__(self, store: Any) -> None:
        self._store, self._has_died = store, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def claim(self) -> Any:
        return self

    def remote(self, *given: Any) -> Any:
        claim: Claim = ray.get(self._store.claim.remote(*given))
        if claim.reference is not None and not self._has_died:
            self._has_died = True
            ray.kill(self._store, no_restart=False)
        return ray.put(claim)


def test_features_survive_the_process_of_their_store(shared: Backbones, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def compute(images: np.ndarray) -> np.ndarray:
        computed.append(len(images))
        if len(computed) == 1:  # the first block comes back to a store that has died
            ray.kill(shared.store, no_restart=False)
        return images.mean(axis=(1, 2), dtype=np.float32)

    monkeypatch.setattr(features, "build_extractor", lambda config, shape, weights: compute)
    found = shared.plain(CONFIG, IMAGES, "print")
    np.testing.assert_array_equal(found[:, 0], IMAGES[:, 0, 0, 0])
    known = len(computed)
    wait_until(shared.costs, "the store knows what was computed")  # else its next process would be told
    again = Backbones({}, Dying(shared.store)).plain(CONFIG, IMAGES, "print")
    np.testing.assert_array_equal(again, found)
    assert len(computed) == known  # they are on the disk
    assert shared.costs() == []  # of the process that runs now


def test_the_screen_bears_with_a_store_that_stays_dead(shared: Backbones) -> None:
    ray.kill(shared.store)
    news = FeatureNews(shared.store)
    news.poll()  # asks
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(shared.store.news.remote())  # asked later: the first question has its answer, too
    assert (list(news.poll()), list(news.computing)) == ([], [])
