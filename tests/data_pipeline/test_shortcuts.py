import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_pipeline.manifest import POOL, ImageRow
from data_pipeline.shortcuts import PROPERTIES, shortcut_aucs

BRIGHTNESS, CONTRAST, SHAPE = PROPERTIES


def make_row(index: int, label: int, width: int = 10) -> ImageRow:
    return ImageRow(str(index), str(index), POOL, label, str(index), "", width=width, height=10, index=index)


def test_a_class_of_brighter_flatter_images_is_told_apart_by_that_alone() -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 2, 200)
    images = draws.normal(100 + 10 * labels, 30 - 10 * labels, (8, 8, 1, 200)).clip(0, 255).astype(np.uint8)
    images = np.moveaxis(images, -1, 0)
    rows = [make_row(index, int(label)) for index, label in enumerate(labels)]
    found = shortcut_aucs(rows, images, ("normal", "pneumonia"))
    means = images.mean(axis=(1, 2, 3))
    assert found[BRIGHTNESS][1] == pytest.approx(roc_auc_score(labels, means))
    assert found[BRIGHTNESS][1] > 0.9
    assert found[CONTRAST][1] < 0.1
    assert found[SHAPE][1] == 0.5
    assert found[BRIGHTNESS][0] == pytest.approx(1 - found[BRIGHTNESS][1])


def test_each_of_several_classes_is_told_from_all_others_by_rows_in_any_order() -> None:
    images = np.zeros((6, 4, 4, 1), np.uint8)
    rows = [make_row(index, index // 2, width=10 + index // 2) for index in (5, 0, 3, 1, 4, 2)]
    assert shortcut_aucs(rows, images, ("a", "b", "c"))[SHAPE] == (0.0, 0.5, 1.0)
