from analysis import figures


def test_splits_are_counted_with_their_shares():
    found = figures.split_counts({"train": [1, 3], "test": [2, 2]}, ("a", "b"))
    assert found["images"].tolist() == [1, 3, 2, 2]
    assert found["share"].tolist() == [0.25, 0.75, 0.5, 0.5]
