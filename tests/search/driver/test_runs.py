import dataclasses
import io
from pathlib import Path

import pytest

from data_pipeline.dataset import Dataset
from data_pipeline.manifest import DataError
from data_pipeline.manifest_file import read_manifest
from search.driver.runs import check_same_data, create_run, new_run_folder, refuse_existing, run_name, update_run
from search.plan.settings import SettingsError
from search.plan.words import load_settings
from search.record import RunFolder


@pytest.fixture
def folder(tmp_path: Path, small_dataset: Dataset) -> RunFolder:
    """A run of the small sample, just created."""
    settings = load_settings(["space=plain2", "run.name=one", f"run.storage={tmp_path}"])
    found = new_run_folder(settings)
    create_run(found, settings, small_dataset)
    return found


def test_a_new_run_holds_what_was_asked_and_found(folder: RunFolder, small_dataset: Dataset) -> None:
    run = folder.read_run()
    assert (run.name, run.classes, run.config["space"]["name"]) == ("one", small_dataset.manifest.classes, "plain2")
    assert run.data["fingerprint"] == small_dataset.manifest.fingerprint
    stored, _ = read_manifest(io.BytesIO(folder.read("manifest.parquet")))
    assert [row.image_id for row in stored.rows] == [row.image_id for row in small_dataset.manifest.rows]
    assert folder.names() == ["bad_files.csv", "config.yaml", "manifest.parquet", "run.json"]


def test_two_runs_of_one_second_have_two_names() -> None:
    settings = load_settings(["space=plain3"])
    assert run_name(settings) != run_name(settings)
    assert run_name(settings).startswith("plain3-")


def test_no_run_begins_where_there_is_one(folder: RunFolder) -> None:
    with pytest.raises(SettingsError, match="resume=one"):
        refuse_existing(folder)
    refuse_existing(RunFolder(f"{folder.url}-new"))


def test_what_a_later_command_changed_is_kept(folder: RunFolder) -> None:
    settings = load_settings(["space=plain2", "search.num_trials=99", "resume=one"])
    update_run(folder, settings)
    config = folder.read_run().config
    assert (config["search"]["num_trials"], config["run"]["name"], config["resume"]) == (99, "one", None)
    assert b"num_trials: 99" in folder.read("config.yaml")


def test_a_run_does_not_continue_on_other_images(folder: RunFolder, small_dataset: Dataset) -> None:
    check_same_data(folder, small_dataset)
    rows = small_dataset.manifest.rows
    changed = dataclasses.replace(rows[1], content_hash="0" * 64)
    others = dataclasses.replace(small_dataset.manifest, rows=(changed, *rows[2:]))
    with pytest.raises(DataError, match=rf"1 gone \(such as {rows[0].image_id}\), 1 changed"):
        check_same_data(folder, dataclasses.replace(small_dataset, manifest=others))
    renamed = dataclasses.replace(small_dataset.manifest, classes=("normal", "opacity"))
    with pytest.raises(DataError, match=r"with its classes, normal, pneumonia. Received: normal, opacity"):
        check_same_data(folder, dataclasses.replace(small_dataset, manifest=renamed))
