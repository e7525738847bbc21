import pytest

from analysis.claims.dataset import data_counts, split_counts
from tests.analysis.hand_made import CLASSES


def test_data_counts_stand_beside_the_reports():
    counts = {"train": [826, 3360], "validation": [523, 523], "test": [234, 389]}
    table = data_counts(counts, CLASSES).set_index(["split", "class"])
    assert table.loc[("test", "pneumonia"), ["images", "published", "difference"]].tolist() == [389, 390, -1]
    assert table.loc[("validation", "normal"), "share_of_split"] == 0.5
    splits = split_counts(counts, CLASSES).set_index("split")
    assert splits.loc["train", ["images", "published"]].tolist() == [4186, 4186]
    assert splits["share_of_all"].sum() == pytest.approx(1)


def test_data_counts_of_other_classes_have_no_published_ones():
    table = data_counts({"test": [1, 2, 3, 4]}, ("a", "b", "c", "d"))
    assert table["published"].isna().all()
    assert table["images"].sum() == 10
