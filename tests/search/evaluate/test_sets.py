import dataclasses

import numpy as np
import pytest

from data_pipeline.dataset import Dataset
from data_pipeline.manifest import MULTILABEL
from data_pipeline.outside import OutsideSet
from data_pipeline.shift import WAYS, shifted
from data_pipeline.split import SplitSettings, repeat_splits
from search.evaluate.sets import EvaluationSet, calibration_groups, evaluation_sets
from search.record import SHIFTED, TEST, UNKNOWN, VALIDATION


@pytest.fixture(scope="module")
def with_outside(small_dataset: Dataset) -> Dataset:
    """The sample, with half of its test set as an outside test set."""
    rows = small_dataset.manifest.test_rows[::2]
    return dataclasses.replace(small_dataset, extra_tests={"elsewhere": OutsideSet(rows, small_dataset.test)})


def images_of(each: EvaluationSet) -> np.ndarray:
    return each.images[each.rows]


def test_weights_are_scored_on_validation_test_and_outside_sets(with_outside: Dataset) -> None:
    manifest, split = with_outside.manifest, with_outside.split
    validation, test, outside = evaluation_sets(with_outside, with_shifted=False)
    assert [each.name for each in (validation, test, outside)] == [VALIDATION, TEST, "elsewhere"]
    np.testing.assert_array_equal(validation.rows, split.validation)
    np.testing.assert_array_equal(validation.labels, manifest.pool_labels[split.validation])
    assert validation.image_ids == tuple(manifest.pool_rows[row].image_id for row in split.validation)
    assert test.image_ids == tuple(row.image_id for row in manifest.test_rows)
    assert test.labels.tolist() == [row.label for row in manifest.test_rows]
    assert outside.image_ids == test.image_ids[::2]
    np.testing.assert_array_equal(images_of(outside), images_of(test)[::2])
    assert all(each.repeat is None for each in (validation, test, outside))
    for each in (validation, test, outside):
        assert each.images.dtype == np.uint8
        assert each.images.shape[1:] == (32, 32, 1)
        assert len(each.rows) == len(each.labels) == len(each.image_ids) > 0


def test_what_the_labels_of_an_outside_set_do_not_tell_of_is_unknown(small_dataset: Dataset) -> None:
    rows = tuple(
        dataclasses.replace(row, label=-1, findings=(n % 2,)) for n, row in enumerate(small_dataset.manifest.rows)
    )
    manifest = dataclasses.replace(small_dataset.manifest, rows=rows, task=MULTILABEL)
    outside = OutsideSet(manifest.test_rows, small_dataset.test, unknown=(manifest.classes[1],))
    told = dataclasses.replace(small_dataset, manifest=manifest, extra_tests={"elsewhere": outside})
    *_, test, elsewhere = evaluation_sets(told, with_shifted=False)
    assert set(test.labels[:, 1].tolist()) == {0, 1}
    assert set(elsewhere.labels[:, 1].tolist()) == {UNKNOWN}
    np.testing.assert_array_equal(elsewhere.labels[:, 0], test.labels[:, 0])


def test_validation_holds_no_image_of_the_test_set(small_dataset: Dataset) -> None:
    validation, copy, test = evaluation_sets(small_dataset, with_shifted=True)
    assert not set(validation.image_ids) & set(test.image_ids)
    seen = {image.tobytes() for image in images_of(validation)}
    assert len(seen) > 0
    assert not seen & {image.tobytes() for image in images_of(test)}
    assert len({each.fingerprint for each in (validation, copy, test)}) == 3


def test_the_shifted_copy_is_of_the_validation_images(small_dataset: Dataset) -> None:
    validation, copy, _ = evaluation_sets(small_dataset, with_shifted=True)
    assert copy.name == SHIFTED
    assert copy.image_ids == validation.image_ids
    np.testing.assert_array_equal(copy.labels, validation.labels)
    np.testing.assert_array_equal(images_of(copy), shifted(validation.images, validation.rows))
    assert (images_of(copy) != images_of(validation)).any()


def test_each_repeat_has_its_own_validation_and_all_share_the_pool(small_dataset: Dataset) -> None:
    repeats = repeat_splits(small_dataset.manifest, SplitSettings(method="patient"), 2)
    first, first_copy, second, second_copy, test = evaluation_sets(small_dataset, True, repeats)
    assert [each.repeat for each in (first, first_copy, second, second_copy, test)] == [0, 0, 1, 1, None]
    assert first.images is second.images
    assert first.fingerprint == second.fingerprint
    assert first.image_ids != second.image_ids
    assert first_copy.fingerprint != second_copy.fingerprint
    for each, split in zip((first, second), repeats, strict=True):
        np.testing.assert_array_equal(each.rows, split.validation)


def test_calibration_groups_are_ways_of_change_or_folds_of_patients(small_dataset: Dataset) -> None:
    rows = small_dataset.manifest.pool_rows
    ways, folds = (calibration_groups(small_dataset, with_shifted) for with_shifted in (True, False))
    assert set(ways) == set(folds) == {row.image_id for row in rows}
    assert set(ways.values()) == set(WAYS)
    assert set(folds.values()) == set("0123456789")
    patients: dict[str, set[str]] = {}
    for row in rows:
        patients.setdefault(row.group, set()).add(folds[row.image_id])
    assert max(map(len, patients.values())) == 1
    assert len(patients) < len(rows)  # some have several images


def test_age_sex_and_view_come_with_the_images_that_state_them(small_dataset: Dataset) -> None:
    rows = [
        dataclasses.replace(row, age=float(n) if n % 2 else None, sex="F") if row.pool == "pool" else row
        for n, row in enumerate(small_dataset.manifest.rows)
    ]
    manifest = dataclasses.replace(small_dataset.manifest, rows=tuple(rows))
    validation, copy, test = evaluation_sets(dataclasses.replace(small_dataset, manifest=manifest), with_shifted=True)
    ages = tuple(manifest.pool_rows[row].age for row in validation.rows)
    assert validation.traits == copy.traits == {"age": ages, "sex": ("F",) * len(ages)}
    assert test.traits == {}
