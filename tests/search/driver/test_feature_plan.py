"""Sizes of features are known before the first trial, and a host without room for them is refused with the numbers."""

import pytest

from models.transfer import TransferConfig
from search.driver.feature_plan import FeatureSize, feature_sizes, place_features
from search.plan.settings import SettingsError

FLAT = TransferConfig("resnet50", pooling="flatten")
LARGE = FeatureSize("resnet50 (all, flatten)", 100_352, 5_232, 9, 4)  # 2.1 GB


def test_models_with_the_same_frozen_part_share_their_features() -> None:
    heads = {TransferConfig("resnet50", pooling="flatten", dense=dense): 100_352 for dense in ((), (16,))}
    average = {TransferConfig("resnet50"): 2_048}
    small, large = FeatureSize("resnet50 (all, average)", 2_048, 5_232, 9, 4), LARGE
    assert feature_sizes({**average, **heads}, images=5_232, policies=2, views=4, dtype="float32") == [large, small]
    assert large.array_bytes == 100_352 * 5_232 * 4
    (halved,) = feature_sizes({FLAT: 100_352}, images=5_232, policies=0, views=4, dtype="float16")
    assert (halved.array_bytes, halved.arrays) == (large.array_bytes // 2, 1)


def test_features_that_fit_the_object_store_need_no_word() -> None:
    assert place_features([LARGE], room=3e9, disks={"head": 20e9, "worker": 0.0}) == []


def test_features_that_do_not_fit_it_live_on_disks() -> None:
    (line,) = place_features([LARGE], room=1.2e9, disks={"head": 40e9, "worker": 40e9})
    assert line.startswith("features of resnet50 (all, flatten): 2,100 MB for 5,232 images, up to 9 times")
    assert line.endswith("room for 1,200 MB, so the disk of each host keeps them; features=float16 halves them")


def test_a_disk_that_has_room_for_one_array_and_not_for_all_is_said() -> None:
    first, second = place_features([LARGE], room=1.2e9, disks={"head": 40e9, "worker": 5e9})
    assert "the disk of each host keeps them" in first
    assert second.startswith("all features together may take 18.9 GB, and the disk of worker has 5.0 GB free")
    (line,) = place_features([LARGE], room=3e9, disks={"head": 5e9, "worker": 0.0})  # the driver keeps all
    assert "the disk of head has 5.0 GB free" in line


def test_the_driver_needs_room_for_features_that_fit_the_object_store() -> None:
    with pytest.raises(SettingsError, match=r"2,100 MB .*room for 3,000 MB .*on the disk of head \(1\.0 GB free\)"):
        place_features([LARGE], room=3e9, disks={"head": 1e9})


def test_a_host_without_room_for_them_is_refused_with_the_numbers() -> None:
    message = r"2,100 MB .*room for 1,200 MB .*on the disk of worker \(1\.0 GB free\)\. Set data\.cache .*float16"
    with pytest.raises(SettingsError, match=message):
        place_features([LARGE], room=1.2e9, disks={"head": 40e9, "worker": 1e9})
