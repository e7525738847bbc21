import io

import numpy as np
import pandas as pd
import pytest

from analysis.load import load
from analysis.page.answer import answer
from analysis.page.render import report_html
from analysis.paired import delong_auc
from analysis.statistics import share_interval
from analysis.tables.subgroups import COLUMNS, smallest_groups, subgroup_table
from search.record import OperatingPoint, Winner
from tests.analysis.hand_made import trial_events, write_run

IMAGES = 60
AGES = np.where(np.arange(IMAGES) < 40, 30.0, 70.0)  # 40 images from 18 to 39, 20 from 65 on
AGES[:3] = np.nan
AGES[3:8] = [0.0, 17.99, 18.0, 39.9, 40.0]
LABELS = np.arange(IMAGES) % 2
POSITIVE = np.random.default_rng(0).uniform(0, 0.6, IMAGES) + 0.3 * LABELS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose winner was scored on 60 test images of known age and sex."""
    events = trial_events(0, {"backbone": "cnn"}, [0.5, 0.4], "finished")
    folder = write_run(tmp_path_factory.mktemp("runs") / "hand", events, {0: [0.2] * 4 + [0.8] * 6})
    evaluations = tuple(folder.read_evaluations())
    point = OperatingPoint("sensitivity 0.9", 0.4, "validation")
    folder.write_winner(Winner((0,), "", 1.0, (0.0, 0.0), evaluations, operating_point=point))
    frame = pd.DataFrame({"dataset": "test", "image_id": [f"{i}.png" for i in range(IMAGES)], "label": LABELS})
    traits = {"age": AGES, "sex": np.where(np.arange(IMAGES) % 3 == 0, "F", "M"), "view": None}
    buffer = io.BytesIO()
    frame.assign(p_normal=1 - POSITIVE, p_pneumonia=POSITIVE, **traits).to_parquet(buffer)
    folder.write(buffer.getvalue(), "predictions", "winner.parquet")
    return load(folder.url)


def test_ages_are_in_bands_and_what_no_image_states_is_left_out(run):
    table = subgroup_table(run)
    assert list(table.columns) == [*COLUMNS]
    by_age = table[table["by"] == "age"].set_index("group")["images"]
    assert by_age.to_dict() == {"under 18": 2, "18 to 39": 34, "40 to 64": 1, "65 and over": 20, "not stated": 3}
    by_sex = table[table["by"] == "sex"]
    assert by_sex["group"].to_list() == ["M", "F"]  # the larger one first
    assert set(table["by"]) == {"age", "sex"}


def test_scores_of_a_group_are_those_of_its_images_at_the_operating_point(run):
    row = subgroup_table(run).set_index("group").loc["M"]
    own = np.arange(IMAGES) % 3 != 0
    positive, called = LABELS[own] == 1, POSITIVE[own] >= 0.4
    assert (row["images"], row["positive_images"]) == (40, 20)
    assert row["sensitivity"] == called[positive].mean()
    share = share_interval(called[positive], np.arange(20))
    assert (row["sensitivity_low"], row["sensitivity_high"]) == (share.low, share.high)
    assert row["specificity"] == (~called[~positive]).mean()
    auc = delong_auc(positive, POSITIVE[own].astype(np.float32), np.arange(40))
    assert row[["auc", "auc_low", "auc_high"]].to_list() == pytest.approx([auc.value, auc.low, auc.high])


def test_fewer_than_ten_images_have_no_interval_and_say_so(run):
    small = subgroup_table(run).set_index("group").loc["not stated"]
    assert small["note"] == "fewer than 10 images"
    assert np.isnan(small[["accuracy_low", "accuracy_high", "sensitivity_low", "auc_low"]].to_list()).all()
    assert not np.isnan(small["accuracy"])
    large = subgroup_table(run).set_index("group").loc["65 and over"]
    assert large["note"] == ""
    assert large["accuracy_low"] < large["accuracy"]


def test_the_smallest_groups_are_said(run):
    assert smallest_groups(run) == "age 40 to 64 (1), sex F (20)"
    assert "The smallest subgroups of the test images: age 40 to 64 (1), sex F (20)." in answer(run).reasons
    assert "by subgroup of the test images" in report_html([run])


def test_nothing_is_said_of_images_that_state_nothing(averaged, averaged_page):
    assert subgroup_table(averaged).empty
    assert smallest_groups(averaged) == ""
    assert "by subgroup of the test images" not in averaged_page
