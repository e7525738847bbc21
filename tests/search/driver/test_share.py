"""Backbones are shared once a run: weights read on the driver's node, a feature store where trials can use one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.registry import TransferConfig, WeightsError, weights_hash
from search.driver import share
from search.driver.share import FeatureNews, models_with_features, share_backbones
from search.plan.domains import Choice, Parameter
from search.plan.settings import Settings, SettingsError
from search.plan.spaces import Space
from search.plan.words import load_settings
from search.trial.feature_store import Claim, FeatureKey
from tests.own_ray import own_ray
from tests.waiting import wait_until

VGG16 = Parameter("backbone", Choice(("vgg16",)))
HEADS = Space("heads", (VGG16, Parameter("dense", Choice(([], [8])))))
THAWED = Space("thawed", (VGG16, Parameter("frozen", Choice(("none",)))))
CNN = Space("cnn", (Parameter("backbone", Choice(("cnn",))),))
KEY = FeatureKey("vgg16", "random, seed 5", "all, average", "images", "float32", "float32")


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    with own_ray():
        yield


def settings(cache: Path, *words: str) -> Settings:
    return load_settings(["space=plain2", "weights=none", f"data.cache={cache}", *words])


@pytest.mark.parametrize(
    ("space", "features", "models"),
    [
        (HEADS, "float16", [TransferConfig("vgg16", dense=()), TransferConfig("vgg16", dense=(8,))]),
        (HEADS, "off", []),
        (THAWED, "float16", []),
        (CNN, "float16", []),
    ],
)
def test_a_store_is_there_where_a_model_has_a_frozen_part(
    tmp_path: Path, space: Space, features: str, models: list[TransferConfig]
) -> None:
    chosen = settings(tmp_path, f"features={features}", "views=3")
    assert models_with_features(chosen, space) == models
    backbones = share_backbones(chosen, space)
    assert (backbones.store is not None) == bool(models)
    if models:
        assert (backbones.dtype, backbones.views) == ("float16", 3)
        assert backbones.costs() == []


def test_weights_are_read_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = (np.arange(6, dtype=np.float32),)
    digest = weights_hash(arrays)
    monkeypatch.setattr(share, "_load_weights", lambda backbone, weights: (arrays, digest))
    chosen = settings(tmp_path, "weights=imagenet", "features=off")
    backbones = share_backbones(chosen, HEADS)
    assert backbones.weights["vgg16"].hash == digest
    shared = backbones.arrays(TransferConfig("vgg16"))
    assert shared is not None
    np.testing.assert_array_equal(shared[0], arrays[0])
    assert not shared[0].flags.writeable
    assert backbones.arrays(TransferConfig("resnet50")) is None


def test_weights_that_cannot_be_read_are_the_users_error(tmp_path: Path) -> None:
    chosen = settings(tmp_path, f"weights={tmp_path}/none.h5")
    with pytest.raises(WeightsError, match="path of a file"):
        share_backbones(chosen, HEADS)


def test_news_are_asked_for_without_waiting(tmp_path: Path) -> None:
    import ray

    chosen = settings(tmp_path)
    store = share_backbones(chosen, HEADS).store
    assert ray.get(store.claim.remote(KEY, 3)) == Claim(block=0)
    news = FeatureNews(store)
    assert _first_news(news) == ([], [f"features of {KEY}: 0 of 3 images"])
    ray.get(store.add.remote(KEY, 0, np.zeros((3, 4), np.float32)))
    assert ray.get(store.claim.remote(KEY, 3)).reference is not None
    lines, computing = _first_news(news)
    assert "vgg16 (all, average): 3 images" in lines[0]
    assert not computing


def _first_news(news: FeatureNews) -> tuple[list[str], list[str]]:
    """What the first answer says that differs from before."""
    before, lines = list(news.computing), list[str]()

    def is_new() -> bool:
        lines.extend(news.poll())
        return bool(lines) or list(news.computing) != before

    wait_until(is_new, "news of the store")
    return lines, list(news.computing)


def test_features_that_do_not_fit_the_object_store_are_said_before_the_first_trial(tmp_path: Path) -> None:
    said: list[str] = []
    share_backbones(settings(tmp_path), HEADS, 1_000, said.append)
    assert not said  # 2 MB, of 50
    share_backbones(settings(tmp_path), HEADS, 100_000, said.append)
    assert said == [
        "features of vgg16 (all, average): 205 MB for 100,000 images: the object store has room for 52 MB, so the disk "
        "keeps them; features=float16 halves them"
    ]


def test_features_without_room_anywhere_are_refused_before_the_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "room_bytes", lambda folder: 1e6)
    with pytest.raises(SettingsError, match=r"205 MB .*0\.0 GB free.*features=float16"):
        share_backbones(settings(tmp_path), HEADS, 100_000)
