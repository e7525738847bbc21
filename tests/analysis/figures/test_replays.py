import dataclasses

import numpy as np
import pytest

import analysis
from analysis.figures import draw_heat_maps, draw_replay_curves, heat_maps, replay_curves
from analysis.page.sections import sections
from tests.analysis.claims.replayed import replays
from tests.analysis.claims.replayed import write_run as write_scored
from tests.analysis.hand_made import PERFECT, TWO_WRONG, trial_events, write_run

REPORTS_CLASSES = ("normal", "bacterial", "viral")


@pytest.fixture
def replay(tmp_path):
    """Row 2 of table 1 twice, once for three epochs alone; row 1, a row of prose and one of table 4, once each."""
    cnn = {"backbone": "cnn"}
    events = [
        *trial_events(0, cnn, [0.3, 0.2], "finished", row="prose/7"),
        *trial_events(1, {"backbone": "resnet152v2"}, [0.5], "finished", row="table4/3"),
        *trial_events(2, cnn, [0.5, 0.4, 0.3, 0.2], "finished", row="table1/2", repeat=0),
        *trial_events(3, cnn, [0.3, 0.2, 0.1], "finished", row="table1/2", repeat=1),
        *trial_events(4, cnn, [9.0, 0.1], "finished", row="table1/1"),
    ]
    return analysis.load(write_run(tmp_path / "replay", events, {2: PERFECT, 3: TWO_WRONG, 4: PERFECT}))


def test_each_model_has_its_curves_in_the_reports_order_and_by_its_names(replay):
    found = replay_curves(replay, replay.trials, "loss")
    assert [(curve.name, curve.setting) for curve in found] == [
        ("1conv", "learning rate 0.1, batch 32"),
        ("1conv", "learning rate 1e-5, batch 32"),
        ("Figure I: ResNet152", ""),
        ("1conv, dropout, batch norm", "learning rate 2.8e-5, batch 32"),
    ]
    expected = [[0.5, 0.3], [0.4, 0.2], [0.3, 0.1], [0.2, np.nan]]
    np.testing.assert_array_equal(found[1].repeats["val"], expected)
    assert found[1].repeats["train"].shape == (4, 2)
    assert [len(curve.repeats["val"]) for curve in found] == [2, 4, 1, 2]
    chosen = replay_curves(replay, replay.trials.loc[[0]], "accuracy")
    assert [curve.repeats["val"].tolist() for curve in chosen] == [[[0.7], [0.8]]]


def test_curves_show_the_mean_and_each_repeat(replay):
    found = replay_curves(replay, replay.trials, "loss")
    drawn = draw_replay_curves(found, "loss")
    validation = [trace for trace in drawn.data if trace.name == "validation"]
    thin, mean = (trace for trace in validation if trace.xaxis == "x2")
    np.testing.assert_allclose(mean.y, [0.4, 0.3, 0.2, 0.2])
    np.testing.assert_allclose(mean.customdata[0], [0.3, 0.5, 2])
    np.testing.assert_allclose(mean.customdata[3], [0.2, 0.2, 1])
    np.testing.assert_array_equal(thin.y, [0.5, 0.4, 0.3, 0.2, np.nan, 0.3, 0.2, 0.1, np.nan, np.nan])
    assert len(validation) == 5  # of one repeat there are no thin lines
    assert drawn.layout.yaxis.type == "log"  # from 9.0 to 0.1
    assert drawn.layout.yaxis2.type == "linear"
    assert [drawn.layout[f"xaxis{place}"].range[1] for place in (2, 4)] == [4.5, 2.5]


def test_random_weights_are_told(replay):
    weights = {"weights": {"resnet152v2": "none", "vgg16": "none"}}
    random = dataclasses.replace(replay, record=dataclasses.replace(replay.record, config=weights))
    names = [curve.name for curve in replay_curves(random, random.trials, "loss")]
    assert names[2] == "Figure I: ResNet152, random weights"
    assert not any("random" in name for name in (names[0], names[1], names[3]))
    pretrained = dataclasses.replace(random, record=dataclasses.replace(replay.record, config={"weights": "imagenet"}))
    assert replay_curves(pretrained, random.trials, "loss")[2].name == "Figure I: ResNet152"


def test_heat_maps_are_of_all_repeats_and_stand_beside_the_published_ones(tmp_path):
    trials = replays("table2/8", [0.1, 0.2]) + replays("table2/1", [0.5])
    run = write_scored(tmp_path / "run", trials, classes=REPORTS_CLASSES, images=300)
    found = heat_maps(run, run.trials)
    assert [(each.name, each.what) for each in found] == [
        ("Figure A: model 1", "published: 0.824"),
        ("Figure A: model 1", "measured: 0.500"),
        ("Figure H: model 8", "published: 0.816"),
        ("Figure H: model 8", "measured: 0.850 (0.800 to 0.900)"),
    ]
    assert found[0].counts.tolist() == [[[170, 19, 45], [2, 230, 10], [2, 32, 114]]]
    assert found[3].counts.shape == (2, 3, 3)
    drawn = draw_heat_maps(found, run.classes)
    assert len(drawn.data) == 4
    np.testing.assert_allclose(np.sum(drawn.data[3].z, axis=1), 1)
    assert drawn.data[0].text[0] == ["170", "19", "45"]
    assert drawn.data[3].text[0][0].startswith("85<br>")
    assert "80 to 90" in drawn.data[3].text[0][0]


def test_a_model_without_a_scored_trial_has_no_heat_map(replay):
    assert [each.setting for each in heat_maps(replay, replay.trials)] == [
        "learning rate 0.1, batch 32",
        "learning rate 1e-5, batch 32",
    ]


def test_the_page_of_a_replay_begins_with_the_reports_models(replay, run):
    def titles(shown, key):
        return [block.title for section in shown if section.key == key for block in section.blocks]

    of_replay, of_search = sections([replay]), sections([run])
    assert [section.key for section in of_replay][:4] == ["compare", "published", "claims", "winner"]
    assert [section.key for section in of_search][:2] == ["compare", "winner"]
    assert titles(of_replay, "published")[-3:] == [
        "The loss of each of the report's models",
        "The accuracy of each of the report's models",
        "The confusion of each of the report's models on the test set",
    ]
    assert titles(of_search, "published") == []
    best = "The best trials' losses"
    assert (best in titles(of_search, "search"), best in titles(of_replay, "search")) == (True, False)
