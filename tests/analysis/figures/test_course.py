import numpy as np
import pandas as pd

from analysis import figures, style
from tests.analysis.made_up import epochs


def test_best_so_far_counts_the_epochs_of_all_trials_in_the_order_of_time():
    curves = pd.concat([epochs(0.9, 0.7, trial=0, time=0.0), epochs(0.8, 0.4, trial=1, time=0.5)])
    steps = figures.best_so_far(curves, "val_loss")
    assert steps.to_dict("list") == {"spent": [1, 2, 3, 4], "best": [0.9, 0.8, 0.7, 0.4], "trial": [0, 1, 0, 1]}


def test_best_so_far_carries_the_last_best_to_the_end_and_skips_missing_values():
    steps = figures.best_so_far(epochs(np.nan, 0.5, 0.6, 0.7), "val_loss")
    assert steps["spent"].tolist() == [2, 4]
    assert steps["best"].tolist() == [0.5, 0.5]


def test_a_rung_sees_the_best_epoch_up_to_it():
    search = {"scheduler": "asha", "max_epochs": 3, "asha": {"grace_period": 2, "reduction_factor": 3.0}}
    found = figures.rungs(epochs(0.3, 0.5, 0.1), "val_loss", search)
    assert found.points[["rung", "value", "went_on"]].to_numpy().tolist() == [[2, 0.3, True]]


def test_rungs_say_which_trials_went_on():
    curves = pd.concat([epochs(0.9, trial=0), epochs(0.5, 0.4, 0.3, trial=1)])
    search = {"scheduler": "asha", "max_epochs": 3, "asha": {"grace_period": 1, "reduction_factor": 3.0}}
    found = figures.rungs(curves, "val_loss", search)
    assert found.reached.to_dict("list") == {"rung": [1], "reached": [2], "went_on": [1]}
    assert figures.rungs(curves, "val_loss", {**search, "scheduler": "none"}) is None


def test_text_from_a_run_is_no_markup():
    assert style.plain("<script>") == "&lt;script&gt;"
    drawn = figures.draw_best_so_far({"<b>a</b>": figures.best_so_far(epochs(0.5), "val_loss")}, "val_loss")
    assert drawn.data[0].name == "&lt;b&gt;a&lt;/b&gt;"
