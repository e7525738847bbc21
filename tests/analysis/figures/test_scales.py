import numpy as np
import pandas as pd
import pytest

from analysis import figures


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        ([1e-5, 1e-4, 1e-2], "log", ()),
        (np.linspace(0.001, 0.5, 30), "linear", ()),
        ([1, 3, 2, 1], "category", ("1", "2", "3")),
        (["16-8", "8", "none", None], "category", ("8", "16-8", "none")),
    ],
)
def test_a_column_gets_the_scale_that_fits_it(values, kind, categories):
    scale = figures.scale_of(pd.Series(values, name="column"))
    assert (scale.kind, scale.categories) == (kind, categories)


def test_what_is_absent_has_no_place():
    assert np.isnan(figures.scale_of(pd.Series(["a", None], dtype=object)).places).tolist() == [False, True]


def test_a_sample_keeps_both_ends_and_its_size():
    frame = pd.DataFrame({"value": np.random.default_rng(0).permutation(1000)})
    kept = figures.sampled(frame, 100, frame["value"])
    assert len(kept) == 100
    assert set(range(10)) | set(range(990, 1000)) <= set(kept["value"])
