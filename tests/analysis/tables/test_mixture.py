import shutil

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.tables import make_table


def test_mixtures_of_two_winners_by_hand(averaged, tmp_path):
    kept = averaged.winner_predictions
    kept = kept[kept["dataset"].isin(["validation", "test"])]
    undecided = kept.drop(columns="patient").assign(p_normal=0.5, p_pneumonia=0.5)
    left_out = undecided[undecided["dataset"] == "validation"].iloc[0]["image_id"]
    other = _copy_with(averaged, undecided[undecided["image_id"] != left_out], tmp_path / "other")

    table = make_table([averaged, other], "mixture")

    own = kept[(kept["dataset"] == "validation") & (kept["image_id"] != left_out)]
    assert set(table["dataset"]) == {"validation"}  # a choice looks at no test image
    assert set(table["images"]) == {len(own)}
    by_share = table.set_index("second_share")
    labels, ones = own["label"].to_numpy(), own["p_pneumonia"].to_numpy()
    for share in (0.0, 0.3, 1.0):
        mixed = np.where(labels == 1, 1, -1) * ((1 - share) * ones + share * 0.5) + (labels == 0)
        of_class = [-np.log(mixed[labels == each]).mean() for each in (0, 1)]
        assert by_share.loc[share, "loss"] == pytest.approx(np.mean(of_class), rel=1e-5)
    assert by_share.loc[1.0, "loss"] == pytest.approx(np.log(2))


def test_runs_with_other_images_have_no_mixture(averaged, tmp_path):
    elsewhere = averaged.winner_predictions.drop(columns="patient")
    other = _copy_with(averaged, elsewhere.assign(image_id="other/" + elsewhere["image_id"]), tmp_path / "other")
    assert make_table([averaged, other], "mixture").empty
    assert make_table([averaged], "mixture").empty


def _copy_with(run, predictions, path):
    """The same run, whose winner has other predictions."""
    shutil.copytree(run.folder.url, path)
    pd.DataFrame(predictions).to_parquet(path / "predictions" / "winner.parquet")
    return analysis.load(path)
