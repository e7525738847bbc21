from dataclasses import replace
from pathlib import Path

import pytest

import data_pipeline
from data_pipeline.folders import scan_folder
from data_pipeline.manifest import Manifest

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def sample() -> Manifest:
    return scan_folder(SAMPLE)


def test_labels_follow_the_rows(sample: Manifest) -> None:
    assert sample.pool_labels.tolist() == [int("PNEUMONIA" in row.image_id) for row in sample.pool_rows]
    assert sample.test_labels.sum() == 80


def test_duplicates_are_reported_across_pools_and_patients(sample: Manifest) -> None:
    assert sample.duplicates().across_pools == ()
    assert sample.duplicates().across_groups == ()
    first, second = sample.test_rows[0], sample.test_rows[10]
    pool = sample.pool_rows[0]
    copies = {
        second.image_id: replace(second, content_hash=first.content_hash),
        sample.test_rows[-1].image_id: replace(sample.test_rows[-1], content_hash=pool.content_hash),
    }
    rows = tuple(copies.get(row.image_id, row) for row in sample.rows)
    report = replace(sample, rows=rows).duplicates()
    assert report.across_groups == ((first.image_id, second.image_id),)
    assert report.across_pools == ((sample.test_rows[-1].image_id, pool.image_id),)


def test_copies_under_one_patient_are_no_news(sample: Manifest) -> None:
    rows = tuple(replace(row, group="pool/one", content_hash="same") for row in sample.pool_rows)
    assert replace(sample, rows=rows).duplicates().across_groups == ()


def test_shared_patients_are_named_without_their_folder(sample: Manifest) -> None:
    numbers = {row.group.removeprefix("test/") for row in sample.test_rows}
    expected = numbers & {row.group.removeprefix("pool/") for row in sample.pool_rows}
    assert expected
    assert set(sample.shared_patients()) == expected


def test_fingerprint_ignores_the_order_and_the_place(sample: Manifest) -> None:
    moved = replace(sample, root="/elsewhere", rows=sample.rows[::-1])
    assert moved.fingerprint == sample.fingerprint
    relabelled = (replace(sample.rows[0], label=1), *sample.rows[1:])
    assert replace(sample, rows=relabelled).fingerprint != sample.fingerprint
