import numpy as np

from data_pipeline.dataset import Dataset
from search.evaluate.similar import open_training_images
from search.record import RunFolder


def test_a_training_image_is_the_most_similar_to_itself(exported_run: RunFolder, small_dataset: Dataset) -> None:
    cache, name = small_dataset.pool.path.parent, small_dataset.pool.fingerprint
    training = open_training_images(exported_run, name, cache)
    row = small_dataset.manifest.pool_rows[small_dataset.split.train[5]]
    image = small_dataset.pool.open()[row.index]
    first, *others = training.similar(image, 4)
    assert (first.image_id, first.label) == (row.image_id, small_dataset.manifest.classes[row.label])
    np.testing.assert_array_equal(first.pixels, image)
    likeness = [each.likeness for each in (first, *others)]
    assert likeness == sorted(likeness, reverse=True)
    assert abs(first.likeness - 1) < 1e-9


def test_no_validation_and_no_test_image_is_shown(exported_run: RunFolder, small_dataset: Dataset) -> None:
    cache, name = small_dataset.pool.path.parent, small_dataset.pool.fingerprint
    training = open_training_images(exported_run, name, cache)
    pool = small_dataset.manifest.pool_rows
    assert set(training.names) == {pool[at].image_id for at in small_dataset.split.train}
    validating = pool[small_dataset.split.validation[0]]
    shown = training.similar(small_dataset.pool.open()[validating.index], len(training.names))
    assert validating.image_id not in {each.image_id for each in shown}


def test_without_prepared_images_there_are_none(exported_run: RunFolder, small_dataset: Dataset, tmp_path) -> None:
    cache = small_dataset.pool.path.parent
    assert open_training_images(exported_run, "0" * 32, cache) is None
    assert open_training_images(exported_run, f"../{cache.name}/{small_dataset.pool.fingerprint}", cache) is None
    assert open_training_images(exported_run, "", cache) is None
    assert open_training_images(RunFolder(str(tmp_path)), small_dataset.pool.fingerprint, cache) is None
