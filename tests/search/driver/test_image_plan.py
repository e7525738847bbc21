"""The place of a search's images is known before the first trial; a host without room is refused with the numbers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from data_pipeline.dataset import Dataset
from data_pipeline.shards import HostDisks
from search.driver import image_plan
from search.driver.image_plan import DiskRoom, ImagePlan, ImageSizes, image_sizes, place_images, plan_images
from search.plan.earlier import resumed_settings
from search.plan.settings import SettingsError
from search.plan.words import load_settings
from search.record import RunFolder
from search.run import main
from tests.own_ray import own_ray

GB = 1e9
LARGE = ImageSizes(100_000, pool=int(6 * GB), files=int(6.5 * GB))


def test_images_that_fit_are_in_the_object_store() -> None:
    plan = plan_images(LARGE, 12 * GB, {"worker": DiskRoom(0.0, 5 * GB)})
    assert plan == ImagePlan(
        False, "100,000 images, 6,000 MB: in the object store, which has room for 6,000 MB", copies={}
    )
    assert plan.shuffle == "all"


def test_images_that_do_not_fit_are_read_from_disks() -> None:
    hosts = {"head": DiskRoom(1.0), "worker1": DiskRoom(7 * GB, 6.5 * GB), "worker2": DiskRoom(4 * GB, 3.25 * GB)}
    plan = plan_images(LARGE, 11.9 * GB, hosts)
    assert plan.on_disk
    assert plan.shuffle == "shards"
    assert plan.copies == {"worker1": 6.5 * GB, "worker2": 3.25 * GB}
    assert plan.reason == (
        "100,000 images, 6,000 MB: the object store has room for 5,950 MB, so trials read them from disk, in shards, "
        "copied to hosts that do not see data.cache: 6.5 GB on worker1, 3.2 GB on worker2"
    )
    assert plan_images(LARGE, 0.0, {"head": DiskRoom(1.0)}).reason.endswith("from data.cache, without a copy")


def test_a_host_without_room_is_refused_with_the_numbers() -> None:
    hosts = {"head": DiskRoom(1.0), "worker1": DiskRoom(7 * GB, 6.5 * GB), "worker2": DiskRoom(4 * GB, 6.5 * GB)}
    message = r"6,000 MB, with room for 5,000 MB .* disk of worker2 \(4\.0 GB free\) for 6\.5 GB .*Set data\.cache"
    with pytest.raises(SettingsError, match=message):
        plan_images(LARGE, 10 * GB, hosts)


def test_sizes_count_the_shifted_copy_and_the_test_images(small_dataset: Dataset) -> None:
    validation, image = len(small_dataset.split.validation), 32 * 32
    sizes = image_sizes(load_settings(["data.size=32", "search.metric=val_loss"]), small_dataset)
    assert sizes == ImageSizes(480, 480 * image, (480 + 120) * image)
    assert image_sizes(load_settings(["data.size=32"]), small_dataset).pool == (480 + validation) * image


@pytest.fixture
def running_ray() -> Iterator[None]:
    with own_ray(80 * 2**20):
        yield


def test_the_hosts_of_the_running_ray_are_asked(
    small_dataset: Dataset, tmp_path: Path, running_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(["data.size=32", f"data.cache={tmp_path}", "data.cache_gb=3"])
    plan, disks = place_images(settings, small_dataset)
    assert not plan.on_disk
    node = ray.get_runtime_context().get_node_id()
    assert disks == HostDisks(node, f"{tmp_path}/copies", 3e9)
    monkeypatch.setattr(image_plan, "STORE_SHARE", 0.001)
    plan, _ = place_images(settings, small_dataset)
    assert (plan.on_disk, plan.copies) == (True, {})  # this host has prepared them
    monkeypatch.setattr(image_plan, "disk_room", lambda files: DiskRoom(1e5, 614_400.0))
    with pytest.raises(SettingsError, match=r"0\.0 GB free"):
        place_images(settings, small_dataset)


@pytest.mark.usefixtures("without_page")
def test_a_search_whose_images_do_not_fit_reads_them_from_disk(
    tmp_path: Path, image_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_plan, "STORE_SHARE", 0.0)
    words = ["space=plain2", "data.size=32", "search.seed=3", "search.num_trials=1", "search.max_epochs=2"]
    words += ["resources.max_concurrent=1", "cluster=local", f"data.cache={image_cache}"]
    words += ["search.metric=shifted_calibrated_loss"]
    assert main([*words, f"run.storage={tmp_path}", "run.name=disk"]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "so trials read them from disk, in shards, from data.cache, without a copy" in printed
    folder = RunFolder(f"{tmp_path}/disk")
    (trial,) = folder.read_trials().values()
    assert [epoch.epoch for epoch in trial.epochs] == [1, 2]
    scored = {entry.dataset: entry for entry in folder.read_evaluations()}
    assert scored.keys() == {"validation", "shifted", "test"}
    best = trial.best_epoch("shifted_calibrated_loss")
    assert best is not None
    assert scored["validation"].loss == pytest.approx(best.val_loss, rel=1e-5)
    assert scored["shifted"].loss == pytest.approx(best.shifted_loss, rel=1e-5)
    assert resumed_settings(folder).train.shuffle == "shards"  # wherever the images are then
