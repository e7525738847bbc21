import numpy as np
import pandas as pd
import pytest

from analysis.claims.claims import GAP, SWING
from analysis.claims.evidence import curve_measures


def test_what_the_epochs_of_a_trial_say():
    curves = pd.DataFrame(
        {
            "trial": [0, 1, 0, 1, 0, 2],
            "epoch": [3, 1, 1, 2, 2, 1],
            "train_loss": [0.1, 0.9, 0.8, 0.8, 0.4, 0.5],
            "val_loss": [0.5, 1.0, 1.0, np.e, 0.5, 0.5],
        }
    )
    found = curve_measures(curves)
    assert found[GAP].tolist() == pytest.approx([0.4, np.e - 0.8, 0.0])
    assert found.loc[[0, 1], SWING].tolist() == pytest.approx([np.log(2) / 2, 1.0])  # 1.0, 0.5, 0.5 and 1.0, e
    assert np.isnan(found.loc[2, SWING])  # a single epoch
