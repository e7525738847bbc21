"""The report's rows against the models that Keras really builds."""

import numpy as np
import pytest

from models.backbones import find_backbone
from models.published import PUBLISHED, published_rows
from models.registry import build_model, count_parameters
from models.transfer import TransferConfig

SHAPE = (224, 224, 1)
UNSETTLED = {"table1/8": 727_841 - 521_825, "table4/1": 39_305_089 - 23_850_113}


# Several rows share a configuration; each is built once.
ROW_OF_CONFIG = {row.config: row.row_id for row in reversed(PUBLISHED.values())}


@pytest.fixture(scope="module", params=ROW_OF_CONFIG, ids=ROW_OF_CONFIG.values())
def built(request):
    """The rows of one configuration and its Keras model."""
    rows = [row for row in PUBLISHED.values() if row.config == request.param]
    return rows, build_model(request.param, SHAPE, rows[0].classes)


def test_the_built_model_has_the_published_and_the_counted_parameters(built):
    rows, model = built
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    for row in rows:
        count = count_parameters(row.config, SHAPE, row.classes)
        assert (count.total, count.trainable) == (model.count_params(), trainable)
        if row.published_parameters is not None:
            assert row.published_parameters - count.total == UNSETTLED.get(row.row_id, 0)
        assert row.published_trainable in (None, trainable)


def test_the_batch_norm_statistics_of_a_backbone_are_as_listed(built):
    (row, *_), model = built
    if isinstance(row.config, TransferConfig):
        moving = [weight for weight in model.weights if weight.name in ("moving_mean", "moving_variance")]
        assert sum(int(np.prod(w.shape)) for w in moving) == find_backbone(row.config.backbone).statistics


def test_every_row_of_the_report_is_there():
    assert list(PUBLISHED) == [
        *(f"table1/{place}" for place in range(1, 9)),
        *(f"table2/{place}" for place in range(1, 9)),
        "table3/1",
        *(f"table4/{place}" for place in range(1, 4)),
        *(f"prose/{place}" for place in range(1, 8)),
    ]
    assert all(row.row_id == key for key, row in PUBLISHED.items())


def test_the_unsettled_rows_say_so():
    assert {key for key, row in PUBLISHED.items() if not row.exact} == set(UNSETTLED)
    assert all("Not settled" in PUBLISHED[key].note for key in UNSETTLED)


def test_the_trainable_counts_are_those_of_the_annex():
    printed = {row.model: row.published_trainable for row in PUBLISHED.values() if row.published_trainable}
    assert printed == {"model 4": 492_923, "model 5": 141_219, "model 6": 234_531, "ResNet152": 262_401}


def test_rows_hold_the_training_that_the_report_prints():
    fourth, seventh = published_rows("table1")[3], published_rows("table1")[6]
    assert (fourth.learning_rate, fourth.batch_size, fourth.epochs, fourth.augment) == (1e-5, 16, 10, "none")
    assert (seventh.model, seventh.learning_rate, seventh.augment) == ("2conv2D, 1dense", 2.8e-5, "report")
    third, sixth = published_rows("table2")[2], published_rows("table2")[5]
    assert (third.learning_rate, third.augment, sixth.epochs, sixth.augment) == (1e-5, "report", 20, "report")
    assert [row.epochs for row in (*published_rows("table3"), *published_rows("table4"))] == [15, 15, 15, 17]
    assert {row.classes for row in published_rows("table2")} == {3}
    assert {row.epochs for row in published_rows("prose")} == {10}
    assert all("our reading" in row.note or row.learning_rate == 1e-4 for row in published_rows("prose"))
    assert {row.class_weights for row in PUBLISHED.values()} == {"favour_normal"}


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table1, table2, table3, table4, prose"):
        published_rows("table5")
