from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from search.evaluate.predictions import (
    evaluation,
    labels_of,
    mean_predictions,
    prediction_table,
    predictions_source,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from search.record import TEST, VALIDATION, Evaluation, FindingScore, RunFolder, to_json


def make_table(dataset: str, names: list[str], p: list[float]) -> pa.Table:
    return prediction_table(dataset, names, np.ones(len(p), np.int64), np.array([p, p], np.float32).T, ("a", "b"))


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder, table = RunFolder(str(tmp_path)), make_table(TEST, ["x", "y"], [0.25, 0.5])
    write_predictions(folder, table, "0004")
    read = read_predictions(folder, "0004")
    assert read.column_names == ["dataset", "image_id", "label", "p_a", "p_b"]
    assert read.equals(table)
    assert probabilities_of(read).tolist() == [[0.25, 0.25], [0.5, 0.5]]


def test_predictions_say_what_they_were_made_from(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    write_predictions(folder, make_table(TEST, ["x"], [0.5]), "0004", "best, of set a")
    assert predictions_source(folder, "0004") == "best, of set a"
    assert predictions_source(folder, "0005") is None
    folder.write(b"cut short", "predictions", "0004.parquet")
    assert predictions_source(folder, "0004") is None


def test_the_mean_of_an_image_is_over_the_models_that_were_scored_on_it() -> None:
    first = pa.concat_tables([make_table(VALIDATION, ["x", "y"], [0.2, 0.4]), make_table(TEST, ["y"], [1.0])])
    second = pa.concat_tables([make_table(VALIDATION, ["y", "z"], [0.6, 0.8]), make_table(TEST, ["y"], [0.0])])
    mean = mean_predictions([first, second])
    assert mean["dataset"].to_pylist() == [VALIDATION, VALIDATION, TEST, VALIDATION]
    assert mean["image_id"].to_pylist() == ["x", "y", "y", "z"]
    np.testing.assert_allclose(probabilities_of(mean)[:, 0], [0.2, 0.5, 0.5, 0.8], rtol=1e-6)
    assert mean.schema.equals(first.schema)
    assert mean_predictions([first]) is first


def test_what_is_known_of_images_stays_with_them(tmp_path: Path) -> None:
    labels, p = np.array([0, 1]), np.full((2, 2), 0.5, np.float32)
    traits = {"age": (34.5, None), "sex": ("F", "M")}
    told = prediction_table(TEST, ["x", "y"], labels, p, ("a", "b"), traits)
    untold = prediction_table("adults", ["z"], labels[:1], p[:1], ("a", "b"))
    table = pa.concat_tables([told, untold], promote_options="default")
    for found in (table, mean_predictions([table, table])):
        assert found["age"].to_pylist() == [34.5, None, None]
        assert found["sex"].to_pylist() == ["F", "M", None]
        assert probabilities_of(found).shape == (3, 2)


def test_an_evaluation_holds_the_scores_of_predictions() -> None:
    labels, p = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    entry = evaluation(3, TEST, "best", 2, labels, p, np.array([0, 1, 2, 2]))
    loss = -np.log([0.9, 0.4, 0.8, 0.7]).mean()
    confusion = [[1, 1], [0, 2]]
    expected = Evaluation(3, TEST, "best", 2, 4, pytest.approx(loss), 0.75, 0.75, 1.0, 1.0, 0.5, confusion, 1.0)
    assert replace(entry, patients=None, accuracy_low=None, accuracy_high=None) == expected
    # Three of four: Wilson's for four independent images is 0.301 to 0.954; these are of three patients.
    assert entry.patients == 3
    assert entry.accuracy_low is not None
    assert 0 < entry.accuracy_low <= 0.302 < 0.953 <= entry.accuracy_high < 1


def test_predictions_of_findings_have_a_label_each(tmp_path: Path) -> None:
    shown, p = np.array([[1, 0], [1, 1]]), np.array([[0.5, 0.25], [0.75, 1]], np.float32)
    table = prediction_table(TEST, ["x", "y"], shown, p, ("mass", "edema"), {"patient": [0, 0]})
    assert table.column_names == ["dataset", "image_id", "label_mass", "label_edema", "p_mass", "p_edema", "patient"]
    mean = mean_predictions([table, table])
    for found in (table, mean):
        np.testing.assert_array_equal(labels_of(found), shown)
        np.testing.assert_array_equal(probabilities_of(found), p)
    assert mean.schema.equals(table.schema)


def test_an_evaluation_has_the_scores_of_each_finding(tmp_path: Path) -> None:
    shown = np.array([[1, 0], [1, 0], [0, 0], [0, 0]])
    p = np.array([[0.9, 0.5], [0.4, 0.5], [0.6, 0.5], [0.1, 0.5]], np.float32)
    found = evaluation(3, TEST, "best", 2, shown, p, np.array([0, 0, 1, 2]))
    assert found.findings == (FindingScore(2, 0.75, pytest.approx(5 / 6)), FindingScore(0, None, None))
    assert (found.auc, found.images, found.patients, found.confusion) == (0.75, 4, 3, [])
    assert found.accuracy_low is None
    folder = RunFolder(str(tmp_path))
    folder.write((to_json(found) + "\n").encode(), "evaluation.jsonl")
    assert folder.read_evaluations() == [found]
