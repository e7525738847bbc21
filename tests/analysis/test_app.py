import json
import socket
import time

import numpy as np
import pandas as pd
import pytest

from analysis import figures
from analysis.app import create_app, pages
from analysis.app.__main__ import main
from analysis.app.filters import ABSENT, Address, Filter, brush_axes, brush_points, brushed_places, read_address
from analysis.app.library import Library
from benchmarks.analysis_data import write_run
from search.record import EventLog, RecordError, RunFolder

TRIALS = pd.DataFrame(
    {
        "dropout": [0.11, 0.22, 0.33, 0.41, 0.45, 0.47, 0.5],
        "augment": ["none", "strong", "none", None, "report", "none", "strong"],
        "val_loss": [0.5, 0.4, 0.3, 0.6, 0.7, 0.8, 0.9],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("runs"))
    write_run(f"{url}/first", trials=40, epochs=9, evaluated=4)
    write_run(f"{url}/second", trials=12, epochs=9, evaluated=2, classes=3)
    return url


@pytest.fixture(scope="module")
def run(folder):
    return Library(folder).run("first")


def test_conditions_choose_the_trials_that_meet_all_of_them():
    chosen = Filter({"dropout": (0.1, 0.4)}, {"augment": ("none",)}).chosen(TRIALS)
    assert chosen.index.tolist() == [0, 2]
    assert Filter(choices={"augment": (ABSENT, "report")}).chosen(TRIALS).index.tolist() == [3, 4]
    assert len(Filter({"unknown": (0, 1)}).chosen(TRIALS)) == len(TRIALS)


@pytest.mark.parametrize(
    "address",
    [
        Address(),
        Address("a&b=c/<script>", 7, (3, 9), "-val_loss", 2),
        Address("run", filter=Filter({"learning_rate": (1e-5, 0.01)}, {"dense": ("16-8", "none, or not")})),
    ],
)
def test_an_address_can_be_written_and_read(address):
    assert read_address(address.query()) == address


def test_an_address_that_is_not_understood_shows_everything():
    assert read_address("?trial=x&page=-1&min.dropout=lots&compare=a&what") == Address()


def test_a_box_across_an_axis_becomes_a_condition():
    scales = figures.parallel_scales(TRIALS, "val_loss", ["dropout", "augment"])
    assert [scale.kind for scale in scales] == ["linear", "category", "linear"]
    found = brush_axes(Filter(), scales, {"x": [-0.2, 0.3], "y": [-0.05, 0.5]})
    low, high = found.ranges["dropout"]
    assert (low, high) == pytest.approx((0.11, 0.305))
    again = brush_axes(found, scales, {"x": [0.8, 1.2], "y": [-0.2, 0.1]})
    assert again.choices["augment"] == ("none", ABSENT)
    assert again.chosen(TRIALS).index.tolist() == [0]


def test_a_condition_is_drawn_where_it_was_brushed():
    scales = figures.parallel_scales(TRIALS, "val_loss", ["dropout", "augment"])
    ((low, high),) = brushed_places(Filter({"dropout": (0.2, 0.4)}), scales)["dropout"]
    assert (low, high) == pytest.approx((0.2, 0.4), abs=1e-5)
    assert len(brushed_places(Filter(choices={"augment": ("none", ABSENT)}), scales)["augment"]) == 2


def test_a_box_around_points_spans_their_values():
    found = brush_points(Filter(), TRIALS, [1, 2], ["dropout", "augment"])
    assert found.ranges["dropout"] == (0.22, 0.33)
    assert found.choices["augment"] == ("none", "strong")
    assert brush_points(Filter(), TRIALS, [], ["dropout"]) == Filter()


def text_of(components):
    return json.dumps(components, default=lambda component: component.to_plotly_json())


def test_the_table_follows_the_filter_and_its_sort(run):
    address = Address("first", filter=Filter({"val_loss": (0.0, 0.5)}), sort="-val_loss")
    expected = run.trials[run.trials["val_loss"] <= 0.5].sort_values("val_loss", ascending=False)
    table = text_of(pages.trials_table(run, address))
    assert f"1 to {min(pages.ROWS, len(expected))} of {len(expected)}" in table
    assert 0 < len(expected) < len(run.trials)
    places = [table.index(f'"{number:04d}"') for number in expected.index[:5]]
    assert places == sorted(places)


def test_the_figures_follow_the_filter(run):
    from analysis import style

    address = Address("first", filter=Filter({"val_loss": (0.0, 0.5)}))
    _, slices, size, _ = pages.trials_figures(run, address, style.DARK)
    expected = set(address.filter.chosen(run.trials).index)
    assert set(np.asarray(slices.data[0].customdata)) == expected
    assert set(np.asarray(size.data[0].customdata)) == expected
    assert size.layout.template.layout.font.color == style.DARK.ink


def test_every_page_is_made(folder):
    from analysis import style

    library = Library(folder)
    run = library.run("first")
    aside = Address("first", None, tuple(run.trials.index[:2]))
    assert "second" in text_of(pages.runs_page(library))
    assert "first" in text_of(pages.trials_page(run, Address("first"), style.LIGHT)[0])
    assert "trial-curve" in str(pages.trial_page(run, Address("first", 0), style.LIGHT))
    assert "no trial 9999" in str(pages.trial_page(run, Address("first", 9999), style.LIGHT))
    assert "compare-curves" in str(pages.compare_page(library, run, aside, style.LIGHT))
    assert "verdict" in str(pages.claims_page(library))


def test_a_trial_that_was_not_scored_is_no_damage(folder):
    from analysis import style

    library = Library(folder)
    run = library.run("first")
    unscored = tuple(sorted(set(run.trials.index) - set(run.evaluations["trial"]))[:2])
    pages.trial_page(run, Address("first", unscored[0]), style.LIGHT)
    pages.compare_page(library, run, Address("first", None, unscored), style.LIGHT)
    assert run.problems == []


def test_new_epochs_are_taken_in(tmp_path):
    folder = write_run(str(tmp_path / "live"), trials=3, epochs=3, evaluated=0)
    library = Library(folder.url)
    before = len(library.run("live").curves)
    assert library.refresh("live") == 0
    log = EventLog(folder)
    log.append("suggested", trial=3, parameters={"backbone": "cnn"}, seed=0, max_epochs=3)
    metrics = dict.fromkeys(("learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy"), 0.5)
    metrics |= {"epoch": 1, "seconds": 1.0, "val_balanced_accuracy": 0.5, "val_auc": 0.5, "time": time.time()}
    log.append("epoch", trial=3, metrics=metrics, host="here", process=1)
    log.close()
    assert library.refresh("live") == 1
    assert library.refresh("live") == 1
    assert len(library.run("live").curves) == before + 1


def test_a_storage_that_fails_for_a_while_is_no_traceback(tmp_path, monkeypatch):
    folder = write_run(str(tmp_path / "live"), trials=3, epochs=3, evaluated=0)
    library = Library(folder.url)

    def fail(*parts):
        raise PermissionError(13, "Permission denied")

    library.run("live")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "sizes", fail)
        patch.setattr(RunFolder, "names", fail)
        with pytest.raises(RecordError, match="where they cannot be read"):
            library.refresh("live")
    assert library.refresh("live") == 0


def test_a_port_that_is_taken_is_refused(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([folder, "--port", str(port)]) == 2
    assert f"Received: 127.0.0.1:{port} (" in capsys.readouterr().err


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    with pytest.raises(RecordError, match="or a folder of runs"):
        Library(str(tmp_path))
    assert main([str(tmp_path)]) == 2
    assert "or a folder of runs" in capsys.readouterr().err


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_shown(tmp_path):
    write_run(str(tmp_path / "good"), trials=3, epochs=3, evaluated=0)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    library = Library(str(tmp_path))
    assert [run.name for run in library.readable()] == ["good"]
    assert "bad: " in text_of(pages.runs_page(library))


def test_the_server_answers(folder):
    client = create_app(folder).server.test_client()
    answer = client.get("/trials?run=first")
    assert answer.status_code == 200
    assert b"--train:" in answer.data
    assert client.get("/_dash-layout").status_code == 200
