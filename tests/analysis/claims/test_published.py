import numpy as np
import pytest

from analysis.claims.published import published_rows


def test_the_reports_confusion_matrices_give_its_accuracies():
    rows = published_rows()
    matrices = rows["confusion"].dropna()
    assert len(matrices) == 8
    for row, matrix in matrices.items():
        found = np.array(matrix)
        assert found.sum() == 624
        assert found.sum(axis=1).tolist() == [234, 242, 148]
        assert np.trace(found) / 624 == pytest.approx(rows.loc[row, "test_accuracy"], abs=0.001), row
